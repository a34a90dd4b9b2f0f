"""Whose frame is next, with a detector that is done when the test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.detect.errors import ModelRefused
from pipelines.region.crop import PictureShape
from pipelines.track.needed_rate import NeededRate
from pipelines.values import Frame
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.frame_ring import RingMemory
from streamer.ipc.messages import FrameReady, FrameRequest, InferCamera
from streamer.workers.infer.camera import CameraContext
from streamer.workers.infer.coverage import Coverage
from streamer.workers.infer.scheduler import MAX_OWED, BatchScheduler, RunningBatch
from tests.patience import patient

STEP_NS = 40_000_000


class SlowDetector:
    """Two batches side by side, six open at once; a batch is done when its `notify` is called."""

    parallel, depth, max_batch = 2, 6, 1

    def __init__(self) -> None:
        self.finish: list[Callable[[], None]] = []


class QuickDetector(SlowDetector):
    """As the motion detector."""

    parallel, depth = 1, 3


class ShapedDetector(SlowDetector):
    """Starts pictures of 64x36; for others it is to be prepared, which lasts until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared = {(64, 36)}
        self.begun, self.may_end = threading.Event(), threading.Event()

    def is_prepared(self, width: int, height: int, _whole: object = None) -> bool:
        return (width, height) in self.prepared

    def prepare(self, width: int, height: int, _whole: object = None) -> None:
        self.begun.set()
        assert self.may_end.wait(patient(5))
        self.refuse()
        self.prepared.add((width, height))

    def refuse(self) -> None: ...


class FakePipeline:
    max_batch = 1

    def __init__(self, detector: SlowDetector | None = None) -> None:
        self.detector = detector or SlowDetector()
        self.frames: list[str] = []

    def shape_for(self, _camera: str, width: int, height: int) -> PictureShape:
        return PictureShape(width, height)

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None]) -> object:
        self.frames += [f"{f.stamp.camera}{f.stamp.frame_id}" for f in frames]
        self.detector.finish.append(notify)
        return object()

    def collect_each(self, _pending: object) -> list[str]:
        return ["not used"]


class Wire:
    """Keeps the requests that are sent."""

    def __init__(self) -> None:
        self.requests: list[FrameRequest] = []

    def send(self, _peer: str, request: FrameRequest) -> bool:
        self.requests.append(request)
        return True

    def requested(self) -> list[str]:
        names, self.requests = [r.camera for r in self.requests], []
        return names


class Scene:
    def __init__(self, folder: Path, names: str, newest: bool = True) -> None:
        self.wire, self.pipeline, self.woken = Wire(), FakePipeline(), threading.Semaphore(0)
        self.ring = folder / "ring"
        RingMemory.create(self.ring, 4, 64, 36)
        counters = FrameCounters.create(folder / COUNTERS_FILE)
        self.cameras: dict[str, CameraContext] = {}
        for row, name in enumerate(names):
            config = InferCamera(name, row, 0, "", "", 60, newest)
            coverage = Coverage(60, time.time_ns(), counters.balance(row))
            camera = CameraContext(config, counters.infer(row), coverage, 0, worker="capture-0")
            camera.pipeline = self.pipeline  # type: ignore[assignment]
            self.cameras[name] = camera
        self.counters = counters
        self._done: list[RunningBatch] = []
        self.scheduler = BatchScheduler(self.wire, self.cameras, self.woken.release)  # type: ignore[arg-type]

    def arrive(self, name: str, number: int, age_ns: int = 0, width: int = 64) -> None:
        received_ns = time.monotonic_ns() - age_ns
        path = str(self.ring)
        self.scheduler.frame_ready(
            "capture-0", FrameReady(name, path, 0, 0, 1, number, width, 36, 0, 0, received_ns, "pts", number)
        )

    def request(self) -> list[str]:
        self.scheduler.send_requests(list(self.cameras.values()))
        return self.wire.requested()

    def started(self) -> list[str]:
        """What a turn starts; what is done stays for finished()."""
        self._done += self.scheduler.advance()
        names, self.pipeline.frames = self.pipeline.frames, []
        return names

    def finished(self) -> list[str]:
        """What is done by now; nothing waits to be started."""
        self._done += self.scheduler.advance()
        done, self._done = self._done, []
        for batch in done:
            self.scheduler.collect(batch)
        return [camera.name for batch in done for camera in batch.cameras]

    def dropped(self, name: str) -> dict[str, int]:
        return dict(self.counters.balance(self.cameras[name].config.row).dropped)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., Scene]:
    return lambda names, **kinds: Scene(tmp_path, names, **kinds)


