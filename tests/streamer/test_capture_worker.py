"""The capture worker, told by a supervisor and asked by an inference worker that are this test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.values import Image
from streamer.errors import CapacityError
from streamer.ipc.bus import Bus, Received
from streamer.ipc.counters import COUNTERS_FILE, Balance, FrameCounters
from streamer.ipc.frame_ring import RingMemory
from streamer.ipc.messages import (
    AllocateRing,
    CaptureAssignment,
    CaptureCamera,
    FrameReady,
    FrameRequest,
    Message,
    Reclaim,
    RingAllocated,
    RingRefused,
    Snapshot,
    SnapshotRequest,
    SourceState,
    WorkerStatus,
)
from streamer.sources.base import Decoded, SourceInfo
from streamer.workers.capture import camera_thread, retired_threads, ring_request
from streamer.workers.capture import worker as capture
from streamer.workers.capture.worker import CaptureWorker
from tests.frame_balance import unaccounted

WIDTH, HEIGHT = 64, 36
TURNS = 300  # of the loop, each at most capture.POLL_S long


class Picture(Decoded):
    def __init__(self) -> None:
        super().__init__(WIDTH, HEIGHT, media_ns=0, captured_ns=0, received_mono_ns=0)

    odd = False

    def write_bgr(self, out: Image) -> None:
        if Picture.odd:
            raise ValueError("no such pixel format")
        out[:] = np.uint8(7)


class Camera:
    """A source that gives a picture whenever the test says so, and hangs in its read until then."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.hangs = threading.Event()
        self.closed = threading.Event()
        self._pictures = threading.Semaphore(1)  # the first comes with the opening

    def open(self) -> SourceInfo:
        return SourceInfo(WIDTH, HEIGHT, 25.0, "h264", "rtp")

    def read(self) -> Decoded:
        if not self._pictures.acquire(blocking=False):
            self.hangs.set()
            self._pictures.acquire()
        return Picture()

    def shoot(self) -> None:
        self._pictures.release()

    def close(self) -> None:
        """A read that hangs goes on hanging."""
        self.closed.set()


class Around:
    """The worker and everything around it."""

    def __init__(self, runtime_dir: Path, shared_dir: Path) -> None:
        self.counters = FrameCounters.create(shared_dir / COUNTERS_FILE)
        self.worker = CaptureWorker("capture-0", runtime_dir, shared_dir)
        self.bus = Bus(runtime_dir)
        self.supervisor, self.infer = self.bus.serve("supervisor"), self.bus.serve("infer-0")
        self.received: list[Received] = []
        self.sources: list[Camera] = []
        self._shared_dir = shared_dir
        self.worker.open()

    def create_source(self, url: str, **_options: object) -> Camera:
        self.sources.append(Camera(url))
        return self.sources[-1]

    def turn(self) -> None:
        self.worker.step()
        self.received += self.bus.poll(0)

    def until(self, found: Callable[[], object], what: str) -> None:
        for _ in range(TURNS):
            if found():
                return
            self.turn()
        raise AssertionError(f"never came: {what}; heard {self.heard}")

    @property
    def heard(self) -> list[Message]:
        """What has come to the supervisor and to inference, in the order of each, not of both."""
        return [received.message for received in self.received]

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.heard if isinstance(message, kind)]

    def states(self, listener: str = "supervisor") -> list[str]:
        """As that one of the two has heard them, without repetition: the other may hear of them later."""
        here = [r.message for r in self.received if r.socket.endpoint == listener]
        told = [m.state for m in here if isinstance(m, SourceState)]
        return [state for i, state in enumerate(told) if i == 0 or told[i - 1] != state]

    def assign(self, *cameras: CaptureCamera) -> None:
        self.until(lambda: self.supervisor.send("capture-0", CaptureAssignment(0, cameras)), "its hello")
        self.turn()

    def question(self, camera: str = "gate") -> AllocateRing:
        """The newest one of `camera`, once there is one."""
        asked = lambda: [m for m in self.heard if isinstance(m, AllocateRing) and m.camera == camera]  # noqa: E731
        self.until(asked, f"a question for the ring of {camera}")
        return asked()[-1]

    def grant(self, question: AllocateRing, generation: int = 1) -> None:
        path = self._shared_dir / f"{question.camera}.{generation}"
        RingMemory.create(path, 4, question.width, question.height)
        self.supervisor.send(
            "capture-0",
            RingAllocated(
                question.camera,
                str(path),
                generation,
                generation,
                4,
                question.width,
                question.height,
                question.opening,
            ),
        )

    def refuse(self, question: AllocateRing, text: str = "the disk is full") -> None:
        self.supervisor.send("capture-0", RingRefused(question.camera, question.opening, text))

    def frame(self, camera: str = "gate", generation: int = 1) -> None:
        """Ask for a frame of `camera` and wait for it."""
        before = len(self.of(FrameReady))
        request = FrameRequest(camera, generation, ())
        self.until(lambda: self.infer.send("capture-0", request), "the capture worker at inference")
        self.until(lambda: len(self.of(FrameReady)) > before, f"a frame of {camera}")

    def balance(self, row: int = 0) -> Balance:
        return self.counters.balance(row)

    def close(self) -> None:
        for source in self.sources:
            for _ in range(10):
                source.shoot()
        self.worker.close()
        self.bus.close()


