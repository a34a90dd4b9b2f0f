"""Whose frame is next: requests to the capture workers, and batches into the detectors.

A frame's life here, in the order of the methods:

    send_requests   the next frame of a camera is requested, shortly before its detector has room for it
    frame_ready     it has been converted, and waits
    advance         it starts, in a batch, in a detector that has room; batches that are done come out
    collect         what its pipeline makes of each frame: tracks, counts, events

A detector computes one batch or a few side by side, whatever other detectors of the worker do. While it has
nothing to do, frames of all its cameras are requested; a busy one requests, shortly before a batch will be
done, one frame: of a camera it has not looked at for long or that had fewer turns than others, and of those
rather one that has just decoded one.
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
from pipelines.pending import Pending
from pipelines.pipeline import Pipeline
from pipelines.values import Frame, FrameResult, Stamp
from streamer.errors import StorageError
from streamer.ipc.bus import Server
from streamer.ipc.frame_ring import RingReader
from streamer.ipc.messages import FrameReady, FrameRequest
from streamer.workers.core_wait import CoreWait
from streamer.workers.infer.camera import RECENT, CameraContext
from streamer.workers.infer.shape_preparer import ShapePreparer

USUAL_INFERENCE_S = 0.03  # what a batch takes in a detector of which nothing is known yet
MIN_LEAD_S, MAX_LEAD_S = 0.002, 0.030  # how long before the end of a batch the next frame is requested
SPARE_LEAD_S = 0.001
LATE_S = 0.006  # a frame may be decoded so much later than its interval says: the one before is taken then
FRESH = 2.0  # turns that a camera whose newest frame is about to be replaced waits longer for a fresh one
MAX_OWED = 4  # turns that a camera may be behind the others and yet get; what it missed beyond that is gone
SMOOTHING = 0.1  # of the two times that decide it
MAX_POLL_S = 0.2  # how long a worker may wait for messages when nothing is due


@dataclass(slots=True, eq=False)
class RunningBatch:
    """A batch in the detector. Its thread sets `finished_s`, then `finished`."""

    pipeline: Pipeline
    cameras: tuple[CameraContext, ...]
    started_s: float
    pending: Pending | None = None
    finished: bool = False
    finished_s: float = 0.0

    @property
    def inference_s(self) -> float:
        return (self.finished_s or time.monotonic()) - self.started_s


class BatchScheduler:
    """Each detector's time, shared fairly. A detector's thread calls `wake` when a batch is done."""

    def __init__(
        self, server: Server, cameras: Mapping[str, CameraContext], wake: Callable[[], None]
    ) -> None:
        self.inference_ms: deque[float] = deque(maxlen=RECENT)
        self.cores = CoreWait()
        self._running: list[RunningBatch] = []  # in the order of their start
        self._given: list[RunningBatch] = []  # to be finished, and not collected yet: their tickets are open
        self._server = server
        self._cameras = cameras
        self._wake = wake
        self._shapes = ShapePreparer(wake)
        self._ring = RingReader()
        # Smoothed, of each detector: how long a batch takes.
        self._inference_s: WeakKeyDictionary[Detector, float] = WeakKeyDictionary()
        self._turnaround_s = 0.005  # smoothed: from a request to its frame

    # ---- requests

    def send_requests(self, cameras: list[CameraContext]) -> None:
        """Send the requests that are due, to `cameras` alone, and release slots with them.

        No more than there is room for: a frame that waits here grows old, while one that is not requested is
        replaced by a newer one. A request that is not answered soon waits for a frame yet to be made; others
        are sent beside it, so that a detector with room has one out for every camera before long.
        """
        now_s = time.monotonic()
        idle = [c for c in cameras if not c.requested_s and c.waiting is None]
        for detector in {id(c.pipeline.detector): c.pipeline.detector for c in idle if c.pipeline}.values():
            its = [c for c in idle if c.pipeline and c.pipeline.detector is detector]
            for camera in self._by_priority(its, now_s)[
                : self._room_for(detector, now_s) * detector.max_batch
            ]:
                self._request(camera, now_s)

    def poll_timeout_s(self) -> float:
        """How long to wait for messages: until the next request is due."""
        now_s = time.monotonic()
        due_s = now_s + MAX_POLL_S
        for batch in self._running:
            if batch.finished:
                return 0.0
            if now_s < (request_s := self._request_next_at_s(batch)) < due_s:
                due_s = request_s
        for camera in self._cameras.values():
            if self._is_coming(camera, now_s):
                due_s = min(due_s, camera.requested_s + self._soon_s)
        return due_s - now_s

    def _room_for(self, detector: Detector, now_s: float) -> int:
        """For how many batches more there is or will soon be room, with none waiting or coming for it."""
        computing = [batch for batch in self._running_in(detector) if not batch.finished]
        room = max(detector.parallel - len(computing), 0)
        room += sum(now_s >= self._request_next_at_s(batch) for batch in computing)
        its = [c for c in self._cameras.values() if c.pipeline and c.pipeline.detector is detector]
        return max(0, room - sum(self._may_start(c) or self._is_coming(c, now_s) for c in its))

    def _may_start(self, camera: CameraContext) -> bool:
        """Whether a frame of it waits for nothing but room: not for its shape of picture to be compiled."""
        frame, pipeline = camera.waiting, camera.pipeline
        if frame is None or pipeline is None:
            return False
        return self._shapes.ready(
            pipeline.detector, pipeline.shape_for(camera.name, frame.width, frame.height)
        )

    def _by_priority(self, cameras: list[CameraContext], now_s: float) -> list[CameraContext]:
        """Who has waited long goes first, who is owed turns, and who has a fresh frame (as much as FRESH)."""
        if len(cameras) < 2:
            return cameras
        mean_s = max(sum(now_s - c.last_served_s for c in cameras) / len(cameras), 1e-3)
        most_turns = max(c.turns for c in cameras)
        decoded_ns = int((now_s - LATE_S) * 1e9)

        def rank(camera: CameraContext) -> float:
            owed = min(most_turns - camera.turns, MAX_OWED)
            waited = (now_s - camera.last_served_s) / mean_s
            return FRESH * camera.interval.age(decoded_ns) - waited - owed

        return sorted(cameras, key=rank)

    def _is_coming(self, camera: CameraContext, now_s: float) -> bool:
        """Whether its request will be answered soon; later it waits for a frame that is yet to be made."""
        return now_s - camera.requested_s < self._soon_s

    @property
    def _soon_s(self) -> float:
        return 2 * self._turnaround_s + SPARE_LEAD_S

    def _request_next_at_s(self, batch: RunningBatch) -> float:
        lead_s = min(max(self._turnaround_s * 1.2 + SPARE_LEAD_S, MIN_LEAD_S), MAX_LEAD_S)
        return batch.started_s + self._inference_s.get(batch.pipeline.detector, USUAL_INFERENCE_S) - lead_s

    def _request(self, camera: CameraContext, now_s: float) -> None:
        leases = tuple(lease for ring, lease in camera.leases_to_release if ring == camera.generation)
        request = FrameRequest(
            camera.name,
            camera.generation,
            leases,
            camera.quiet,
            camera.still,
            camera.wanted_fps,
            self.cores.short,
        )
        if self._server.send(camera.worker, request):
            camera.leases_to_release.clear()
            camera.requested_s = now_s

    def request_sooner(self, camera: CameraContext) -> None:
        """It is to be looked at more often than the request that is out says, if one is: say so now, since
        that would wait for the frame that was due."""
        if camera.requested_s:
            self._request(camera, time.monotonic())

    # ---- frames

    def frame_ready(self, worker: str, frame: FrameReady) -> None:
        """A requested frame has come: it waits for room in its camera's detector."""
        camera = self._cameras.get(frame.camera)
        if camera is None or frame.generation < camera.generation:
            return  # its counters were closed when the camera was taken from us, or its worker died
        camera.worker, camera.generation = worker, frame.generation
        if camera.config.newest:
            camera.interval.add(frame)
        if camera.requested_s:
            # One that was made after it was requested has taken only the rest of the way.
            since_s = max(camera.requested_s, frame.received_mono_ns / 1e9)
            turnaround_s = min(time.monotonic() - since_s, MAX_LEAD_S)
            self._turnaround_s += SMOOTHING * (turnaround_s - self._turnaround_s)
            camera.requested_s = 0.0
        if camera.waiting is not None:
            camera.block.add(drop_unassigned=1)
            camera.leases_to_release.append((camera.waiting.generation, camera.waiting.lease))
        camera.waiting = frame

    # ---- batches

    def advance(self) -> list[RunningBatch]:
        """Give the detectors all the batches that there are frames and room for.

        Returns the batches to finish now, which are done, and so is any older one of their cameras. They are
        taken out before others start, so that the detector computes while they are tracked and counted.
        """
        done = self._take_done()
        while (next_batch := self._next_batch()) is not None:
            pipeline, cameras = next_batch
            if not self._drop_stale(cameras):
                self._start(pipeline, cameras[: pipeline.max_batch])
        return done

    def drain(self) -> list[RunningBatch]:
        """Take out all batches, also those that are not done: collect() then waits for them."""
        batches, self._running = self._running, []
        self._given += batches
        return batches

    def collect(self, batch: RunningBatch) -> list[tuple[CameraContext, FrameResult | str]]:
        """Track and count what was found in each frame of `batch`; the text says why one cannot be used."""
        assert batch.pending is not None
        self._given.remove(batch)
        results = batch.pipeline.collect_each(batch.pending)
        self._learn(batch)
        return list(zip(batch.cameras, results, strict=True))

    def in_detector(self, camera: CameraContext) -> bool:
        """Whether a frame of `camera` is in a detector or not yet finished."""
        return any(camera in batch.cameras for batch in self._running)

    def tidy(self) -> None:
        """Let go of memory that no frame comes in any more, and see how long cores are waited for; about
        once a second."""
        self._ring.tidy()
        self.cores.read(time.monotonic())

    def _take_done(self) -> list[RunningBatch]:
        done: list[RunningBatch] = []
        still: list[RunningBatch] = []
        for batch in self._running:
            held_up = any(camera in older.cameras for older in still for camera in batch.cameras)
            (done if batch.finished and not held_up else still).append(batch)
        self._running = still
        self._given += done
        return done

    def _next_batch(self) -> tuple[Pipeline, list[CameraContext]] | None:
        """The pipeline whose turn it is and the cameras with a frame for it, who waited longest first.

        An older frame that waits for a busy detector keeps none back from another that has room.
        """
        ready = [c for c in self._cameras.values() if self._may_start(c)]
        ready.sort(key=lambda c: c.last_served_s)
        pipeline = next((c.pipeline for c in ready if c.pipeline and self._has_room(c.pipeline)), None)
        return None if pipeline is None else (pipeline, [c for c in ready if c.pipeline is pipeline])

    def _has_room(self, pipeline: Pipeline) -> bool:
        """Whether another batch can compute now. Those that are being finished have tickets open as well, and
        on a busy box a batch may be done before the next one starts."""
        detector = pipeline.detector
        its = self._running_in(detector)
        computing = sum(not batch.finished for batch in its)
        opened = len(its) + sum(batch.pipeline.detector is detector for batch in self._given)
        return computing < detector.parallel and opened < detector.depth

    def _running_in(self, detector: Detector) -> list[RunningBatch]:
        return [batch for batch in self._running if batch.pipeline.detector is detector]

    def _drop_stale(self, cameras: list[CameraContext]) -> bool:
        """Request anew frames that grew old in waiting: there is a newer one. Once, then any will do."""
        now_s = time.monotonic()
        stale = [
            c
            for c in cameras
            if c.waiting
            and not c.stale_dropped
            and c.interval.is_stale(c.waiting, int(now_s * 1e9), c.wanted_fps)
        ]
        for camera in stale:
            assert camera.waiting is not None
            camera.block.add(drop_stale=1)
            camera.leases_to_release.append((camera.waiting.generation, camera.waiting.lease))
            camera.waiting, camera.stale_dropped = None, True
            self._request(camera, now_s)
        return bool(stale)

    def _start(self, pipeline: Pipeline, cameras: Iterable[CameraContext]) -> None:
        batch: list[CameraContext] = []
        frames: list[Frame] = []
        for camera in cameras:
            try:
                frames.append(self._take_waiting(camera))
                batch.append(camera)
            except StorageError as error:
                camera.frame_rejected(str(error))
        if batch:
            self._submit(pipeline, tuple(batch), frames)

    def _take_waiting(self, camera: CameraContext) -> Frame:
        """Its waiting frame, as a view of the ring. Raises StorageError when that cannot be mapped."""
        message, camera.waiting = camera.waiting, None
        camera.stale_dropped = False
        assert message is not None
        camera.last_served_s = time.monotonic()
        self._count_turn(camera)
        camera.leases_to_release.append((message.generation, message.lease))
        image = self._ring.view(message.path, message.slot, message.width, message.height)
        if message.kept:
            camera.kept_frames.append((message.epoch, message.frame_id))
        else:
            now_ns = time.monotonic_ns()
            camera.ages.append((now_ns / 1e9, (now_ns - message.received_mono_ns) / 1e6))
        return Frame(_stamp(message), image)

    def _count_turn(self, camera: CameraContext) -> None:
        """Turns are compared between the cameras of a detector: stride scheduling with a bounded credit."""
        assert camera.pipeline is not None
        detector = camera.pipeline.detector
        its = [c for c in self._cameras.values() if c.pipeline and c.pipeline.detector is detector]
        camera.turns = max(camera.turns, max(c.turns for c in its) - MAX_OWED) + 1

    def _submit(self, pipeline: Pipeline, cameras: tuple[CameraContext, ...], frames: list[Frame]) -> None:
        batch = RunningBatch(pipeline, cameras, time.monotonic())

        def done() -> None:
            batch.finished_s, batch.finished = time.monotonic(), True
            self._wake()

        begun_ns = time.thread_time_ns()
        batch.pending = pipeline.submit(frames, done)
        took_ns = time.thread_time_ns() - begun_ns
        for camera in cameras:
            camera.cost.inference_ns += took_ns // len(cameras)
        self._running.append(batch)

    def _learn(self, batch: RunningBatch) -> None:
        """Learn from a batch that is done how long the next will take."""
        detector, took_s = batch.pipeline.detector, batch.inference_s
        before_s = self._inference_s.get(detector, USUAL_INFERENCE_S)
        self._inference_s[detector] = before_s + SMOOTHING * (took_s - before_s)
        self.inference_ms.append(took_s * 1e3)


def charge(batch: RunningBatch, took_ns: int) -> None:
    """Put down for the cameras of a finished batch what following it took, and their part of the detector."""
    parts = len(batch.cameras)
    for camera in batch.cameras:
        camera.cost.rest_ns += took_ns // parts
        camera.cost.detector_s += batch.inference_s / parts
        camera.cost.frames += 1


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
