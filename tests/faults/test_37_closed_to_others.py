"""Case 37: what another user of the box may open: the control and Redis sockets if in the group, no more."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.moving import camera

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


def test_a_killed_supervisor_leaves_no_process_and_its_segments_go_at_the_next_start(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    workers = [w["pid"] for w in daemon.status()["workers"]]
    daemon.kill()
    for pid in workers:
        daemon.wait_until_gone(pid, 10)
    daemon.start()
    status = daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 30, "frames again")
    assert status["cameras"][0]["epoch"] == 2
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