@pytest.fixture
def around(runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Around]:
    monkeypatch.setattr(ring_request, "RETRY_S", 0.0)
    found = Around(runtime_dir, tmp_path)
    monkeypatch.setattr(camera_thread, "create_source", found.create_source)
    yield found
    monkeypatch.setattr(camera_thread.CameraThread, "join", threading.Thread.join)
    found.close()


def camera(name: str = "gate", row: int = 0, url: str = "rtsp://box/1") -> CaptureCamera:
    return CaptureCamera(name, row, url, "infer-0", WIDTH, 0.0, False, True, 5.0, 5.0)


# ---- rings


def test_a_camera_is_live_when_it_has_its_ring(around: Around) -> None:
    around.assign(camera())
    question = around.question()
    assert around.states() == ["connecting"]
    around.grant(question)
    around.until(lambda: around.states() == ["connecting", "live"], "live")
    around.frame()


def test_a_camera_that_is_refused_a_ring_says_why_and_asks_until_it_has_one(around: Around) -> None:
    around.assign(camera())
    first = around.question()
    around.refuse(first)
    around.until(lambda: "no_storage" in around.states(), "what is wrong")
    (told,) = {m.detail for m in around.heard if isinstance(m, SourceState) and m.state == "no_storage"}
    assert "the disk is full" in told
    around.refuse(first)
    around.received.clear()
    again = around.question()
    assert again == first
    around.grant(again)
    around.until(lambda: around.states() == ["live"], "live, and nothing else before")
    around.sources[0].shoot()
    around.frame()


def test_frames_for_which_there_is_no_ring_are_dropped_for_that_reason(around: Around) -> None:
    around.assign(camera())
    around.refuse(around.question())
    around.until(lambda: "no_storage" in around.states(), "what is wrong")
    for _ in range(5):
        around.sources[0].shoot()
    around.until(lambda: around.balance().decoded == 6, "frames")
    assert around.balance().dropped == {"no_storage": 6}
    assert (around.balance().in_flight, unaccounted(around.balance())) == (0, 0)


def test_a_file_that_is_not_live_waits_for_its_ring_and_loses_no_frame(around: Around) -> None:
    clip = CaptureCamera("gate", 0, "clip.mp4", "infer-0", WIDTH, 0.0, False, False, 5.0, 5.0)
    around.assign(clip)
    question = around.question()
    around.refuse(question)
    around.until(lambda: "no_storage" in around.states(), "what is wrong")
    around.sources[0].shoot()
    around.grant(question)
    around.frame()
    around.frame()
    assert around.balance().dropped == {}


