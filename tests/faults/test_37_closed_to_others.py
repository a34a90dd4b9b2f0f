"""Case 37: what another user of the box may open: the control and Redis sockets if in the group, no more."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from streamer.api import control_socket as control
from streamer.errors import Exit
from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient

pytestmark = pytest.mark.integration
GROUP_MAY_USE = {"control.sock", "redis.sock"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sockets_segments_and_the_ledger_are_private(daemon: Daemon, moving_clip: Path) -> None:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 30, "frames")
    assert mode(daemon.state_dir) & 0o007 == 0
    assert mode(daemon.runtime_dir) & 0o007 == 0
    for path in daemon.runtime_dir.iterdir():
        allowed = 0o660 if path.name in GROUP_MAY_USE else 0o600
        assert mode(path) & ~allowed == 0, f"{path.name}: {mode(path):o}"
    for path in daemon.state_dir.glob("ledger*"):
        assert mode(path) & ~0o600 == 0, f"{path.name}: {mode(path):o}"
    assert mode(daemon.state_dir / "redis") == 0o700
    folder = daemon.segments_dir
    assert mode(folder) == 0o700
    assert len(list(folder.iterdir())) >= 2
    for path in folder.iterdir():
        assert mode(path) & ~0o600 == 0, f"{path.name}: {mode(path):o}"
    assert daemon.stop() == 0
    assert not folder.exists()


def test_every_file_socket_and_folder_of_a_daemon_is_closed_to_others_whatever_its_umask(
    daemon: Daemon, moving_clip: Path
) -> None:
    """All there is after it has counted, changed its configuration, taken a picture and written to a file."""
    settings = daemon.config_dir / "streamer.yaml"
    sinks = [{"kind": "redis"}, {"kind": "jsonl", "path": str(daemon.state_dir / "out" / "events.jsonl")}]
    settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "sinks": sinks}))
    (daemon.state_dir / "out").mkdir(mode=0o700, parents=True)
    daemon.state_dir.chmod(0o700)
    daemon.write_camera(camera("a", moving_clip, loop=True))
    before = set(daemon.base.rglob("*"))
    mask = os.umask(0)
    try:
        daemon.start()
    finally:
        os.umask(mask)
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 30, "frames")
    socket = daemon.runtime_dir / "control.sock"
    change = {"op": "camera.put", "username": "u", "password": "p",
              "camera": {"name": "b", "url": "rtsp://127.0.0.1:1/live"}}  # fmt: skip
    control.call(socket, "change", change, patient(10))
    control.call(socket, "snapshot", {"camera": "a"}, patient(10))
    daemon.wait_for(lambda s: s["sinks"]["jsonl"].get("written"), 30, "events in the file")
    made = [*(p for p in daemon.base.rglob("*") if p not in before and p != daemon.log_path)]
    made += [daemon.segments_dir, *daemon.segments_dir.rglob("*")]
    modes = {path: mode(path) for path in made if not path.is_symlink()}
    assert {str(p): f"{m:o}" for p, m in modes.items() if m & 0o007} == {}
    writable = {p.name for p, m in modes.items() if m & 0o020}
    assert writable == GROUP_MAY_USE, "the group may write to these sockets, and read what else is here"
    private = {daemon.state_dir, *daemon.state_dir.rglob("ledger*"), *daemon.segments_dir.rglob("*")}
    private |= {p for p in made if p.name in (".secrets.yaml", "password", "lock") or "spool" in p.name}
    assert {str(p): f"{mode(p):o}" for p in private if mode(p) & 0o077} == {}
    assert len(private) >= 8
    assert daemon.stop() == 0


def test_a_second_daemon_is_refused_on_either_folder_of_the_first(daemon: Daemon, short_dir: Path) -> None:
    daemon.start()
    pid = daemon.status()["pid"]
    for shared in ("state_dir", "runtime_dir"):
        other = Daemon(short_dir / shared, sinks=[])
        path = other.config_dir / "streamer.yaml"
        settings = {**yaml.safe_load(path.read_text()), shared: str(getattr(daemon, shared))}
        path.write_text(yaml.safe_dump(settings))
        done = other.cli("run", check=False)
        assert done.returncode == Exit.RUNNING
        assert f"another daemon (pid {pid}) uses" in done.stderr
    assert daemon.status()["pid"] == pid, "the first one still answers"
    assert daemon.stop() == 0


def test_a_killed_supervisor_leaves_no_process_and_its_segments_go_at_the_next_start(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    before = daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 30, "frames")
    workers = [w["pid"] for w in before["workers"]]
    daemon.kill()
    for pid in workers:
        daemon.wait_until_gone(pid, 10)
    daemon.start()
    status = daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 30, "frames again")
    assert status["cameras"][0]["epoch"] > before["cameras"][0]["epoch"]
    assert daemon.stop() == 0


def test_what_a_killed_daemon_left_is_taken_away_by_any_that_starts_after_it(
    daemon: Daemon, short_dir: Path
) -> None:
    daemon.start()
    left = daemon.segments_dir
    assert left.exists()  # and afterwards, until any daemon starts, also another test's
    daemon.kill()
    other = Daemon(short_dir / "other", inference={"engine": "motion"})
    try:
        other.start()
        assert not left.exists()
        assert other.stop() == 0
    finally:
        other.kill()
