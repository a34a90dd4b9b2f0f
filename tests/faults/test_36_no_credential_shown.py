"""Fault 36: a canary in every credential; nobody who may not see it finds it anywhere.

Looked through: what every command prints, the daemon's log, its status, the command lines and environments
of all its processes, every event and key in Redis, and every file of configuration, state and runtime folder
(the ledger, the spools, the checkpoints) but those that are there to hold secrets. No process may dump core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.api import control_socket as control
from tests.daemon import Daemon
from tests.faults.canary import (
    CANARY,
    command_lines,
    core_limits,
    environments_of_children,
    hits,
    pair,
    said,
    state,
)
from tests.rtsp_server import RtspServer

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]
SECRET_FILES = (".secrets.yaml", "secrets.yaml")


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    found = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 1})
    yield found
    found.kill()


def test_no_credential_shows_anywhere(
    daemon: Daemon, rtsp_python: str, tmp_path: Path, minute_clip: Path
) -> None:
    shown: dict[str, str] = {}
    with RtspServer(rtsp_python, {"/live": minute_clip}, auth=("digest", CANARY, CANARY)) as server:
        (daemon.config_dir / "secrets.yaml").touch(mode=0o600)
        (daemon.config_dir / "secrets.yaml").write_text(json.dumps({"cameras": {"by-file": pair()}}))
        for name in ("by-file", "by-environment"):
            daemon.write_camera({"name": name, "url": server.url("/live"), "source": {"fps": 2}})
        env = {f"STREAMER_CAMERA_BY_ENVIRONMENT_{k.upper()}": v for k, v in pair().items()}
        daemon.start(env=env)
        args = ("--username", CANARY, "--password-stdin", "--fps", "2")
        shown["add"] = said(
            daemon.cli("camera", "add", "by-command", server.url("/live"), *args, input=CANARY)
        )
        shown["add wrong"] = said(
            daemon.cli(
                "camera",
                "add",
                "wrong",
                server.url("/live", "c%40nary%2F42:c%40nary%2F42x"),
                "--force",
                check=False,
            )
        )
        for name in ("by-file", "by-environment", "by-command"):
            daemon.wait_for(lambda s, n=name: state(s, n) == "live", 20, f"{name} to be live")
        daemon.wait_for(lambda s: state(s, "wrong") == "auth_failed", 20, "the wrong password to be refused")
        commands = (
            ("camera", "list"), ("camera", "list", "--json"), ("camera", "show", "by-command"),
            ("camera", "show", "by-file", "--json"), ("camera", "show", "wrong"), ("camera", "test", "wrong"),
            ("status",), ("status", "--json"), ("run", "--check"), ("doctor",),
            *(("camera", "snapshot", n, "-o", str(tmp_path / f"{n}.jpg")) for n in ("by-command", "by-file")),
            ("camera", "set", "by-file", "--username", "x", "--password-stdin"),
        )  # fmt: skip
        for command, done in zip(commands, daemon.commands(*commands, told=CANARY), strict=True):
            shown[" ".join(command)] = said(done)
        shown["run"] = said(daemon.cli("run", check=False))
        for name in ("by-command", "by-file"):
            assert (tmp_path / f"{name}.jpg").stat().st_size > 0
        shown["raw status"] = json.dumps(control.call(daemon.runtime_dir / "control.sock", "status"))
        shown["command lines"] = command_lines(daemon)
        shown["environments"] = environments_of_children(daemon)
        assert core_limits(daemon) == {(0, 0)}
        shown["events"] = json.dumps([daemon.events(n) for n in ("by-file", "by-command", "wrong")])
        with daemon.redis() as client:
            shown["cameras in Redis"] = json.dumps(client.hgetall("streamer:cameras"))
        assert daemon.stop() == 0
    shown["log"] = daemon.log_path.read_text(errors="replace")
    for path in daemon.base.rglob("*"):
        if path.is_file() and path.name not in SECRET_FILES:
            shown[str(path)] = path.read_bytes().decode("latin-1")
    found = [hit for where, text in shown.items() for hit in hits(where, text)]
    assert found == []
    assert len(shown["events"]) > 100, "there was something to look through"
    assert "by-command" in shown["status"]
    assert "PATH=" in shown["environments"]
    assert "STREAMER_CAMERA" not in shown["environments"]