def test_a_ring_that_cannot_be_mapped_is_asked_for_again(around: Around) -> None:
    around.assign(camera())
    question = around.question()
    gone = RingAllocated("gate", "/nowhere/gate.1", 1, 1, 4, WIDTH, HEIGHT, question.opening)
    around.supervisor.send("capture-0", gone)
    around.until(lambda: "no_storage" in around.states(), "what is wrong")
    around.grant(question, 2)
    around.until(lambda: around.states()[-1] == "live", "live")
    around.sources[0].shoot()
    around.frame(generation=2)


def test_a_live_camera_that_nobody_asks_for_has_its_state_sent_again(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "RESEND_STATE_S", 0.0)
    around.assign(camera())
    around.grant(around.question())
    around.until(lambda: around.states("infer-0")[-1:] == ["live"], "live")
    around.received.clear()
    around.until(lambda: around.states("infer-0") == ["live"], "that it is live, once more")


def test_a_frame_that_cannot_be_converted_is_dropped_and_ends_no_process(
    around: Around, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Picture, "odd", True)
    around.assign(camera())
    around.grant(around.question())
    around.until(lambda: around.infer.send("capture-0", FrameRequest("gate", 1, ())), "the capture worker")
    for count in (1, 2):
        around.until(lambda n=count: around.balance().dropped == {"damaged": n}, "the drop")
        around.sources[0].shoot()  # the request stands: nothing has come of it
    around.supervisor.send("capture-0", SnapshotRequest(7, "gate", 0))
    around.until(lambda: around.of(Snapshot), "the answer")
    assert [m.error for m in around.heard if isinstance(m, Snapshot)] == ["the picture could not be encoded"]
    assert len([r for r in caplog.records if "could not be converted" in r.getMessage()]) == 1
    monkeypatch.setattr(Picture, "odd", False)
    around.sources[0].shoot()
    around.until(lambda: around.of(FrameReady), "the frame that was asked for at first")
    assert unaccounted(around.balance()) == 0


def test_a_request_that_found_no_slot_free_is_answered_when_one_is_given_back(around: Around) -> None:
    """It was used up by the frame that was dropped: inference waited for an answer that nobody owed it."""
    around.assign(camera())
    around.grant(around.question())
    for _ in range(4):
        around.frame()
        around.sources[0].shoot()
    held = around.of(FrameReady)
    around.infer.send("capture-0", FrameRequest("gate", 1, ()))
    around.until(lambda: around.balance().dropped.get("no_slot"), "the drop")
    around.worker._cameras["gate"].ring.release(1, (held[0].lease,))  # type: ignore[union-attr]
    around.sources[0].shoot()
    around.until(lambda: len(around.of(FrameReady)) == 5, "the answer")


def test_a_rate_that_inference_asks_for_holds_until_it_asks_for_another(around: Around) -> None:
    """All pictures are of one moment, so that of those that are not all wanted one alone is due."""

    def shoot(pictures: int, fps: float) -> None:
        around.until(lambda: around.infer.send("capture-0", FrameRequest("gate", 1, (), fps=fps)), "it")
        around.until(lambda: around.worker._cameras["gate"].thread._wanted_fps == fps, "the request")
        for _ in range(pictures):
            before = around.balance().decoded
            around.sources[0].shoot()
            around.until(lambda n=before: around.balance().decoded > n, "a picture")

    around.assign(camera())
    around.grant(around.question())
    around.frame()
    shoot(1, 2.0)
    around.until(lambda: len(around.of(FrameReady)) == 2, "the one that is due")
    shoot(4, 2.0)
    assert around.balance().dropped == {"not_due": 4}
    shoot(1, 0.0)
    around.until(lambda: len(around.of(FrameReady)) == 3, "a frame, as every one is due again")
    assert unaccounted(around.balance()) == 0


