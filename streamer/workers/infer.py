"""The inference worker: takes the newest frame of each camera in turn, and turns frames into events.

Demand is the flow control. An idle worker has a demand out for every camera; a busy one asks, shortly
before the running inference will be done, for the frame of the camera it has not looked at for longest.
So nothing is converted for nobody, and a frame is never older than one frame interval when it is taken.
While one batch is in the detector, the results of the one before are tracked and sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from pipelines.detect.errors import FrameRefused
from pipelines.pipeline import Pending, Pipeline
from pipelines.spec import CameraRules
from pipelines.values import Event, Frame, FrameResult, Stamp
from streamer.bus import Bus
from streamer.errors import StorageError
from streamer.messages import (
    Ack,
    CameraResume,
    Demand,
    EventRecord,
    FrameReady,
    Hello,
    InferAssignment,
    InferCamera,
    Ready,
    Resume,
    SourceState,
    Stop,
    Trouble,
    WorkerStatus,
)
from streamer.metrics import Block, Books
from streamer.ring import RingReader
from streamer.workers.checkpoint import Checkpoints
from streamer.workers.coverage import Coverage, percentile
from streamer.workers.journal import Journal
from streamer.workers.loading import PipelineLoader

log = logging.getLogger(__name__)

HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 0.5
CHECKPOINT_GOOD_S = 30.0  # an older one says nothing about where things are now
POLL_S = 0.2
LEAD_MIN_S, LEAD_MAX_S = 0.002, 0.030  # how long before the end of an inference the next frame is asked for
SMOOTHING = 0.1
DRAIN_S = 4.0  # at the stop, for the delivery worker to acknowledge
RECENT = 512  # latencies kept for the status
CAMERA_STATE = "streamer.camera.state.v1"
COUNTS = "streamer.counts.v1"


@dataclass(slots=True, eq=False)
class _Camera:
    config: InferCamera
    block: Block
    coverage: Coverage
    generation: int
    worker: str = ""  # the capture worker it last came from
    pipeline: Pipeline | None = None
    spec: str = ""  # of `pipeline`
    trouble: str = ""
    ready: FrameReady | None = None
    demanded_s: float = 0.0  # 0: no demand is out
    owed: list[tuple[int, int]] = field(default_factory=list)  # (generation, slot) to give back
    served_s: float = 0.0
    inferred: int = 0
    states: deque[SourceState] = field(default_factory=lambda: deque(maxlen=64))  # waiting for a number
    last_state: tuple[str, int] = ("", 0)
    stamp: Stamp | None = None
    ages_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    saved_s: float = 0.0
    fps_mark: tuple[float, int] = (0.0, 0)
    fps: float = 0.0


@dataclass(slots=True, eq=False)
class _Running:
    """A batch in the detector."""

    pipeline: Pipeline
    cameras: tuple[_Camera, ...]
    started_s: float
    pending: Pending | None = None
    finished: bool = False
    finished_s: float = 0.0


class InferWorker:
    """See the module's docstring; implements `workers.loop.Worker`."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> None:
        self.stopping = False
        self.name = name
        self._runtime_dir = runtime_dir
        self._state_dir = state_dir
        self._books = Books.attach(shared_dir / "books")
        self._checkpoints = Checkpoints(shared_dir)
        self._ring = RingReader()
        self._cameras: dict[str, _Camera] = {}
        self._told: dict[str, tuple[str, SourceState]] = {}  # what capture workers said last
        self._assignment: InferAssignment | None = None
        self._loader: PipelineLoader | None = None
        self._running: _Running | None = None
        self._told_ready = -1
        self._next_hello_s = 0.0
        self._next_status_s = 0.0
        self._inference_s = 0.03  # smoothed: how long a batch takes
        self._turnaround_s = 0.005  # smoothed: from a demand to its frame
        self._inference_ms: deque[float] = deque(maxlen=RECENT)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def open(self) -> None:
        cv2.setNumThreads(1)  # the detector has the cores
        self._bus = Bus(self._runtime_dir)
        self._bus.watch(self._wake_fd)
        self._server = self._bus.serve(self.name)
        self._supervisor = self._bus.connect("supervisor", self.name)
        self._journal = Journal(self.name, self._bus.connect("deliver", self.name), self._runtime_dir)

    def step(self) -> None:
        for received in self._bus.poll(self._patience_s()):
            self._handle(received.peer, received.message)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        now_s = time.monotonic()
        if self._assignment is None and now_s >= self._next_hello_s:
            self._supervisor.send(Hello(self.name, os.getpid()))
            self._next_hello_s = now_s + HELLO_EVERY_S
        self._advance()
        self._ask_for_frames(time.monotonic())
        self._journal.tick(now_s)
        if now_s >= self._next_status_s:
            self._once_a_second(now_s)

    def close(self) -> None:
        """Finish the batch in hand, close the buckets, and wait for the acknowledgements."""
        if self._running is not None:
            self._finish(self._running)
        for camera in self._cameras.values():
            if camera.ready is not None:
                camera.block.add(drop_stopped=1)
                camera.ready = None
            self._close_buckets(camera, stopping=True)
        deadline_s = time.monotonic() + DRAIN_S
        while self._journal.unacknowledged and time.monotonic() < deadline_s:
            for received in self._bus.poll(0.05):
                if isinstance(received.message, Ack):
                    self._journal.acknowledged(received.message)
            self._journal.tick(time.monotonic())
        self._journal.close()
        self._bus.close()

    # ---- messages

    def _handle(self, peer: str, message: object) -> None:
        if isinstance(message, FrameReady):
            self._frame_ready(peer, message)
        elif isinstance(message, Ack):
            self._journal.acknowledged(message)
        elif isinstance(message, SourceState):
            self._source_state(peer, message)
        elif isinstance(message, InferAssignment):
            self._assign(message)
        elif isinstance(message, Resume):
            for news in self._journal.resumed(message):
                self._resume(news)
        elif isinstance(message, Stop):
            self.stopping = True

    def _assign(self, assignment: InferAssignment) -> None:
        """Become what is asked. What is the same as before is not touched."""
        before, self._assignment = self._assignment, assignment
        if self._loader is None or before is None or _engine(before) != _engine(assignment):
            self._loader = PipelineLoader(self._state_dir, assignment.engine, assignment.threads, self._wake)
        wanted = {camera.name: camera for camera in assignment.cameras}
        for name in [n for n in self._cameras if n not in wanted]:
            self._remove(self._cameras.pop(name))
        for config in wanted.values():
            camera = self._cameras.get(config.name)
            if camera is None or camera.config.row != config.row:
                camera = self._cameras[config.name] = self._add(config)
                if config.name in self._told:
                    self._source_state(*self._told[config.name])
            elif config != camera.config:
                self._change(camera, config)
            self._loader.want(config.pipeline)
        self._journal.ask([name for name in wanted if not self._journal.knows(name)])
        self._settle()

    def _add(self, config: InferCamera) -> _Camera:
        balance = self._books.balance(config.row)
        coverage = Coverage(config.bucket_s, time.time_ns(), balance)
        return _Camera(config, self._books.infer(config.row), coverage, config.generation)

    def _change(self, camera: _Camera, config: InferCamera) -> None:
        old, camera.config = camera.config, config
        if config.bucket_s != old.bucket_s:
            self._close_buckets(camera, stopping=True)
            camera.coverage = Coverage(config.bucket_s, time.time_ns(), self._books.balance(config.row))
        if config.rules != old.rules and camera.pipeline is not None:
            try:
                camera.pipeline.set_rules(config.name, CameraRules.model_validate_json(config.rules))
                camera.trouble = ""
            except ValueError as error:
                self._complain(camera, f"rules kept as they were: {error}")

    def _remove(self, camera: _Camera) -> None:
        if camera.ready is not None:
            camera.block.add(drop_unassigned=1)
        if self._journal.knows(camera.config.name):
            self._close_buckets(camera, stopping=True)
        if camera.pipeline is not None:
            camera.pipeline.close_camera(camera.config.name)
        self._journal.forget(camera.config.name)
        self._told.pop(camera.config.name, None)
        self._checkpoints.forget(camera.config.name)

    def _settle(self) -> None:
        """Give cameras the pipelines that have been loaded; say Ready when nothing is outstanding."""
        if self._assignment is None or self._loader is None:
            return
        waiting = False
        for camera in self._cameras.values():
            if camera.spec == camera.config.pipeline:
                continue
            found = self._loader.get(camera.config.pipeline)
            if found is None:
                waiting = True
            elif isinstance(found, str):
                kept = "; the old model serves" if camera.pipeline is not None else ""
                self._complain(camera, found + kept)
            elif self._running is None or camera not in self._running.cameras:
                self._equip(camera, found)
        self._loader.keep_only({c.spec for c in self._cameras.values()} | {c.config.pipeline for c in self._cameras.values()})
        if not waiting and self._told_ready != self._assignment.rev:
            self._told_ready = self._assignment.rev
            self._supervisor.send(Ready(self.name, self._assignment.rev))

    def _equip(self, camera: _Camera, pipeline: Pipeline) -> None:
        name = camera.config.name
        try:
            pipeline.open_camera(name, CameraRules.model_validate_json(camera.config.rules))
        except ValueError as error:
            self._complain(camera, str(error))
            return
        if camera.pipeline is not None:
            if camera.stamp is not None:
                self._emit([(camera, event) for event in camera.pipeline.end_tracks(name, camera.stamp)])
            camera.pipeline.close_camera(name)
        else:
            self._take_over(camera, pipeline)
        camera.pipeline, camera.spec, camera.trouble = pipeline, camera.config.pipeline, ""

    def _take_over(self, camera: _Camera, pipeline: Pipeline) -> None:
        """Go on from a predecessor's checkpoint, where there is a fresh one."""
        saved = self._checkpoints.read(camera.config.name)
        if saved is None:
            return
        now_ns = time.time_ns()
        try:
            camera.last_state = (str(saved["state"][0]), int(saved["state"][1]))
            if saved["spec"] == camera.config.pipeline and 0 <= time.monotonic() - saved["at_s"] < CHECKPOINT_GOOD_S:
                pipeline.restore(camera.config.name, saved["pipeline"])
                camera.coverage.restore(saved["coverage"], now_ns)
            camera.coverage.mark("restarted", now_ns)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("camera %s: its checkpoint cannot be used: %s", camera.config.name, error)
            pipeline.open_camera(camera.config.name, CameraRules.model_validate_json(camera.config.rules))

    def _resume(self, news: CameraResume) -> None:
        camera = self._cameras.get(news.camera)
        if camera is None:
            return
        camera.coverage.begin_after(news.bucket_start_ns)
        for event in news.bucket_events:
            camera.coverage.recount(event.type, event.subject, event.data, event.captured_ns)
        while camera.states:
            self._state_event(camera, camera.states.popleft())

    def _complain(self, camera: _Camera, text: str) -> None:
        if text != camera.trouble:
            camera.trouble = text
            log.error("camera %s: %s", camera.config.name, text)
            self._supervisor.send(Trouble(self.name, camera.config.name, text))

    # ---- frames

    def _frame_ready(self, peer: str, frame: FrameReady) -> None:
        camera = self._cameras.get(frame.camera)
        if camera is None or frame.generation < camera.generation:
            return  # its books were closed when the camera was taken from us, or its worker died
        camera.worker = peer
        camera.generation = frame.generation
        if camera.demanded_s:
            took_s = min(time.monotonic() - camera.demanded_s, LEAD_MAX_S)
            if self._running is not None:
                self._turnaround_s += SMOOTHING * (took_s - self._turnaround_s)
            camera.demanded_s = 0.0
        if camera.ready is not None:
            camera.block.add(drop_unassigned=1)
            camera.owed.append((camera.ready.generation, camera.ready.slot))
        camera.ready = frame

    def _advance(self) -> None:
        """Start the next batch as soon as the detector is free, then see to the results of the last."""
        running = self._running
        if running is not None and not running.finished:
            return
        self._running = None
        self._settle()
        batch = self._next_batch()
        if batch:
            self._start(batch)
        if running is not None:
            self._finish(running)

    def _next_batch(self) -> list[_Camera]:
        """Cameras with a frame, longest unserved first, as many of one pipeline as it takes at once."""
        ready = [c for c in self._cameras.values() if c.ready is not None and c.pipeline is not None]
        if not ready:
            return []
        ready.sort(key=lambda c: c.served_s)
        first = ready[0].pipeline
        assert first is not None
        return [c for c in ready if c.pipeline is first][: first.max_batch]

    def _start(self, cameras: list[_Camera]) -> None:
        frames, taken = [], []
        for camera in cameras:
            message, camera.ready = camera.ready, None
            assert message is not None
            camera.served_s = time.monotonic()
            camera.owed.append((message.generation, message.slot))
            try:
                image = self._ring.view(message.path, message.slot, message.width, message.height)
            except StorageError as error:
                camera.block.add(drop_refused=1)
                self._complain(camera, str(error))
                continue
            frames.append(Frame(_stamp(message), image))
            taken.append(camera)
            camera.ages_ms.append((time.monotonic_ns() - message.received_mono_ns) / 1e6)
        if not taken:
            return
        pipeline = taken[0].pipeline
        assert pipeline is not None
        running = _Running(pipeline, tuple(taken), time.monotonic())

        def done() -> None:
            running.finished_s, running.finished = time.monotonic(), True
            self._wake()

        running.pending = pipeline.submit(frames, done)
        self._running = running

    def _finish(self, running: _Running) -> None:
        """Track, count, write down and send what the detector found."""
        assert running.pending is not None
        try:
            results = running.pipeline.collect(running.pending)
        except FrameRefused as error:
            for camera in running.cameras:
                camera.block.add(drop_refused=1)
                self._complain(camera, f"frame not used: {error}")
            return
        took_s = (running.finished_s or time.monotonic()) - running.started_s
        self._inference_s += SMOOTHING * (took_s - self._inference_s)
        self._inference_ms.append(took_s * 1e3)
        events = []
        for camera, result in zip(running.cameras, results, strict=True):
            self._looked(camera, result)
            events += [(camera, event) for event in result.events]
        self._emit(events, took_s * 1e3)

    def _looked(self, camera: _Camera, result: FrameResult) -> None:
        camera.block.add(inferred=1)
        camera.inferred += 1
        camera.stamp = result.stamp
        age_ms = (time.monotonic_ns() - result.stamp.received_mono_ns) / 1e6
        busy = self._books.dropped_busy(camera.config.row)
        camera.coverage.looked(result.stamp.captured_ns, age_ms, busy)
        for event in result.events:
            camera.coverage.counted(event)

    def _ask_for_frames(self, now_s: float) -> None:
        """Send the demands that are due, and give slots back with them."""
        open_to = [c for c in self._cameras.values() if c.worker and c.pipeline is not None and self._journal.knows(c.config.name)]
        running = self._running
        if running is not None and not running.finished:
            if now_s < self._ask_at_s() or any(c.ready is not None for c in open_to):
                return
            idle = [c for c in open_to if not c.demanded_s]
            idle.sort(key=lambda c: c.served_s)
            open_to = idle[: running.pipeline.max_batch]
        for camera in open_to:
            if not camera.demanded_s and camera.ready is None:
                self._demand(camera, now_s)

    def _demand(self, camera: _Camera, now_s: float) -> None:
        slots = tuple(slot for generation, slot in camera.owed if generation == camera.generation)
        demand = Demand(camera.config.name, camera.generation, slots)
        if self._server.send(camera.worker, demand):
            camera.owed.clear()
            camera.demanded_s = now_s

    def _ask_at_s(self) -> float:
        running = self._running
        assert running is not None
        lead_s = min(max(self._turnaround_s * 1.2 + 0.001, LEAD_MIN_S), LEAD_MAX_S)
        return running.started_s + self._inference_s - lead_s

    def _patience_s(self) -> float:
        """How long poll may wait: until the next demand is due, at most POLL_S."""
        if self._running is None or self._running.finished:
            return 0.0 if self._running is not None else POLL_S
        left_s = self._ask_at_s() - time.monotonic()
        return POLL_S if left_s <= 0 else min(left_s + 0.0005, POLL_S)

    # ---- events

    def _emit(self, events: list[tuple[_Camera, Event]], inference_ms: float = 0.0) -> None:
        """Checkpoint, then hand over: what was sent is never counted again after a restart."""
        records = []
        for camera, event in events:
            stamp = event.stamp
            age_ms = (time.monotonic_ns() - stamp.received_mono_ns) / 1e6 if stamp.received_mono_ns else 0.0
            records.append(self._record(camera, event, age_ms, inference_ms))
        if not records:
            return
        for camera in {id(c): c for c, _ in events}.values():
            self._checkpoint(camera)
        if not self._journal.write(records):
            for camera, _ in events:
                camera.coverage.mark("events_lost", time.time_ns())

    def _record(self, camera: _Camera, event: Event, age_ms: float, inference_ms: float) -> EventRecord:
        assert self._assignment is not None
        return EventRecord(
            camera=camera.config.name,
            seq=0,
            type=event.type,
            subject=event.subject,
            epoch=event.stamp.epoch,
            frame_id=event.stamp.frame_id,
            media_ns=event.stamp.media_ns,
            captured_ns=event.stamp.captured_ns,
            age_ms=round(age_ms, 3),
            config_rev=self._assignment.config_rev,
            data=dict(event.data),
            emitted_ns=time.time_ns(),
            inference_ms=round(inference_ms, 3),
        )

    def _source_state(self, peer: str, state: SourceState) -> None:
        self._told[state.camera] = (peer, state)
        camera = self._cameras.get(state.camera)
        if camera is None:
            return
        camera.worker = peer
        if (state.state, state.at_ns) == camera.last_state:
            camera.demanded_s = 0.0  # told again: its ring, or its side of ours, is new
            return
        camera.demanded_s = 0.0
        camera.last_state = (state.state, state.at_ns)
        if state.state != "live":
            camera.coverage.lost(state.at_ns)
        if self._journal.knows(state.camera):
            self._state_event(camera, state)
        else:
            camera.states.append(state)

    def _state_event(self, camera: _Camera, state: SourceState) -> None:
        stamp = Stamp(state.camera, state.epoch, -1, 0, state.at_ns, 0, "arrival")
        data: dict[str, Any] = {"state": state.state, "detail": state.detail}
        if state.width:
            data |= {"width": state.width, "height": state.height, "fps": state.fps, "codec": state.codec}
        self._emit([(camera, Event(CAMERA_STATE, stamp, state.camera, data))])

    def _close_buckets(self, camera: _Camera, stopping: bool = False) -> None:
        if not self._journal.knows(camera.config.name):
            return
        books = self._books.balance(camera.config.row)
        events = []
        for end_ns, data in camera.coverage.close_due(time.time_ns(), books, stopping):
            if stopping:
                data["marks"] = [*data["marks"], "stopped"]
            stamp = Stamp(camera.config.name, camera.stamp.epoch if camera.stamp else 0, -1, 0, end_ns, 0, "arrival")
            events.append((camera, Event(COUNTS, stamp, camera.config.name, data)))
        self._emit(events)

    def _checkpoint(self, camera: _Camera) -> None:
        if camera.pipeline is None:
            return
        camera.saved_s = time.monotonic()
        state = {
            "at_s": camera.saved_s,
            "spec": camera.spec,
            "state": list(camera.last_state),
            "pipeline": camera.pipeline.save(camera.config.name),
            "coverage": camera.coverage.save(),
        }
        try:
            self._checkpoints.write(camera.config.name, state)
        except OSError as error:
            self._complain(camera, f"no checkpoint could be written: {error.strerror}")

    # ---- once a second

    def _once_a_second(self, now_s: float) -> None:
        self._next_status_s = now_s + STATUS_EVERY_S
        cameras = {}
        for name, camera in self._cameras.items():
            self._close_buckets(camera)
            if camera.stamp is not None and now_s - camera.saved_s > CHECKPOINT_EVERY_S:
                self._checkpoint(camera)
            since_s, inferred = camera.fps_mark
            if since_s:
                camera.fps = (camera.inferred - inferred) / (now_s - since_s)
            camera.fps_mark = (now_s, camera.inferred)
            ages = sorted(camera.ages_ms)
            cameras[name] = {
                "fps_inferred": round(camera.fps, 2),
                "age_ms": {"p50": percentile(ages, 0.5), "p99": percentile(ages, 0.99)},
                "detector": camera.pipeline.detector.describe() if camera.pipeline else None,
                "trouble": camera.trouble,
            }
        took = sorted(self._inference_ms)
        self._supervisor.send(
            WorkerStatus(
                self.name,
                {
                    "cameras": cameras,
                    "inference_ms": {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)},
                    "unacknowledged": self._journal.unacknowledged,
                    "events_lost": self._journal.lost_events,
                    "resends": self._journal.resends,
                },
            )
        )

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)


def _engine(assignment: InferAssignment) -> tuple[str, int]:
    return assignment.engine, assignment.threads


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


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> InferWorker:
    return InferWorker(name, runtime_dir, state_dir, shared_dir)
