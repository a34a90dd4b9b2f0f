"""Whose frame is next: demands to the capture workers, and batches into the detector.

A detector computes one batch or a few side by side. While it could take another there is a demand out for
every camera; a busy one asks, shortly before the next batch will be done, for the frame of the camera it has
not looked at for longest. So nothing is converted for nobody, and a frame is at most one frame interval old
when it is taken. The batches of one camera are finished in the order of its frames.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pipelines.pipeline import Pending, Pipeline
from pipelines.values import Frame, Stamp
from streamer.bus import Server
from streamer.errors import StorageError
from streamer.messages import Demand, FrameReady
from streamer.ring import RingReader
from streamer.workers.inferred import RECENT, InferredCamera

LEAD_MIN_S, LEAD_MAX_S = 0.002, 0.030  # how long before the end of a batch the next frame is asked for
LEAD_SPARE_S = 0.001
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
    """One detector's time, shared fairly. The detector's thread calls `wake` when a batch is done."""

    def __init__(
        self, server: Server, cameras: Mapping[str, InferredCamera], wake: Callable[[], None]
    ) -> None:
        self.running: list[Running] = []  # in the order of their start
        self.inference_ms: deque[float] = deque(maxlen=RECENT)
        self._server = server
        self._cameras = cameras
        self._wake = wake
        self._ring = RingReader()
        self._inference_s = 0.03  # smoothed: how long a batch takes
        self._turnaround_s = 0.005  # smoothed: from a demand to its frame

    def note(self, running: Running) -> None:
        """Learn from a batch that is done how long the next will take."""
        self._inference_s += SMOOTHING * (running.took_s - self._inference_s)
        self.inference_ms.append(running.took_s * 1e3)

    # ---- frames

    def frame_ready(self, worker: str, frame: FrameReady) -> None:
        camera = self._cameras.get(frame.camera)
        if camera is None or frame.generation < camera.generation:
            return  # its books were closed when the camera was taken from us, or its worker died
        camera.worker, camera.generation = worker, frame.generation
        if camera.demanded_s:
            if self.running:
                took_s = min(time.monotonic() - camera.demanded_s, LEAD_MAX_S)
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
            if not ready:
                return refused
            ready.sort(key=lambda c: c.served_s)
            pipeline = ready[0].pipeline
            assert pipeline is not None
            if not self._room(pipeline):
                return refused
            batch = [c for c in ready if c.pipeline is pipeline][: pipeline.max_batch]
            refused += self._start(pipeline, batch)

    def _room(self, pipeline: Pipeline) -> bool:
        computing = sum(not running.finished for running in self.running)
        return computing < pipeline.detector.parallel and len(self.running) < pipeline.detector.depth

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
        """Send the demands that are due to cameras of `open_to`, and give slots back with them."""
        now_s = time.monotonic()
        first = self._first_to_end()
        if first is not None:
            if now_s < self._ask_at_s(first) or any(c.ready is not None for c in open_to):
                return
            idle = sorted((c for c in open_to if not c.demanded_s), key=lambda c: c.served_s)
            open_to = idle[: first.pipeline.max_batch]
        for camera in open_to:
            if not camera.demanded_s and camera.ready is None:
                self._demand(camera, now_s)

    def patience_s(self) -> float:
        """How long to wait for messages: until the next demand is due."""
        if any(running.finished for running in self.running):
            return 0.0
        first = self._first_to_end()
        if first is None:
            return PATIENCE_S
        left_s = self._ask_at_s(first) - time.monotonic()
        return PATIENCE_S if left_s <= 0 else min(left_s, PATIENCE_S)

    def _first_to_end(self) -> Running | None:
        """The batch that will be done first, if the detector has no room for another before."""
        computing = [running for running in self.running if not running.finished]
        if not computing or self._room(computing[0].pipeline):
            return None
        return computing[0]

    def _demand(self, camera: InferredCamera, now_s: float) -> None:
        slots = tuple(slot for generation, slot in camera.owed if generation == camera.generation)
        if self._server.send(camera.worker, Demand(camera.name, camera.generation, slots)):
            camera.owed.clear()
            camera.demanded_s = now_s

    def _ask_at_s(self, running: Running) -> float:
        lead_s = min(max(self._turnaround_s * 1.2 + LEAD_SPARE_S, LEAD_MIN_S), LEAD_MAX_S)
        return running.started_s + self._inference_s - lead_s


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
