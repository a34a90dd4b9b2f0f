"""The inference worker: takes the newest frames of its cameras in turn, and turns them into events.

While one batch is in the detector, the results of the one before are tracked, counted and sent. Which
frame is next is decided in scheduler.py, what is sent and kept in emitter.py.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections import deque
from pathlib import Path

import cv2

from pipelines.camera_rules import CameraRules
from pipelines.pipeline import Pipeline
from streamer.ipc.bus import Bus
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.messages import (
    Ack,
    FrameReady,
    Hello,
    InferAssignment,
    InferCamera,
    Ready,
    Resume,
    SourceState,
    WorkerStatus,
)
from streamer.workers.infer.camera import STATES_WAITING, InferredCamera
from streamer.workers.infer.checkpoint_file import Checkpoints
from streamer.workers.infer.coverage import Coverage
from streamer.workers.infer.emitter import Emitted, Emitter
from streamer.workers.infer.event_sequencer import Journal
from streamer.workers.infer.pipelines import Equipment
from streamer.workers.infer.scheduler import Running, Turns
from streamer.workers.infer.status import told

HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 0.4
DRAIN_S = 3.0  # at the stop, for the delivery worker to acknowledge


class InferWorker:
    """Implements `workers.loop.Worker`."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> None:
        self.stopping = False
        self.name = name
        self._runtime_dir = runtime_dir
        self._shared_dir = shared_dir
        self._counters = FrameCounters.attach(shared_dir / COUNTERS_FILE)
        self._cameras: dict[str, InferredCamera] = {}
        self._early: dict[str, deque[tuple[str, SourceState]]] = {}  # of cameras not assigned yet
        self._assignment: InferAssignment | None = None
        self._equipment = Equipment(state_dir, self._wake)
        self._told_ready = -1
        self._gone: set[str] = set()  # cameras whose source has closed; their tracks end after the last frame
        self._settled = False  # every camera has the pipeline it was assigned, or a complaint instead
        self._next_hello_s = self._next_status_s = self._next_checkpoint_s = 0.0
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bus = Bus(runtime_dir)
        self._opened = False

    def open(self) -> None:
        cv2.setNumThreads(1)  # the detector has the cores
        self._bus.watch(self._wake_fd)
        self._turns = Turns(self._bus.serve(self.name), self._cameras, self._wake)
        self._supervisor = self._bus.connect("supervisor", self.name)
        self._journal = Journal(self.name, self._bus.connect("deliver", self.name), self._runtime_dir)
        self._emitter = Emitter(self._journal, Checkpoints(self._shared_dir), self._counters)
        self._opened = True

    def step(self) -> None:
        for received in self._bus.poll(self._turns.patience_s()):
            self._handle(received.peer, received.message)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        self._advance()
        self._turns.ask([c for c in self._cameras.values() if self._can_be_asked(c)])
        now_s = time.monotonic()
        self._journal.tick(now_s)
        self._once_a_while(now_s)

    def close(self) -> None:
        """Finish the batch in hand, end the tracks, close the buckets, and wait for the acknowledgements.

        A crossing that was not decided yet is counted so, and no track's path is lost.
        """
        if self._opened:
            self._finish_all()
        self._bus.close()

    def _finish_all(self) -> None:
        self._drain()
        for camera in self._cameras.values():
            if camera.ready is not None:
                camera.block.add(drop_stopped=1)
                camera.ready = None
            self._end_tracks(camera)
            self._emitter.close_buckets(camera, stopping=True)
        deadline_s = time.monotonic() + DRAIN_S
        while self._journal.unacknowledged and time.monotonic() < deadline_s:
            for received in self._bus.poll(0.05):
                if isinstance(received.message, Ack):
                    self._journal.acknowledged(received.message)
            self._journal.tick(time.monotonic())
        self._journal.close()

    # ---- messages

    def _handle(self, peer: str, message: object) -> None:
        if isinstance(message, FrameReady):
            self._turns.frame_ready(peer, message)
        elif isinstance(message, Ack):
            self._journal.acknowledged(message)
        elif isinstance(message, SourceState):
            self._source_state(peer, message)
        elif isinstance(message, InferAssignment):
            self._assign(message)
        elif isinstance(message, Resume):
            for news in self._journal.resumed(message):
                if news.camera in self._cameras:
                    self._emitter.resume(self._cameras[news.camera], news)

    def _source_state(self, peer: str, state: SourceState) -> None:
        camera = self._cameras.get(state.camera)
        if camera is None:
            self._early.setdefault(state.camera, deque(maxlen=STATES_WAITING)).append((peer, state))
            return
        camera.worker = peer
        camera.demanded_s = 0.0  # told again: its ring, or its side of our demand, may be new
        if (state.state, state.at_ns) == camera.last_state:
            return
        camera.last_state = (state.state, state.at_ns)
        if state.state != "live":
            camera.coverage.lost(state.at_ns)
            if state.state != "connecting":
                self._gone.add(state.camera)
        self._emitter.state(camera, state)

    def _assign(self, assignment: InferAssignment) -> None:
        """Become what is asked. What is the same as before is not touched."""
        self._drain()
        self._settled = False
        self._assignment = assignment
        self._emitter.config_rev = assignment.config_rev
        if self._equipment.use(assignment.engine, assignment.threads):
            for equipped in self._cameras.values():
                equipped.spec = ""  # its pipeline is another one now
        wanted = {camera.name: camera for camera in assignment.cameras}
        for name in [n for n in self._cameras if n not in wanted]:
            self._remove(self._cameras.pop(name))
        for config in wanted.values():
            camera = self._cameras.get(config.name)
            if camera is None or camera.config.row != config.row:
                self._add(config)
            elif config != camera.config:
                self._change(camera, config)
            if config.misconfigured:
                why, since_ns = config.misconfigured, config.since_ns
                self._source_state("", SourceState(config.name, "misconfigured", why, since_ns))
            else:
                self._equipment.want(config)
        self._early.clear()
        self._journal.ask([name for name in wanted if not self._journal.knows(name)])
        self._settle()

    def _add(self, config: InferCamera) -> None:
        coverage = Coverage(config.bucket_s, time.time_ns(), self._counters.balance(config.row))
        block = self._counters.infer(config.row)
        camera = InferredCamera(config, block, coverage, config.generation)
        camera.last_state = self._emitter.last_state(config.name)
        self._cameras[config.name] = camera
        for peer, state in self._early.pop(config.name, ()):
            self._source_state(peer, state)

    def _change(self, camera: InferredCamera, config: InferCamera) -> None:
        old, camera.config = camera.config, config
        if config.bucket_s != old.bucket_s:
            self._emitter.close_buckets(camera, stopping=True)
            camera.coverage = Coverage(config.bucket_s, time.time_ns(), self._counters.balance(config.row))
        if config.rules != old.rules and camera.pipeline is not None:
            try:
                camera.pipeline.set_rules(config.name, CameraRules.model_validate_json(config.rules))
                camera.complain("rules", "")
            except ValueError as error:
                camera.complain("rules", f"rules kept as they were: {error}")

    def _remove(self, camera: InferredCamera) -> None:
        if camera.ready is not None:
            camera.block.add(drop_unassigned=1)
            camera.ready = None
        self._end_tracks(camera)
        self._emitter.close_buckets(camera, stopping=True)
        if camera.pipeline is not None:
            camera.pipeline.close_camera(camera.name)
        self._emitter.forget(camera)

    # ---- pipelines

    def _settle(self) -> None:
        """Give cameras the pipelines that have been loaded; say Ready when nothing is outstanding."""
        if self._assignment is None or self._settled:
            return
        done = self._equipment.settle(self._cameras.values(), self._equip)
        self._emitter.emit([(c, event) for c, event in done.ended if self._journal.knows(c.name)])
        self._settled = not done.waiting
        if self._settled and self._told_ready != self._assignment.rev:
            self._told_ready = self._assignment.rev
            gc.collect()
            gc.freeze()  # models and modules are here to stay: the collector need not look at them again
            self._supervisor.send(Ready(self.name, self._assignment.rev))

    def _equip(self, camera: InferredCamera, pipeline: Pipeline, spec: str) -> str:
        """Let it run in `pipeline` from now on; returns "" or why it cannot."""
        rules = CameraRules.model_validate_json(camera.config.rules)
        try:
            pipeline.open_camera(camera.name, rules)
        except ValueError as error:
            return str(error)
        before, first = camera.pipeline, camera.pipeline is None
        if before is not None:
            self._drain()
            self._end_tracks(camera)
            before.close_camera(camera.name)
        camera.pipeline, camera.spec = pipeline, spec
        for about in ("model", "rules", "view"):
            camera.complain(about, "")
        camera.scene = ""  # nothing looks at its picture in the new one
        if first and not self._emitter.take_over(camera):
            pipeline.open_camera(camera.name, rules)
        self._emitter.go_on_with_ids(camera)
        return ""

    def _end_tracks(self, camera: InferredCamera) -> None:
        if camera.pipeline is not None and camera.stamp is not None and self._journal.knows(camera.name):
            ended = camera.pipeline.end_tracks(camera.name, camera.stamp)
            for event in ended:
                camera.coverage.counted(event)
            self._emitter.emit([(camera, event) for event in ended])

    # ---- frames

    def _can_be_asked(self, camera: InferredCamera) -> bool:
        equipped = camera.pipeline is not None and not camera.scene_first
        return bool(camera.worker) and equipped and self._journal.knows(camera.name)

    def _advance(self) -> None:
        """Start what can be started as soon as the detector has room, then see to the results of the last."""
        turns = self._turns
        self._settle()
        finished = turns.done()
        for camera, text in turns.start():
            camera.refuse(text)
        for running in finished:
            self._finish(running)
        if self._gone:
            self._end_gone()

    def _end_gone(self) -> None:
        """Nothing more comes of these tracks: what was held back about them is decided now."""
        for name in list(self._gone):
            camera = self._cameras.get(name)
            if camera is None:
                self._gone.discard(name)
            elif camera.ready is None and not self._turns.has(camera) and self._journal.knows(name):
                self._gone.discard(name)
                self._end_tracks(camera)

    def _drain(self) -> None:
        """Finish the batches in hand, so that no camera changes or goes while it is in the detector."""
        in_hand, self._turns.running = self._turns.running, []
        for running in in_hand:
            self._finish(running)

    def _finish(self, running: Running) -> None:
        """Track, count, write down and send what the detector found."""
        assert running.pending is not None
        results = running.pipeline.collect_each(running.pending)
        self._turns.note(running)
        events: list[Emitted] = []
        for camera, result in zip(running.cameras, results, strict=True):
            if isinstance(result, str):
                camera.block.add(drop_refused=1)
                camera.refuse(f"frame not used: {result}")
                continue
            self._emitter.looked(camera, result)
            events += [(camera, event) for event in result.events]
        self._emitter.emit(events, running)

    # ---- once in a while

    def _once_a_while(self, now_s: float) -> None:
        if self._assignment is None and now_s >= self._next_hello_s:
            self._supervisor.send(Hello(self.name, os.getpid()))
            self._next_hello_s = now_s + HELLO_EVERY_S
        if now_s >= self._next_checkpoint_s:
            self._next_checkpoint_s = now_s + CHECKPOINT_EVERY_S
            for camera in self._cameras.values():
                if camera.stamp is not None and now_s - camera.saved_s > CHECKPOINT_EVERY_S:
                    self._emitter.checkpoint(camera)
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + STATUS_EVERY_S
            self._try_again(now_s)
            self._turns.tidy()
            for camera in self._cameras.values():
                self._emitter.close_buckets(camera)
            status = told(self._cameras, self._turns, self._journal, self._emitter, now_s)
            self._supervisor.send(WorkerStatus(self.name, status))

    def _try_again(self, now_s: float) -> None:
        """Load anew what could not be loaded, where that is due."""
        if self._equipment.retry(now_s):
            self._settled = False

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> InferWorker:
    return InferWorker(name, runtime_dir, state_dir, shared_dir)