def test_a_detector_with_room_asks_for_as_many_frames_as_it_can_take(scene: Callable[..., Scene]) -> None:
    five = scene("abcde")
    assert len(five.request()) == 2
    assert five.request() == []  # these two are on their way


def test_requests_that_wait_for_a_frame_to_be_made_do_not_keep_others_back(
    scene: Callable[..., Scene],
) -> None:
    five = scene("abcde")
    out = five.request()
    for _ in range(3):
        for camera in five.cameras.values():
            camera.requested_s -= 1.0 if camera.requested_s else 0.0
        out += five.request()
    assert sorted(out) == list("abcde")


def test_a_busy_detector_asks_for_one_frame_when_a_batch_is_about_to_be_done(
    scene: Callable[..., Scene],
) -> None:
    four = scene("abcd")
    first, second = four.request()
    four.arrive(first, 0)
    four.arrive(second, 0)
    assert sorted(four.started()) == sorted([f"{first}0", f"{second}0"])
    assert four.request() == []
    four.scheduler._running[0].started_s -= 0.029  # of 30 ms
    (third,) = four.request()
    assert third not in (first, second)
    four.arrive(third, 0)
    assert four.started() == []  # there is no room yet
    assert four.request() == []


def test_frames_of_one_camera_are_finished_in_their_order(scene: Callable[..., Scene]) -> None:
    two = scene("ab")
    two.arrive("a", 0)
    assert two.started() == ["a0"]
    two.arrive("a", 1)
    assert two.started() == ["a1"]
    two.pipeline.detector.finish[1]()
    assert two.finished() == []  # a1 waits for a0
    assert two.scheduler.in_detector(two.cameras["a"])
    two.arrive("b", 0)
    assert two.started() == ["b0"]
    two.pipeline.detector.finish[2]()
    assert two.finished() == ["b"]
    two.pipeline.detector.finish[0]()
    assert two.finished() == ["a", "a"]


def test_one_slow_frame_never_leads_to_more_open_tickets_than_the_detector_allows(
    scene: Callable[..., Scene],
) -> None:
    one = scene("a")
    for number in range(20):
        one.arrive("a", number)
        one.started()
        for notify in one.pipeline.detector.finish[1:]:
            notify()
        one.finished()
        assert len(one.scheduler._running) <= SlowDetector.depth


def test_batches_that_are_done_before_the_next_one_starts_never_open_more_tickets_than_allowed(
    scene: Callable[..., Scene],
) -> None:
    """As where this process had no time while its detector had."""
    many = scene("abcdefghijkl")
    detector = many.pipeline.detector
    most = 0
    for _ in range(5):
        for name in many.cameras:
            many.arrive(name, 0)
        while many.started():  # of each turn, none is collected
            for notify in detector.finish:
                notify()
            opened = len(many.scheduler._running) + len(many._done)
            most = max(most, opened)
            assert opened <= SlowDetector.depth
        many.finished()
    assert most == SlowDetector.depth


def busy_then_late(scene: Scene, names: str) -> None:
    """Both places taken, and a frame of `a` in waiting that was new when it came and is old by now."""
    for number in (0, 1):
        scene.arrive("a", number, age_ns=(10 - number) * STEP_NS)
    scene.cameras["a"].waiting = None
    for name in names:
        scene.arrive(name, 0)
    scene.started()
    scene.arrive("a", 9, age_ns=2 * STEP_NS)


