"""Frames from before a camera woke: in their turn, bounded, in no age, and heard of when they are through."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.values import Image, Stamp
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.messages import CaptureCamera, FrameReady
from streamer.sources.base import Decoded
from streamer.sources.gate import Gate
from streamer.workers.capture.camera_thread import MAX_KEPT, CameraThread, HeldFrame
from streamer.workers.infer.status import _camera_status
from tests.streamer.test_scheduler import Scene

SECOND_NS = 1_000_000_000


class Picture(Decoded):
    def __init__(self, number: int, kept: bool = False) -> None:
        at_ns = number * SECOND_NS // 25
        super().__init__(
            64, 36, media_ns=at_ns, captured_ns=at_ns, received_mono_ns=at_ns, clock_source="rtp", kept=kept
        )

    def write_bgr(self, out: Image) -> None:
        out[:] = 0


class Held:
    """A camera's thread that is not running, given its frames by hand."""

    def __init__(self, folder: Path) -> None:
        self.counters = FrameCounters.create(folder / COUNTERS_FILE)
        camera = CaptureCamera("hall", 0, "none", "infer-0", 64, 0.0, False, True, 5.0, 5.0, gate=True)
        self.thread = CameraThread(camera, self.counters.capture(0), lambda: None)

    def hold(self, *numbers: int, kept: bool = False) -> None:
        for number in numbers:
            self.thread._hold(Picture(number, kept), number)

    def handed_over(self) -> list[HeldFrame]:
        frames: list[HeldFrame] = []

        def send(held: HeldFrame) -> str:
            frames.append(held)
            return ""

        while self.thread.send_held(0, send):
            pass
        return frames


def test_frames_are_handed_over_in_the_order_of_their_media_time_whatever_waited_before(
    tmp_path: Path,
) -> None:
    camera = Held(tmp_path)
    camera.hold(1)  # nobody has asked for it when the camera goes to rest
    camera.hold(20, 22, 24, kept=True)
    before = [frame.frame_id for frame in camera.handed_over()]
    assert before == [1, 20, 22, 24]
    camera.hold(30, 32, kept=True)
    camera.hold(33, 34)
    frames = camera.handed_over()
    assert [frame.frame_id for frame in frames] == [30, 32, 34]
    assert [frame.decoded.received_mono_ns * 25 for frame in frames] == [
        frame.frame_id * SECOND_NS for frame in frames
    ]


def test_kept_frames_that_nobody_takes_are_bounded_and_counted(tmp_path: Path) -> None:
    camera = Held(tmp_path)
    camera.hold(*range(100), kept=True)
    balance = camera.counters.balance(0)
    assert (balance.decoded, balance.in_flight) == (100, MAX_KEPT)
    assert balance.dropped["busy"] == 100 - MAX_KEPT
    assert [f.frame_id for f in camera.handed_over()] == list(range(100 - MAX_KEPT, 100))


def test_what_inference_says_counts_only_once_it_has_seen_all_that_was_kept(tmp_path: Path) -> None:
    camera = Held(tmp_path)
    gate = camera.thread._gate = Gate()
    camera.hold(1, 2, kept=True)
    camera.thread.hear(quiet=True)
    assert gate._heard.times == 0
    camera.handed_over()
    camera.thread.hear(quiet=True)
    assert gate._heard.times == 1


# ---- in inference


def ready(name: str, scene: Scene, number: int, kept: bool) -> None:
    received_ns = time.monotonic_ns() - (10 * SECOND_NS if kept else 0)
    path = str(scene.ring)
    scene.scheduler.frame_ready(
        "capture-0", FrameReady(name, path, 0, 0, 1, number, 64, 36, 0, 0, received_ns, "rtp", number, kept)
    )


@pytest.fixture
def scene(tmp_path: Path) -> Callable[[str], Scene]:
    return lambda names: Scene(tmp_path, names)


def test_what_a_camera_kept_is_in_no_age_and_known_as_such(scene: Callable[[str], Scene]) -> None:
    one = scene("a")
    ready("a", one, 0, kept=True)
    assert one.started() == ["a0"]
    ready("a", one, 1, kept=False)
    assert one.started() == ["a1"]
    camera = one.cameras["a"]
    ((_, age_ms),) = camera.ages
    assert age_ms < 5000
    assert [camera.was_kept(Stamp("a", 1, number, 0, 0, 0)) for number in (0, 1)] == [True, False]


def test_a_backlog_takes_no_more_turns_than_another_camera_s_newest_frames(
    scene: Callable[[str], Scene],
) -> None:
    """Camera a has a kept frame ready at every request, b its newest; there is room for one at a time."""
    two = scene("ab")
    two.pipeline.detector.parallel = 1
    taken: list[str] = []
    for number in range(60):
        for name in two.request():
            ready(name, two, number, kept=name == "a")
        taken += [frame[0] for frame in two.started()]
        for finish in two.pipeline.detector.finish:
            finish()
        two.pipeline.detector.finish.clear()
        two.finished()
    assert abs(taken.count("a") - taken.count("b")) <= 3
    assert len(taken) >= 30


def test_ages_are_told_of_the_last_minute(scene: Callable[[str], Scene]) -> None:
    """A camera that is looked at seldom kept the age of its first frame, which had waited for the model, for
    minutes."""
    camera = scene("a").cameras["a"]
    camera.pipeline = None  # nothing of a pipeline is told then
    camera.ages.extend([(100.0, 1500.0), (159.0, 40.0)])
    assert _camera_status(camera, 159.5)["age_ms"]["p99"] == 1500.0
    assert _camera_status(camera, 161.0)["age_ms"]["p99"] == 40.0
    assert _camera_status(camera, 300.0)["age_ms"]["p99"] is None


def test_due_frames_that_come_while_one_waits_are_missed_once_inference_asks(tmp_path: Path) -> None:
    camera = Held(tmp_path)
    camera.hold(1, 2, 3)  # nobody has asked yet: models are loaded
    assert (camera.thread.due_frames, camera.thread.missed_frames) == (0, 0)
    camera.thread.want(12.5)  # every other one
    camera.handed_over()
    camera.hold(*range(4, 14))
    assert camera.thread.due_frames == 5
    assert camera.thread.missed_frames == 4
