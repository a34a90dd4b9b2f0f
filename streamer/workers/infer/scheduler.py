"""Whose frame is next: demands to the capture workers, and batches into the detector.

A detector computes one batch or a few side by side, whatever other detectors of the worker do. While it has
nothing to do a demand is out for every camera of it; a busy one asks, shortly before a batch will be done,
for one frame: of a camera it has not looked at for long, and of those rather one that has just decoded one.
So nothing is converted for nobody, and a frame is young when it is taken. The batches of one camera are
finished in the order of its frames.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pipelines.detect.detector import Detector
from pipelines.pipeline import Pending, Pipeline
from pipelines.values import Frame, Stamp
from streamer.errors import StorageError
from streamer.ipc.bus import Server
from streamer.ipc.frame_ring import RingReader
from streamer.ipc.messages import FrameReady, FrameRequest
from streamer.workers.infer.camera import RECENT, InferredCamera

USUAL_S = 0.03  # what a batch takes in a detector of which nothing is known yet
LEAD_MIN_S, LEAD_MAX_S = 0.002, 0.030  # how long before the end of a batch the next frame is asked for
LEAD_SPARE_S = 0.001
LATE_S = 0.006  # a frame may be decoded so much later than its rhythm says: the one before is taken then
FRESH = 2.0  # turns that a camera whose newest frame is about to be replaced waits longer for a fresh one
SMOOTHING = 0.1  # of the two times that decide it
PATIENCE_S = 0.2  # how long a worker may wait for messages when nothing is due


@dataclass(slots=True, eq=False)
class Running:
    """A batch in the detector."""

    pipeline: Pipeline
    cameras: tuple[InferredCamera, ...]
    started_s: float
    pending: Pending | None = None
    finished: bool = False
    finished_s: float = 0.0

    @property
    def took_s(self) -> float:
        return (self.finished_s or time.monotonic()) - self.started_s


class Turns:
    """Each detector's time, shared fairly. A detector's thread calls `wake` when a batch is done."""

    def __init__(
        self, server: Server, cameras: Mapping[str, InferredCamera], wake: Callable[[], None]
    ) -> None:
        self.running: list[Running] = []  # in the order of their start
        self.inference_ms: deque[float] = deque(maxlen=RECENT)
        self._server = server
        self._cameras = cameras
        self._wake = wake
        self._ring = RingReader()
        # Smoothed, of each detector: how long a batch takes.
        self._inference_s: WeakKeyDictionary[Detector, float] = WeakKeyDictionary()
        self._turnaround_s = 0.005  # smoothed: from a demand to its frame

    def note(self, running: Running) -> None:
        """Learn from a batch that is done how long the next will take."""
        before_s = self._inference_s.get(running.pipeline.detector, USUAL_S)
        self._inference_s[running.pipeline.detector] = before_s + SMOOTHING * (running.took_s - before_s)
        self.inference_ms.append(running.took_s * 1e3)

    def tidy(self) -> None:
        """Let go of memory that no frame comes in any more; about once a second."""
        self._ring.tidy()

    # ---- frames

    def frame_ready(self, worker: str, frame: FrameReady) -> None:
        camera = self._cameras.get(frame.camera)
        if camera is None or frame.generation < camera.generation:
            return  # its counters were closed when the camera was taken from us, or its worker died
        camera.worker, camera.generation = worker, frame.generation
        if camera.config.newest:
            camera.rhythm.note(frame)
        if camera.demanded_s:
            # One that was made after it was asked for has taken only the rest of the way.
            since_s = max(camera.demanded_s, frame.received_mono_ns / 1e9)
            took_s = min(time.monotonic() - since_s, LEAD_MAX_S)
            self._turnaround_s += SMOOTHING * (took_s - self._turnaround_s)
            camera.demanded_s = 0.0
        if camera.ready is not None:
            camera.block.add(drop_unassigned=1)
            camera.owed.append((camera.ready.generation, camera.ready.slot))
        camera.ready = frame

    def done(self) -> list[Running]:
        """Take out the batches to finish now: they are done, and so is any older one of their cameras."""
        finished: list[Running] = []
        waiting: list[Running] = []
        for running in self.running:
            held_up = any(camera in older.cameras for older in waiting for camera in running.cameras)
            (finished if running.finished and not held_up else waiting).append(running)
        if finished:
            self.running = waiting
        return finished

    def has(self, camera: InferredCamera) -> bool:
        """Whether a frame of `camera` is in a detector or not yet finished."""
        return any(camera in running.cameras for running in self.running)

    def start(self) -> Iterable[tuple[InferredCamera, str]]:
        """Give the detectors all the batches that there are frames and room for.

        Returns the frames that could not be read.
        """
        refused: list[tuple[InferredCamera, str]] = []
        while True:
            ready = [c for c in self._cameras.values() if c.ready is not None and c.pipeline is not None]
            ready.sort(key=lambda c: c.served_s)
            # An older frame that waits for a busy detector keeps none back from another that has room.
            pipeline = next((c.pipeline for c in ready if c.pipeline and self._room(c.pipeline)), None)
            if pipeline is None:
                return refused
            batch = [c for c in ready if c.pipeline is pipeline]
            if not self._exchange(batch):
                refused += self._start(pipeline, batch[: pipeline.max_batch])

    def _exchange(self, ready: list[InferredCamera]) -> bool:
        """Ask anew for frames that grew old in waiting: there is a newer one. Once, then any will do."""
        now_s = time.monotonic()
        old = [
            c for c in ready if c.ready and not c.exchanged and c.rhythm.is_over(c.ready, int(now_s * 1e9))
        ]
        for camera in old:
            assert camera.ready is not None
            camera.block.add(drop_stale=1)
            camera.owed.append((camera.ready.generation, camera.ready.slot))
            camera.ready, camera.exchanged = None, True
            self._demand(camera, now_s)
        return bool(old)

    def _room(self, pipeline: Pipeline) -> bool:
        """Whether another batch can compute now. Those that are being finished have tickets open as well."""
        detector = pipeline.detector
        mine = self._running_in(detector)
        computing = sum(not running.finished for running in mine)
        return computing < detector.parallel and len(mine) < detector.depth - detector.parallel

    def _running_in(self, detector: Detector) -> list[Running]:
        return [running for running in self.running if running.pipeline.detector is detector]

    def _start(self, pipeline: Pipeline, batch: list[InferredCamera]) -> Iterable[tuple[InferredCamera, str]]:
        taken: list[InferredCamera] = []
        frames: list[Frame] = []
        refused: list[tuple[InferredCamera, str]] = []
        for camera in batch:
            try:
                frames.append(self._take(camera))
                taken.append(camera)
            except StorageError as error:
                camera.block.add(drop_refused=1)
                refused.append((camera, str(error)))
        if taken:
            self._submit(pipeline, tuple(taken), frames)
        return refused

    def _take(self, camera: InferredCamera) -> Frame:
        message, camera.ready = camera.ready, None
        camera.exchanged = False
        assert message is not None
        camera.served_s = time.monotonic()
        camera.owed.append((message.generation, message.slot))
        image = self._ring.view(message.path, message.slot, message.width, message.height)
        camera.ages_ms.append((time.monotonic_ns() - message.received_mono_ns) / 1e6)
        return Frame(_stamp(message), image)

    def _submit(self, pipeline: Pipeline, cameras: tuple[InferredCamera, ...], frames: list[Frame]) -> None:
        running = Running(pipeline, cameras, time.monotonic())

        def done() -> None:
            running.finished_s, running.finished = time.monotonic(), True
            self._wake()

        running.pending = pipeline.submit(frames, done)
        self.running.append(running)

    # ---- demands

    def ask(self, open_to: list[InferredCamera]) -> None:
        """Send the demands that are due to cameras of `open_to`, and give slots back with them.

        No more than there is room for: a frame that waits here grows old, while one that is not asked for is
        replaced by a newer one. A demand that is not answered soon waits for a frame yet to be made; others
        are sent beside it, so that a detector with room has one out for every camera before long.
        """
        now_s = time.monotonic()
        asked = [c for c in open_to if not c.demanded_s and c.ready is None]
        for detector in {id(c.pipeline.detector): c.pipeline.detector for c in asked if c.pipeline}.values():
            mine = [c for c in asked if c.pipeline and c.pipeline.detector is detector]
            for camera in self._by_turn(mine, now_s)[: self._wanted(detector, now_s) * detector.max_batch]:
                self._demand(camera, now_s)

    def _wanted(self, detector: Detector, now_s: float) -> int:
        """For how many batches more there is or will soon be room, with none waiting or coming for it."""
        computing = [running for running in self._running_in(detector) if not running.finished]
        room = max(detector.parallel - len(computing), 0)
        room += sum(now_s >= self._ask_at_s(running) for running in computing)
        its = [c for c in self._cameras.values() if c.pipeline and c.pipeline.detector is detector]
        return max(0, room - sum(c.ready is not None or self._is_coming(c, now_s) for c in its))

    def patience_s(self) -> float:
        """How long to wait for messages: until the next demand is due."""
        now_s = time.monotonic()
        due_s = now_s + PATIENCE_S
        for running in self.running:
            if running.finished:
                return 0.0
            if now_s < (at_s := self._ask_at_s(running)) < due_s:
                due_s = at_s
        for camera in self._cameras.values():
            if self._is_coming(camera, now_s):
                due_s = min(due_s, camera.demanded_s + self._soon_s)
        return due_s - now_s

    def _by_turn(self, cameras: list[InferredCamera], now_s: float) -> list[InferredCamera]:
        """Who has waited long goes first, and who has a fresh frame, which counts as much as FRESH turns."""
        if len(cameras) < 2:
            return cameras
        mean_s = max(sum(now_s - c.served_s for c in cameras) / len(cameras), 1e-3)
        sure_ns = int((now_s - LATE_S) * 1e9)
        return sorted(cameras, key=lambda c: FRESH * c.rhythm.age(sure_ns) - (now_s - c.served_s) / mean_s)

    def _is_coming(self, camera: InferredCamera, now_s: float) -> bool:
        """Whether its demand will be answered soon; later it waits for a frame that is yet to be made."""
        return now_s - camera.demanded_s < self._soon_s

    @property
    def _soon_s(self) -> float:
        return 2 * self._turnaround_s + LEAD_SPARE_S

    def _demand(self, camera: InferredCamera, now_s: float) -> None:
        slots = tuple(slot for generation, slot in camera.owed if generation == camera.generation)
        if self._server.send(camera.worker, FrameRequest(camera.name, camera.generation, slots)):
            camera.owed.clear()
            camera.demanded_s = now_s

    def _ask_at_s(self, running: Running) -> float:
        lead_s = min(max(self._turnaround_s * 1.2 + LEAD_SPARE_S, LEAD_MIN_S), LEAD_MAX_S)
        return running.started_s + self._inference_s.get(running.pipeline.detector, USUAL_S) - lead_s


def _stamp(message: FrameReady) -> Stamp:
    return Stamp(
        message.camera,
        message.epoch,
        message.frame_id,
        message.media_ns,
        message.captured_ns,
        message.received_mono_ns,
        message.clock_source,
    )