def test_a_frame_that_waited_until_there_is_a_newer_one_is_dropped_once(
    scene: Callable[..., Scene],
) -> None:
    three = scene("abc")
    busy_then_late(three, "bc")
    three.wire.requested()
    three.pipeline.detector.finish[0]()
    three.finished()
    assert three.started() == []
    assert three.wire.requested() == ["a"]
    assert three.dropped("a")["stale"] == 1
    three.arrive("a", 11, age_ns=2 * STEP_NS)
    assert three.started() == ["a11"]  # old again, but it is taken now
    assert three.dropped("a")["stale"] == 1


def test_no_frame_is_dropped_where_every_frame_counts(scene: Callable[..., Scene]) -> None:
    three = scene("abc", newest=False)
    busy_then_late(three, "bc")
    three.pipeline.detector.finish[0]()
    three.finished()
    assert three.started() == ["a9"]
    assert "stale" not in three.dropped("a")


def test_a_camera_with_a_fresh_frame_goes_before_one_whose_frame_is_about_to_be_replaced(
    scene: Callable[..., Scene],
) -> None:
    three = scene("abc")
    now_s = time.monotonic()
    for name, age in (("a", 0.9), ("b", 0.3), ("c", 0.9)):
        camera: Any = three.cameras[name]
        for number in (0, 1):
            three.arrive(name, number, age_ns=int((1 + age - number) * STEP_NS))
        camera.waiting, camera.last_served_s = None, now_s - 0.1
    assert three.request()[0] == "b"
    for camera in three.cameras.values():
        camera.requested_s = 0.0
    three.cameras["c"].last_served_s = now_s - 2.0  # nobody waits for ever
    assert three.request()[0] == "c"


def test_a_camera_that_missed_turns_gets_them_back_but_no_more_than_a_few(
    scene: Callable[..., Scene],
) -> None:
    two = scene("ab", newest=False)  # so that no frame is fresher than another, however busy the machine is
    two.cameras["b"].turns = 1000  # "a" was away meanwhile
    first: list[str] = []
    for number in range(40):
        name = two.request()[0]
        two.arrive(name, number)
        two.started()
        for done in two.pipeline.detector.finish:
            done()
        two.pipeline.detector.finish.clear()
        two.finished()
        for camera in two.cameras.values():
            camera.requested_s, camera.last_served_s = 0.0, 0.0  # as if both had waited alike
        first.append(name)
    assert first[:MAX_OWED] == ["a"] * MAX_OWED
    assert abs(first.count("a") - first.count("b")) <= MAX_OWED + 1


def test_what_a_batch_took_is_known_when_it_is_done() -> None:
    running = RunningBatch(None, (), 10.0, finished=True, finished_s=10.025)  # type: ignore[arg-type]
    assert running.inference_s == pytest.approx(0.025)
    assert np.isfinite(RunningBatch(None, (), time.monotonic()).inference_s)  # type: ignore[arg-type]


def with_motion(scene: Callable[..., Scene]) -> tuple[Scene, FakePipeline]:
    """Cameras a, b and c share a slow detector, m has a quick one of its own."""
    four = scene("abcm", newest=False)  # nothing grows old in it, however busy the machine is
    quick = FakePipeline(QuickDetector())
    four.cameras["m"].pipeline = quick  # type: ignore[assignment]
    return four, quick


def test_a_frame_starts_in_a_detector_with_room_though_an_older_one_waits_for_a_busy_detector(
    scene: Callable[..., Scene],
) -> None:
    """A camera with the motion detector had half its frames beside two with a slower one."""
    four, quick = with_motion(scene)
    for name in "abc":
        four.arrive(name, 0)
    assert four.started() == ["a0", "b0"]  # and c waits, who was not served for longest
    for number in range(3):
        four.arrive("m", number)
        assert four.started() == []
        assert quick.frames.pop() == f"m{number}"
        quick.detector.finish[-1]()
        assert four.finished() == ["m"]
    four.pipeline.detector.finish[0]()
    four.finished()
    assert four.started() == ["c0"]


def test_a_full_detector_keeps_its_own_frames_back_whatever_room_another_has(
    scene: Callable[..., Scene],
) -> None:
    four, quick = with_motion(scene)
    four.arrive("m", 0)
    four.arrive("a", 0)
    assert four.started() == ["a0"]
    assert quick.frames == ["m0"]
    four.arrive("m", 1)
    assert four.started() == []
    assert quick.frames == ["m0"]  # one at a time
    four.arrive("b", 0)
    assert four.started() == ["b0"]


