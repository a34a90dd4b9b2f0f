"""Case 1: kill -9 of a capture worker, again and again. It is back, its neighbours notice nothing, no shared
memory is left over, and a camera whose process keeps dying gets one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import camera

pytestmark = [pytest.mark.integration, pytest.mark.slow]
KILLS = 4


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str, moving_clip: Path) -> Iterator[Daemon]:  # noqa: ARG001
    """Two processes with two cameras each, all live."""
    names = ("a", "b", "c", "d")
    cameras = [camera(name, moving_clip, loop=True) for name in names]
    settings = {"inference": {"engine": "motion"}, "capture": {"cameras_per_worker": 2}}
    daemon = Daemon(short_dir, cameras, **settings)
    daemon.start()
    daemon.wait_for(lambda s: all(c["frames"]["inferred"] > 5 for c in s["cameras"]), 40, "all cameras")
    yield daemon
    daemon.kill()


def rows(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in status["cameras"]}


def process(status: dict[str, Any], worker: str) -> tuple[int, int]:
    """(pid, restarts)"""
    found = next(w for w in status["workers"] if w["name"] == worker)
    return found["pid"], found["restarts"]


def test_a_capture_worker_that_is_killed_again_and_again(daemon: Daemon) -> None:
    before = rows(daemon.status())
    victims = {name for name, row in before.items() if row["worker"] == before["a"]["worker"]}
    others = before.keys() - victims
    assert (len(victims), sorted(others)) == (2, ["c", "d"])
    untouched = process(daemon.status(), before["c"]["worker"])
    for turn in range(KILLS):
        now = rows(daemon.status())
        daemon.kill_worker(now["a"]["worker"])
        daemon.wait_for(
            lambda s, n=now: (
                rows(s)["a"]["epoch"] > n["a"]["epoch"]
                and rows(s)["a"]["frames"]["inferred"] > n["a"]["frames"]["inferred"] + 3
            ),
            20,
            f"frames after kill {turn}",
        )
        assert [unaccounted(row["frames"]) for row in daemon.status()["cameras"]] == [0] * 4
    status = daemon.wait_for(
        lambda s: all(c["state"] == "live" for c in s["cameras"]), 20, "all cameras to be live"
    )
    after = rows(status)
    assert after["a"]["worker"] != after[(victims - {"a"}).pop()]["worker"]  # each alone
    assert after["a"]["quarantine_s"] is not None
    for name in others:  # a clip that begins anew is a new epoch: so the process tells, not the epoch
        assert after[name]["worker"] == before[name]["worker"]
        assert after[name]["frames"]["inferred"] > before[name]["frames"]["inferred"]
    assert process(status, after["c"]["worker"]) == untouched
    for row in after.values():
        assert unaccounted(row["frames"]) == 0, row["frames"]
    rings = {path.name.rpartition(".")[0] for path in daemon.segments_dir.glob("?.*")}
    assert len(list(daemon.segments_dir.glob("?.*"))) == len(rings) == 4  # one a camera
    killed = next(w for w in status["workers"] if w["name"] == after["a"]["worker"])
    assert killed["last_exit"]["reason"].startswith("SIGKILL")
    segments = daemon.segments_dir
    assert daemon.stop() == 0
    assert not segments.exists()
