"""Case 13: the wall clock jumps by an hour either way, or to 1970. Nothing restarts, intervals hold, numbers
go on, and the counts say it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.clock_hook import ClockHook
from tests.daemon import Daemon
from tests.moving import camera

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def restarts(status: dict[str, Any]) -> dict[str, int]:
    return {w["name"]: w["restarts"] for w in status["workers"]}


def flagged(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    buckets = [e["data"] for e in events if e["type"] == "streamer.counts.v1"]
    return [b for b in buckets if "clock_jumped" in b["flags"]]


def wait_for_more_flagged(daemon: Daemon, known: int) -> None:
    daemon.wait_for_events("a", lambda _: len(flagged(daemon.events("a"))) > known, 30)


def test_a_clock_that_is_set_restarts_nothing_and_is_marked(
    daemon: Daemon, moving_clip: Path, short_dir: Path
) -> None:
    clock = ClockHook(short_dir / "hook")
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start(env=clock.env)
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 20, 40, "the camera")
    before = daemon.status()
    for jump_s in (3.0, 3600.0, -3600.0, -time.time() + 86_400.0, 0.0):
        known = len(flagged(daemon.events("a")))
        clock.jump_to(jump_s)
        wait_for_more_flagged(daemon, known)
    # It is opened anew where the clip begins again, and for no other reason.
    after = daemon.wait_for(lambda s: s["cameras"][0]["state"] == "live", 20, "the camera")
    assert restarts(after) == restarts(before)
    row, was = after["cameras"][0], before["cameras"][0]
    assert "next try in" not in daemon.log_path.read_text()
    assert row["frames"]["inferred"] > was["frames"]["inferred"]
    assert row["age_ms"]["p50"] < 5000  # by the monotonic clock
    events = daemon.events("a")
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    for bucket in (e["data"] for e in events if e["type"] == "streamer.counts.v1"):
        assert sum(bucket["coverage"].values()) <= bucket["bucket_s"] + 0.01, bucket
    assert daemon.stop() == 0