def test_a_detector_with_room_asks_for_frames_whatever_another_is_busy_with(
    scene: Callable[..., Scene],
) -> None:
    four, _ = with_motion(scene)
    first = four.request()
    assert "m" in first
    assert len(first) == 3  # and two for the slow one
    for name in first:
        four.arrive(name, 0)
    assert sorted(four.started()) == sorted(f"{name}0" for name in first if name != "m")
    four.cameras["m"].pipeline.detector.finish[-1]()  # type: ignore[union-attr]
    assert four.finished() == ["m"]
    assert four.request() == ["m"]


def test_how_long_a_batch_takes_is_learnt_of_each_detector(scene: Callable[..., Scene]) -> None:
    four, quick = with_motion(scene)
    for _ in range(60):
        four.scheduler._learn(RunningBatch(quick, (), 10.0, finished=True, finished_s=10.002))  # type: ignore[arg-type]
        four.scheduler._learn(RunningBatch(four.pipeline, (), 10.0, finished=True, finished_s=10.2))  # type: ignore[arg-type]
    request_s = [
        four.scheduler._request_next_at_s(RunningBatch(p, (), 100.0)) for p in (quick, four.pipeline)
    ]  # type: ignore[arg-type]
    assert request_s[0] < 100.01
    assert request_s[1] > 100.15


def test_a_camera_that_is_to_be_looked_at_more_often_says_so_beside_the_request_that_is_out(
    scene: Callable[..., Scene],
) -> None:
    it = scene("ab")
    camera = it.cameras["a"]
    camera.need = NeededRate()
    camera.need.fps = 2.0
    it.scheduler.send_requests([camera])
    camera.need.fps = 10.0
    it.scheduler.request_sooner(camera)
    assert [(r.camera, r.fps) for r in it.wire.requests] == [("a", 2.0), ("a", 10.0)]
    it.arrive("a", 1)
    it.scheduler.request_sooner(camera)
    assert len(it.wire.requests) == 2, "no request is out that could be wrong"


def test_a_camera_with_a_rate_of_its_own_says_nothing_of_rates(scene: Callable[..., Scene]) -> None:
    it = scene("a")
    it.scheduler.send_requests(list(it.cameras.values()))
    assert [r.fps for r in it.wire.requests] == [0.0]


def shaped(scene: Callable[..., Scene], detector: ShapedDetector) -> Scene:
    two = scene("ab", newest=False)
    two.pipeline.detector = detector
    return two


def test_a_camera_of_a_new_shape_waits_for_its_detector_to_be_prepared_and_the_others_go_on(
    scene: Callable[..., Scene],
) -> None:
    detector = ShapedDetector()
    two = shaped(scene, detector)
    two.arrive("a", 0, width=48)
    assert two.started() == []
    assert detector.begun.wait(patient(5))
    for number in range(3):
        assert two.request() == ["b"]  # what waits for its shape takes nobody's room
        two.arrive("b", number)
        assert two.started() == [f"b{number}"]
        detector.finish.pop()()
        assert two.finished() == ["b"]
    while two.woken.acquire(blocking=False):
        pass
    detector.may_end.set()
    assert two.woken.acquire(timeout=patient(5))
    assert two.started() == ["a0"]


def test_a_shape_that_cannot_be_prepared_is_submitted_so_that_its_camera_does_not_wait_for_ever(
    scene: Callable[..., Scene], caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(ShapedDetector):
        def refuse(self) -> None:
            raise ModelRefused("m.onnx: OpenVINO cannot compile it: no memory")

    detector = Refusing()
    two = shaped(scene, detector)
    detector.may_end.set()
    two.arrive("a", 0, width=48)
    two.started()
    assert two.woken.acquire(timeout=patient(5))
    assert two.started() == ["a0"]
    assert "pictures of 48x36 cannot be detected in: m.onnx" in caplog.text
