"""`fps: auto`, with real processes: a quiet place is looked at seldom, and who comes is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import make_clip
from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import FPS, HEIGHT, LINE, WIDTH
from tests.streamer.test_resting_camera import draw

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]

COMINGS = 2  # of those that are drawn
SECONDS = 21
MOST = 0.5  # of the frames: somebody is there for a fifth of the time


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


def test_a_quiet_place_is_looked_at_seldom_and_who_comes_is_counted(daemon: Daemon, tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "empty.mp4", frames=SECONDS * FPS, width=WIDTH, height=HEIGHT, fps=FPS, draw=draw
    )
    source = {"fps": "auto"}
    daemon.write_camera({"name": "hall", "url": str(clip), "source": source, "rules": {"lines": [LINE]}})
    daemon.start()
    reasons = set()

    def ended(status: dict) -> bool:
        (camera,) = status["cameras"]
        reasons.add((camera["rate"] or {}).get("why"))
        return bool(camera["state"] == "ended" and camera["frames"]["in_flight"] == 0)

    (camera,) = daemon.wait_for(ended, 120, "the clip's end")["cameras"]
    frames = camera["frames"]
    assert unaccounted(frames) == 0
    assert frames["inferred"] < MOST * frames["decoded"], reasons
    assert frames["dropped"]["not_due"] > MOST * frames["decoded"]
    assert "nothing is followed" in reasons
    assert len(reasons - {None}) > 1  # which others are seen depends on when the status is read
    events = daemon.settled_events("hall")
    crossed = [event for event in events if event["type"] == "streamer.line.crossed.v1"]
    assert len(crossed) == COMINGS
