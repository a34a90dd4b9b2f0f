"""Fault 36, of Redis sinks and of what systemd hands over: a canary in each, looked for everywhere."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.daemon import Daemon
from tests.faults.canary import (
    CANARY,
    command_lines,
    environments_of_children,
    hits,
    pair,
    said,
    state,
)
from tests.rtsp_server import RtspServer

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    found = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 1})
    yield found
    found.kill()


def test_no_credential_of_a_sink_or_from_systemd_shows_anywhere(
    daemon: Daemon, redis_binary: str, rtsp_python: str, minute_clip: Path, short_dir: Path
) -> None:
    """A URL, a user, a password and that of a TLS key, by environment and by systemd's credential; a sink
    that takes them, one that refuses them, and two that are not there."""
    credentials = short_dir / "credentials"
    credentials.mkdir(mode=0o700)
    url = f"redis://{quote(CANARY, safe='')}:{quote(CANARY, safe='')}@127.0.0.1:1/0?x={quote(CANARY)}"
    stored = {
        "cameras": {"by-systemd": pair()},
        "sinks": {"away": {"url": url}, "tls": {"tls_key_password": CANARY, "password": CANARY}},
    }
    (credentials / "streamer.secrets").write_text(json.dumps(stored))
    locked = ["--requirepass", CANARY, "--port", "0", "--save", "", "--dir", str(short_dir)]
    socket = short_dir / "taken.sock"
    server = subprocess.Popen([redis_binary, *locked, "--unixsocket", str(socket)], stdout=subprocess.DEVNULL)
    sinks = [
        {"kind": "redis", "name": "taken", "url": f"unix://{socket}"},
        {"kind": "redis", "name": "wrong", "url": f"unix://{socket}?db=0"},
        {"kind": "redis", "name": "away", "url": "redis://127.0.0.1:1/0"},
        {"kind": "redis", "name": "tls", "url": "rediss://127.0.0.1:1/0", "tls_cert": str(minute_clip)},
    ]
    settings = daemon.config_dir / "streamer.yaml"
    settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "sinks": sinks}))
    shown: dict[str, str] = {}
    try:
        with RtspServer(rtsp_python, {"/live": minute_clip}, auth=("basic", CANARY, CANARY)) as camera:
            daemon.write_camera({"name": "by-systemd", "url": camera.url("/live"), "source": {"fps": 2}})
            env = {
                "CREDENTIALS_DIRECTORY": str(credentials),
                "STREAMER_SINK_TAKEN_PASSWORD": CANARY,
                "STREAMER_SINK_WRONG_PASSWORD": CANARY + "x",
            }
            daemon.start(env=env)
            daemon.wait_for(lambda s: state(s, "by-systemd") == "live", 20, "the camera to be live")
            daemon.wait_for(lambda s: s["sinks"]["taken"].get("written"), 20, "events in the sink")
            for name in ("wrong", "away", "tls"):
                daemon.wait_for(lambda s, n=name: s["sinks"][n].get("last_error"), 20, f"{name} to fail")
            commands = (("status",), ("status", "--json"), ("run", "--check"), ("doctor",), ("events",))
            answers = daemon.commands(*commands, env={**os.environ, **env})
            shown |= {" ".join(c): said(done) for c, done in zip(commands, answers, strict=True)}
            shown["raw status"] = json.dumps(daemon.status())
            shown["command lines"] = command_lines(daemon)
            shown["environments"] = environments_of_children(daemon)
            assert daemon.stop() == 0
    finally:
        server.kill()
        server.wait()
    shown["log"] = daemon.log_path.read_text(errors="replace")
    for path in (p for p in daemon.base.rglob("*") if p.is_file() and credentials not in p.parents):
        shown[str(path)] = path.read_bytes().decode("latin-1")
    assert [hit for where, text in shown.items() for hit in hits(where, text)] == []
    assert "STREAMER_SINK" not in shown["environments"]
    assert any(where.endswith("ledger.sqlite") for where in shown)