# ---- cameras that are changed or removed


def hanging(around: Around) -> Camera:
    """Camera gate, live, in a read that does not end."""
    around.assign(camera())
    around.grant(around.question())
    around.frame()
    return around.sources[0]


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def join(self: threading.Thread, _timeout_s: float | None = None) -> None:
        raise AssertionError(f"the loop waits for {self.name}")

    monkeypatch.setattr(camera_thread.CameraThread, "join", join)


def test_removing_a_camera_that_hangs_holds_up_no_other(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    source = hanging(around)
    around.assign(camera("yard", 1, "rtsp://box/2"))
    assert source.closed.is_set()
    around.grant(around.question("yard"))
    around.frame("yard")


def test_a_changed_camera_is_opened_when_its_old_connection_is_gone(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "HANDOVER_S", 1e9)
    no_waiting(monkeypatch)
    old = hanging(around)
    around.assign(camera(url="rtsp://box/2"))
    around.assign(camera(url="rtsp://box/3"))  # and once more, before it could
    for _ in range(3):
        around.turn()
    assert around.sources == [old]
    old.shoot()
    around.until(lambda: len(around.sources) == 2, "the new connection")
    assert around.sources[1].url == "rtsp://box/3"


def test_a_changed_camera_does_not_wait_for_ever_and_its_old_thread_leaves_its_counters_alone(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "HANDOVER_S", 0.0)
    no_waiting(monkeypatch)
    old = hanging(around)
    thread = around.worker._cameras["gate"].thread
    around.assign(camera(url="rtsp://box/2"))
    around.received.clear()
    around.grant(around.question(), 2)
    around.frame(generation=2)
    before = around.balance()
    old.shoot()
    around.until(lambda: not thread.is_alive(), "the old thread's end")
    assert around.balance() == before
    assert (before.decoded, before.in_flight, unaccounted(before)) == (2, 2, 0)


def test_an_inference_worker_that_died_while_a_camera_waits_to_be_opened_has_its_frames_counted(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "HANDOVER_S", 1e9)
    hanging(around)
    around.assign(camera(url="rtsp://box/2"))
    around.supervisor.send("capture-0", Reclaim("gate", 5))
    around.until(lambda: around.counters.reclaimed(0) == 5, "the reclaim")
    assert around.balance().dropped == {"worker_died": 1}
    assert unaccounted(around.balance()) == 0


def test_a_process_in_which_threads_never_end_says_so_and_is_replaced(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "HANDOVER_S", 0.0)
    monkeypatch.setattr(retired_threads, "OVERDUE_S", -10.0)  # beyond the deadlines of 5 s and 5 s
    hanging(around)
    for number in range(2, retired_threads.MAX_OVERDUE + 1):
        around.assign(camera(url=f"rtsp://box/{number}"))
        around.until(lambda n=number: len(around.sources) == n, "the next connection")
        around.until(around.sources[-1].hangs.is_set, "a read that hangs")  # one that is not begun is ended
    around.until(
        lambda: any(m.status["threads_overdue"] == ["gate"] * 3 for m in around.of(WorkerStatus)),  # type: ignore[union-attr]
        "the threads in its status",
    )
    around.assign(camera(url="rtsp://box/last"))
    with pytest.raises(CapacityError, match="do not end"):
        around.until(lambda: False, "the end of the process")


def test_a_camera_for_which_the_system_gives_no_thread_is_tried_again(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "HANDOVER_S", 0.0)
    start, tries = threading.Thread.start, []

    def refused_once(self: threading.Thread) -> None:
        if not tries:
            tries.append(self)
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(camera_thread.CameraThread, "start", refused_once)
    around.assign(camera())
    around.until(lambda: around.states()[:1] == ["unreachable"], "what is wrong")
    around.grant(around.question())
    around.frame()
