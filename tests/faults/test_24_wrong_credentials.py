"""Fault 24: a camera that refuses the credentials is asked once, and not again until a minute has gone or
they are others; new ones are taken up while everything runs.

Many cameras lock a user out after a few attempts: so they are counted, at the camera.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.moving import camera
from tests.rtsp_fake import FakeCamera
from tests.rtsp_server import RtspServer

pytestmark = pytest.mark.integration
MIN_PAUSE_S = 60  # what a person waits for who has locked himself out


def state(status: dict[str, Any], name: str) -> str:
    return str(row(status, name)["state"])


def row(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in status["cameras"] if c["name"] == name)


def attempts(fake: FakeCamera) -> list[str]:
    """The credentials that the camera was sent, one an attempt."""
    return [line for request in fake.requests for line in request if line.lower().startswith("authorization")]


def store_password(daemon: Daemon, password: str, name: str = "gate") -> None:
    path = daemon.config_dir / "secrets.yaml"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"cameras": {name: {"username": "admin", "password": password}}}))


def reload(daemon: Daemon) -> None:
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGHUP)


def test_wrong_credentials_are_tried_once_whatever_else_happens(daemon: Daemon, moving_clip: Path) -> None:
    with FakeCamera(asks=['Digest realm="x", nonce="n"']) as fake:
        store_password(daemon, "wrong")
        daemon.write_camera({"name": "gate", "url": fake.url()})
        daemon.write_camera(camera("a", moving_clip, loop=True))
        daemon.start()
        status = daemon.wait_for(lambda s: state(s, "gate") == "auth_failed", 20, "the refusal")
        assert "401" in row(status, "gate")["detail"]
        pause_s = int(row(status, "gate")["detail"].rpartition("next try in ")[2].removesuffix(" s"))
        assert pause_s >= MIN_PAUSE_S
        assert len(attempts(fake)) == 1
        # Other cameras come and go, and the configuration is read anew: no reason to ask again.
        daemon.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe")
        daemon.wait_for(lambda s: state(s, "b") == "live", 20, "another camera")
        daemon.cli("camera", "remove", "b")
        daemon.cli("line", "add", "gate", "door", "0.1,0.5", "0.9,0.5")
        rev = daemon.status()["config_rev"]
        settings = daemon.config_dir / "streamer.yaml"
        settings.write_text(settings.read_text() + "display_name: another\n")
        reload(daemon)
        daemon.wait_for(lambda s: s["config_rev"] > rev, 10, "the reload")
        first = row(daemon.status(), "a")["frames"]["inferred"]
        daemon.wait_for(
            lambda s: row(s, "a")["frames"]["inferred"] > first + 10, 20, "the neighbour to go on"
        )
        assert len(attempts(fake)) == 1
        assert state(daemon.status(), "gate") == "auth_failed"
        # Others are an attempt of their own, and one only.
        store_password(daemon, "wrong too")
        reload(daemon)
        daemon.wait_for(lambda _: len(attempts(fake)) == 2, 20, "the other password to be tried")
        daemon.wait_for(lambda s: state(s, "gate") == "auth_failed", 20, "its refusal")
        assert len(attempts(fake)) == 2
        assert attempts(fake)[0] != attempts(fake)[1]
        assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["by command", "by hand"])
def test_credentials_that_are_mended_are_taken_up_without_a_restart(
    daemon: Daemon, rtsp_python: str, minute_clip: Path, how: str
) -> None:
    with RtspServer(rtsp_python, {"/live": minute_clip}, auth=("digest", "admin", "right")) as server:
        daemon.write_camera({"name": "gate", "url": server.url("/live")})
        if how == "by hand":
            store_password(daemon, "wrong")
        daemon.start()
        daemon.wait_for(lambda s: state(s, "gate") == "auth_failed", 20, "the refusal")
        pids = {w["name"]: w["pid"] for w in daemon.status()["workers"]}
        if how == "by hand":
            store_password(daemon, "right")
            reload(daemon)
        else:
            words = ("gate", "--username", "admin", "--password-stdin")
            daemon.cli("camera", "set", *words, input="right\n")
        # Far sooner than the pause after a refusal.
        daemon.wait_for(lambda s: state(s, "gate") == "live", 12, "the camera to be live")
        assert {w["name"]: w["pid"] for w in daemon.status()["workers"]} == pids
        assert daemon.stop() == 0


def test_a_look_before_adding_is_one_attempt(daemon: Daemon) -> None:
    with FakeCamera(asks=['Basic realm="x"']) as fake:
        words = ("gate", fake.url(), "--username", "admin", "--password-stdin")
        done = daemon.cli("camera", "add", *words, input="wrong\n", check=False)
        assert done.returncode != 0
        assert "401" in done.stderr
        assert len(attempts(fake)) == 1
