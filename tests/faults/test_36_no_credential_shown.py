"""Fault 36: a canary in every credential; nobody who may not see it finds it anywhere.

Looked through: what every command prints, the daemon's log, its status, the command lines and environments
of all its processes, every event and key in Redis, and every file of configuration, state and runtime folder
(the ledger, the spools, the checkpoints) but those that are there to hold secrets. No process may dump core.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import yaml

from streamer.api import control_socket as control
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.rtsp_server import RtspServer

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]

# In a form that a URL must encode: both forms are looked for.
CANARY = "c@nary/42"
FORMS = ("c@nary", "c%40nary", "nary/42", "nary%2F42")
SECRET_FILES = (".secrets.yaml", "secrets.yaml")


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    found = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 1})
    yield found
    found.kill()


def hits(where: str, text: str) -> list[str]:
    return [f"{where}: {form}" for form in FORMS if form in text]


def processes(daemon: Daemon) -> list[psutil.Process]:
    """The supervisor first."""
    assert daemon.process is not None
    root = psutil.Process(daemon.process.pid)
    return [root, *root.children(recursive=True)]


def command_lines(daemon: Daemon) -> str:
    return "\n".join(" ".join(process.cmdline()) for process in processes(daemon))


def environments_of_children(daemon: Daemon) -> str:
    """The supervisor's own is what it was started with, and for its user and root alone to read."""
    return "\n".join(Path(f"/proc/{p.pid}/environ").read_text() for p in processes(daemon)[1:])


def core_limits(daemon: Daemon) -> set[tuple[int, int]]:
    return {resource.prlimit(process.pid, resource.RLIMIT_CORE) for process in processes(daemon)}


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_no_credential_shows_anywhere(daemon: Daemon, rtsp_python: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=1500)
    shown: dict[str, str] = {}
    with RtspServer(rtsp_python, {"/live": clip}, auth=("digest", CANARY, CANARY)) as server:
        (daemon.config_dir / "secrets.yaml").touch(mode=0o600)
        (daemon.config_dir / "secrets.yaml").write_text(json.dumps({"cameras": {"by-file": _pair()}}))
        daemon.write_camera({"name": "by-file", "url": server.url("/live")})
        daemon.write_camera({"name": "by-environment", "url": server.url("/live")})
        env = {f"STREAMER_CAMERA_BY_ENVIRONMENT_{k.upper()}": v for k, v in _pair().items()}
        daemon.start(env=env)
        args = ("--username", CANARY, "--password-stdin")
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
            daemon.wait_for(lambda s, n=name: _state(s, n) == "live", 20, f"{name} to be live")
        daemon.wait_for(lambda s: _state(s, "wrong") == "auth_failed", 20, "the wrong password to be refused")
        for command in (
            ("camera", "list"), ("camera", "list", "--json"), ("camera", "show", "by-command"),
            ("camera", "show", "by-file", "--json"), ("camera", "show", "wrong"), ("camera", "test", "wrong"),
            ("status",), ("status", "--json"), ("run", "--check"), ("doctor",), ("run",),
            ("camera", "set", "by-file", "--username", "x", "--password-stdin"),
        ):  # fmt: skip
            shown[" ".join(command)] = said(daemon.cli(*command, check=False, input=CANARY))
        for name in ("by-command", "by-file"):
            shown[f"snapshot of {name}"] = said(
                daemon.cli("camera", "snapshot", name, "-o", str(tmp_path / f"{name}.jpg"))
            )
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


def test_no_credential_of_a_sink_or_from_systemd_shows_anywhere(
    daemon: Daemon, redis_binary: str, rtsp_python: str, tmp_path: Path, short_dir: Path
) -> None:
    """A URL, a user, a password and that of a TLS key, by environment and by systemd's credential; a sink
    that takes them, one that refuses them, and two that are not there."""
    clip = make_clip(tmp_path / "clip.mp4", frames=1500)
    credentials = short_dir / "credentials"
    credentials.mkdir(mode=0o700)
    url = f"redis://{quote(CANARY, safe='')}:{quote(CANARY, safe='')}@127.0.0.1:1/0?x={quote(CANARY)}"
    stored = {
        "cameras": {"by-systemd": _pair()},
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
        {"kind": "redis", "name": "tls", "url": "rediss://127.0.0.1:1/0", "tls_cert": str(clip)},
    ]
    settings = daemon.config_dir / "streamer.yaml"
    settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "sinks": sinks}))
    shown: dict[str, str] = {}
    try:
        with RtspServer(rtsp_python, {"/live": clip}, auth=("basic", CANARY, CANARY)) as camera:
            daemon.write_camera({"name": "by-systemd", "url": camera.url("/live")})
            env = {
                "CREDENTIALS_DIRECTORY": str(credentials),
                "STREAMER_SINK_TAKEN_PASSWORD": CANARY,
                "STREAMER_SINK_WRONG_PASSWORD": CANARY + "x",
            }
            daemon.start(env=env)
            daemon.wait_for(lambda s: _state(s, "by-systemd") == "live", 20, "the camera to be live")
            daemon.wait_for(lambda s: s["sinks"]["taken"].get("written"), 20, "events in the sink")
            for name in ("wrong", "away", "tls"):
                daemon.wait_for(lambda s, n=name: s["sinks"][n].get("last_error"), 20, f"{name} to fail")
            for command in (("status",), ("status", "--json"), ("run", "--check"), ("doctor",), ("events",)):
                done = daemon.cli(*command, check=False, env={**os.environ, **env})
                shown[" ".join(command)] = said(done)
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


def _pair() -> dict[str, str]:
    return {"username": CANARY, "password": CANARY}


def _state(status: dict[str, object], name: str) -> object:
    cameras = status["cameras"]
    assert isinstance(cameras, list)
    return next((c["state"] for c in cameras if c["name"] == name), None)
