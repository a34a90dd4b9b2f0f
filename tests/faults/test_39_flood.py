"""Case 39: one camera floods: the others keep their share of inference and of delivery, and nothing queues.

Shares are told by the frames' counters, so that the speed of the machine decides nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.ipc.redis_keys import events_key
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.faults.delivery_rig import NODE, Rig
from tests.frame_balance import unaccounted
from tests.moving import camera, draw
from tests.patience import patient

pytestmark = pytest.mark.integration
# Imported by every Python as it starts: the detector of an inference worker takes its time.
SLOW = """
import sys
if any("infer" in word for word in sys.orig_argv):
    import time
    from pipelines.detect.motion import MotionDetector
    quick = MotionDetector._detect
    def slow(self, frame):
        time.sleep(0.012)
        return quick(self, frame)
    MotionDetector._detect = slow
"""
OTHERS, OTHER_FPS, FLOOD_FPS = 5, 25, 100
LOOKED_AT = 600  # frames, over which shares are compared
SHARE = 0.10
MAX_IN_FLIGHT = 4  # frames of a camera: the slots of its ring
EVENTS = 20_000


@pytest.mark.slow
def test_with_far_more_frames_than_can_be_looked_at_every_camera_gets_its_share_and_none_grows_old(
    daemon: Daemon, short_dir: Path
) -> None:
    (short_dir / "sitecustomize.py").write_text(SLOW)
    usual = make_clip(short_dir / "usual.mp4", frames=8 * OTHER_FPS, fps=OTHER_FPS, draw=draw)
    flood = make_clip(short_dir / "flood.mp4", frames=8 * FLOOD_FPS, fps=FLOOD_FPS, draw=draw)
    daemon.write_camera(camera("flood", flood, loop=True))
    for number in range(OTHERS):
        daemon.write_camera(camera(f"other-{number}", usual, loop=True))
    daemon.start(env={"PYTHONPATH": f"{short_dir}:{Path(__file__).resolve().parents[2]}"})
    before = daemon.wait_for(lambda s: min(looked_at(s).values()) > 20, 40, "all to be looked at")
    samples: list[dict[str, Any]] = []

    def enough(status: dict[str, Any]) -> bool:
        samples.append(status)
        return sum(looked_at(status).values()) - sum(looked_at(before).values()) >= LOOKED_AT

    after = daemon.wait_for(enough, 60, "enough frames")
    shares = {name: n - looked_at(before)[name] for name, n in looked_at(after).items()}
    decoded = sum(c["frames"]["decoded"] for c in after["cameras"]) - sum(
        c["frames"]["decoded"] for c in before["cameras"]
    )
    assert decoded > 3 * sum(shares.values()), "no overload: the test shows nothing"
    mean = statistics.mean(shares.values())
    assert all(abs(n - mean) <= SHARE * mean for n in shares.values()), shares
    for status in samples:
        assert all(0 <= c["frames"]["in_flight"] <= MAX_IN_FLIGHT for c in status["cameras"])
    assert [unaccounted(c["frames"]) for c in after["cameras"]] == [0] * (OTHERS + 1)
    # In a queue what is counted would be seconds older at the end than at the beginning.
    first, last = ages_s(samples[: len(samples) // 3]), ages_s(samples[-len(samples) // 3 :])
    assert max(last.values()) < max(first.values()) + patient(0.25)
    assert daemon.stop() == 0


def looked_at(status: dict[str, Any]) -> dict[str, int]:
    return {c["name"]: c["frames"]["inferred"] for c in status["cameras"]}


def ages_s(samples: list[dict[str, Any]]) -> dict[str, float]:
    """How old a frame was when it was taken: the median of the samples' medians, by camera."""
    names = looked_at(samples[0])
    rows = {n: [c["age_ms"]["p50"] for s in samples for c in s["cameras"] if c["name"] == n] for n in names}
    return {
        name: statistics.median(p50 for p50 in row if p50 is not None) / 1e3 for name, row in rows.items()
    }


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir)
    rig.start_delivery()
    rig.resume()
    yield rig
    rig.close()


def test_a_camera_s_flood_of_events_keeps_back_no_other_camera_s(rig: Rig) -> None:
    for _ in range(EVENTS // 100):
        rig.count("gate", 100)
        rig.pump(0.0)
    rig.until(lambda: not rig.sequencer.unacknowledged, 60)
    rig.count("yard", 5)
    rig.until(lambda: not rig.sequencer.unacknowledged)
    rig.start_redis()
    client = rig.client()
    rig.until(lambda: client.xlen(events_key(NODE, "yard")) == 5)
    before_it = int(client.xlen(events_key(NODE, "gate")))
    client.close()
    assert before_it < EVENTS / 2
    rig.until(lambda: rig.last_in_redis("gate") == EVENTS, 60)
    rig.assert_each_once()
