"""The inference worker: takes the newest frames of its cameras in turn, and turns them into events.

InferWorker.step() is one turn of its loop, in the order of a frame's life: requested, received, started in
the detector, finished. While one batch is in the detector, the results of the one before are tracked, counted
and sent. Which frame is next is decided in scheduler.py, what is sent and kept in emitter.py.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import cv2

from pipelines.camera_rules import CameraRules
from pipelines.pipeline import Pipeline
from pipelines.track.needed_rate import NeededRate
from streamer.ipc.bus import Bus
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.messages import (
    Ack,
    FrameReady,
    FramesGated,
    Hello,
    InferAssignment,
    InferCamera,
    MisconfiguredCamera,
    Ready,
    Resume,
    SourceState,
    WorkerStatus,
)
from streamer.workers.allocator import (
    OF_FRAMES_IN_HAND_BYTES,
    give_large_buffers_pages_of_their_own,
    settle_in,
)
from streamer.workers.infer.alerting import Emitted
from streamer.workers.infer.camera import MAX_UNSENT_STATES, CameraContext
from streamer.workers.infer.camera_requests import CameraRequest, answer_of
from streamer.workers.infer.checkpoint_file import Checkpoints
from streamer.workers.infer.clock_watch import ClockWatch
from streamer.workers.infer.coverage import Coverage
from streamer.workers.infer.cpu_share import CpuShare
from streamer.workers.infer.emitter import Emitter
from streamer.workers.infer.event_sequencer import EventSequencer
from streamer.workers.infer.journeys import Journeys
from streamer.workers.infer.pipelines import PipelineAssigner
from streamer.workers.infer.scheduler import BatchScheduler, RunningBatch, charge
from streamer.workers.infer.status import worker_status
from streamer.workers.infer.tracing import Tracer

HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 0.4
DRAIN_S = 3.0  # at the stop, for the delivery worker to acknowledge
HEALTH_MOVED = "moved"


class InferWorker:
    """Implements `workers.loop.Worker`."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> None:
        self.stopping = False
        self.name = name
        self._runtime_dir = runtime_dir
        self._shared_dir = shared_dir
        self._counters = FrameCounters.attach(shared_dir / COUNTERS_FILE)
        self._cameras: dict[str, CameraContext] = {}
        self._early_states: dict[str, deque[tuple[str, SourceState]]] = {}  # of cameras not assigned yet
        self._assignment: InferAssignment | None = None
        self._pipelines = PipelineAssigner(state_dir, self._wake)
        self._ready_rev = -1
        self._handed_over: dict[str, tuple[str, dict[str, Any]]] = {}  # by the new name: pipeline, state
        self._closed_sources: set[str] = set()  # of cameras; their tracks end after the last frame
        self._all_assigned = False  # every camera has the pipeline of its configuration, or a warning
        self._journeys = Journeys()
        self._clock = ClockWatch()
        self._cpu_share = CpuShare()
        self._next_hello_s = self._next_status_s = self._next_checkpoint_s = 0.0
        self._tracer: Tracer | None = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bus = Bus(runtime_dir)
        self._opened = False

    def open(self) -> None:
        give_large_buffers_pages_of_their_own(OF_FRAMES_IN_HAND_BYTES)
        cv2.setNumThreads(1)  # the detector has the cores
        self._bus.watch(self._wake_fd)
        self._scheduler = BatchScheduler(self._bus.serve(self.name), self._cameras, self._wake)
        self._supervisor = self._bus.connect("supervisor", self.name)
        self._delivery = self._bus.connect("deliver", self.name)
        self._sequencer = EventSequencer(self.name, self._delivery, self._runtime_dir)
        self._emitter = Emitter(self._sequencer, Checkpoints(self._shared_dir), self._counters)
        self._emitter.want_clip = self._supervisor.send
        self._opened = True

    def step(self) -> None:
        """One turn: at most MAX_POLL_S plus what there is to do."""
        self._scheduler.send_requests([c for c in self._cameras.values() if self._takes_frames(c)])
        self._do_periodic(time.monotonic())
        self._receive(self._scheduler.poll_timeout_s())
        self._assign_loaded()
        for batch in self._scheduler.advance():
            self._finish(batch)
        if self._closed_sources:
            self._end_tracks_of_closed()

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
            if camera.waiting is not None:
                camera.block.add(drop_stopped=1)
                camera.waiting = None
            self._end_tracks(camera)
            self._emitter.close_buckets(camera, stopping=True)
        deadline_s = time.monotonic() + DRAIN_S
        while self._sequencer.unacknowledged and time.monotonic() < deadline_s:
            for received in self._bus.poll(0.05):
                if isinstance(received.message, Ack):
                    self._sequencer.on_ack(received.message)
            self._sequencer.tick(time.monotonic())
        self._sequencer.close()

    # ---- messages

    def _receive(self, timeout_s: float) -> None:
        """Wait for messages, a batch that is done or a pipeline that is loaded, and handle all messages."""
        for received in self._bus.poll(timeout_s):
            self._handle(received.peer, received.message)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def _handle(self, peer: str, message: object) -> None:
        if isinstance(message, FrameReady):
            self._scheduler.frame_ready(peer, message)
        elif isinstance(message, FramesGated):
            if message.camera in self._cameras:
                self._cameras[message.camera].coverage.frames_gated(message.captured_ns)
        elif isinstance(message, Ack):
            self._sequencer.on_ack(message)
            if self._tracer is not None:
                self._tracer.acknowledged(message.number)
        elif isinstance(message, SourceState):
            self._source_state(peer, message)
        elif isinstance(message, InferAssignment):
            self._assign(message)
        elif isinstance(message, CameraRequest):
            answer = answer_of(message, self._cameras.get(message.camera), self._emitter)
            if answer is not None:
                self._supervisor.send(answer)
        elif isinstance(message, Resume):
            for position in self._sequencer.on_resume(message):
                if position.camera in self._cameras:
                    self._emitter.resume(self._cameras[position.camera], position)

    def _source_state(self, peer: str, state: SourceState) -> None:
        camera = self._cameras.get(state.camera)
        if camera is None:
            self._early_states.setdefault(state.camera, deque(maxlen=MAX_UNSENT_STATES)).append((peer, state))
            return
        camera.worker = peer
        camera.alerts.source_state(state.state, state.health)
        camera.requested_s = 0.0  # sent again: its ring may be new, or have no request of ours
        if self._health_changed(camera, state) and (state.state, state.at_ns) == camera.last_state:
            self._emitter.emit_state(camera, state)
        if (state.state, state.at_ns) == camera.last_state:
            return
        camera.last_state = (state.state, state.at_ns)
        if state.state != "live":
            camera.coverage.source_lost(state.at_ns)
            if state.state != "connecting":
                self._closed_sources.add(state.camera)
        self._emitter.emit_state(camera, state)

    def _health_changed(self, camera: CameraContext, state: SourceState) -> bool:
        """Take note of the camera's health; whether a person should hear of it."""
        before, camera.health = camera.health, state.health
        if before == state.health:
            return False
        camera.coverage.health_changed(state.health, state.health_since_ns)
        if camera.pipeline is not None:
            camera.pipeline.set_view_moved(camera.name, state.health == HEALTH_MOVED)
        return {before, state.health} != {"", "ok"}

    def _assign(self, assignment: InferAssignment) -> None:
        """Become what is asked. What is the same as before is not touched."""
        self._drain()
        self._all_assigned = False
        running, self._assignment = self._assignment is not None, assignment
        self._emitter.config_rev = assignment.config_rev
        self._emitter.alerting.assign(assignment)
        sample = assignment.trace
        self._tracer = None if sample is None else Tracer(self.name, self._delivery, sample)
        if self._pipelines.set_engine(assignment.engine, assignment.threads):
            for camera in self._cameras.values():
                camera.pipeline_spec = ""  # its pipeline is another one now
        misconfigured = {fault.name: fault for fault in assignment.misconfigured}
        configs = {config.name: config for config in assignment.cameras}
        configs |= {name: _without_pipeline(fault) for name, fault in misconfigured.items()}
        renamed = {config.formerly: config.name for config in assignment.cameras}
        for name in [n for n in self._cameras if n not in configs]:
            self._remove(self._cameras.pop(name), renamed.get(name, ""))
        for config in configs.values():
            self._configure(config, is_new=running)
        self._emitter.alerting.take_hours(self._cameras.values())
        self._journeys.assign(assignment, self._cameras.values())
        for fault in misconfigured.values():
            state = SourceState(fault.name, "misconfigured", fault.why, fault.since_ns)
            self._source_state("", state)
        self._early_states.clear()
        self._sequencer.request_positions([name for name in configs if not self._sequencer.can_number(name)])
        self._assign_loaded()

    def _configure(self, config: InferCamera, is_new: bool) -> None:
        camera = self._cameras.get(config.name)
        if camera is None or camera.config.row != config.row:
            self._add(config, is_new)
        elif config != camera.config:
            self._change(camera, config)
            self._emitter.take_term(camera)
        if config.pipeline:
            self._pipelines.start_loading(config)

    def _add(self, config: InferCamera, is_new: bool) -> None:
        """`is_new`: it was not there before, or was switched off: no time before now counts as not seen."""
        now_ns = time.time_ns()
        coverage = Coverage(config.bucket_s, now_ns, self._counters.balance(config.row))
        if is_new:
            coverage.begin_after(now_ns)
        block = self._counters.infer(config.row)
        term = self._emitter.last_term(config)
        camera = CameraContext(config, block, coverage, config.generation, term)
        camera.last_state = self._emitter.last_state(config.name)
        camera.alerts = self._emitter.alerting.begin(config.rules)
        camera.need = NeededRate() if config.auto_rate else None
        camera.draw(CameraRules.model_validate_json(config.rules or "{}"))
        self._emitter.restore_alerts(camera)
        self._cameras[config.name] = camera
        for peer, state in self._early_states.pop(config.name, ()):
            self._source_state(peer, state)

    def _change(self, camera: CameraContext, config: InferCamera) -> None:
        old, camera.config = camera.config, config
        if config.bucket_s != old.bucket_s:
            self._emitter.close_buckets(camera, stopping=True)
            now_ns = time.time_ns()
            camera.coverage = Coverage(config.bucket_s, now_ns, self._counters.balance(config.row))
            camera.coverage.begin_after(now_ns)  # the time before is in the bucket that was closed
            camera.coverage.health_changed(camera.health, now_ns)
        if config.auto_rate != old.auto_rate:
            camera.need = NeededRate() if config.auto_rate else None
        if config.rules != old.rules:
            camera.change_rules(config.rules)

    def _remove(self, camera: CameraContext, to: str) -> None:
        """`to`: its new name, where it goes on under one; "" where it does not."""
        if camera.waiting is not None:
            camera.block.add(drop_unassigned=1)
            camera.waiting = None
        self._journeys.removed(camera)
        self._end_tracks(camera)
        if self._sequencer.can_number(camera.name):
            self._emitter.emit(self._emitter.alerting.stop(camera))
        self._emitter.close_buckets(camera, stopping=True)
        if camera.pipeline is not None:
            if to:
                self._handed_over[to] = (camera.pipeline_spec, camera.pipeline.save(camera.name))
            camera.pipeline.close_camera(camera.name)
        self._emitter.forget(camera)

    # ---- pipelines

    def _assign_loaded(self) -> None:
        """Give cameras the pipelines that have been loaded; say Ready when nothing is outstanding."""
        if self._assignment is None or self._all_assigned:
            return
        assigned = self._pipelines.assign(self._cameras.values(), self._assign_pipeline)
        self._emitter.emit([(c, event) for c, event in assigned.ended if self._sequencer.can_number(c.name)])
        self._all_assigned = not assigned.loading
        if self._all_assigned and self._ready_rev != self._assignment.rev:
            settle_in()
            self._ready_rev = self._assignment.rev
            self._supervisor.send(Ready(self.name, self._assignment.rev))

    def _assign_pipeline(self, camera: CameraContext, pipeline: Pipeline, spec: str) -> str:
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
            self._journeys.removed(camera)
        camera.pipeline, camera.pipeline_spec = pipeline, spec
        for topic in ("model", "rules", "view"):
            camera.warn(topic, "")
        pipeline.set_view_moved(camera.name, camera.health == HEALTH_MOVED)
        camera.scene_spec = ""  # nothing looks at its picture in the new one
        handed = self._handed_over.pop(camera.name, None)
        if first and handed is not None and handed[0] == spec:
            pipeline.restore_standing(camera.name, handed[1])
        elif first and not self._emitter.restore_checkpoint(camera):
            pipeline.open_camera(camera.name, rules)
        self._emitter.continue_track_ids(camera)
        self._journeys.ask_for_looks(camera)
        return ""

    def _end_tracks(self, camera: CameraContext) -> None:
        if (
            camera.pipeline is None
            or camera.last_stamp is None
            or not self._sequencer.can_number(camera.name)
        ):
            return
        ended = camera.pipeline.end_tracks(camera.name, camera.last_stamp)
        for event in ended:
            camera.coverage.add_event(event)
        self._emitter.alerting.ended(camera, ended)
        self._emitter.emit([(camera, event) for event in ended])

    # ---- frames

    def _takes_frames(self, camera: CameraContext) -> bool:
        """Whether frames of it may be requested: all that they and their events need is there."""
        runs = camera.pipeline is not None and not camera.awaits_scene
        return bool(camera.worker) and runs and self._sequencer.can_number(camera.name)

    def _finish(self, batch: RunningBatch) -> None:
        """Track, count, write down and send what the detector found."""
        events: list[Emitted] = []
        begun_s, begun_ns = time.monotonic(), time.thread_time_ns()
        collected = self._scheduler.collect(batch)
        for camera, result in collected:
            if isinstance(result, str):
                camera.frame_rejected(f"frame not used: {result}")
                continue
            self._emitter.frame_inferred(camera, result, batch.inference_s)
            if camera.learn_rate(result.stamp):
                self._scheduler.request_sooner(camera)
            events += self._emitter.alerting.frame(camera, result, events)
            events += self._journeys.frame(camera, result)
        self._emitter.emit(events, batch)
        if self._tracer is not None:
            last = self._sequencer.last_batch
            self._tracer.batch_finished(batch, collected, events, begun_s, last)
        charge(batch, time.thread_time_ns() - begun_ns)

    def _drain(self) -> None:
        """Finish the batches in hand, so that no camera changes or goes while it is in the detector."""
        for batch in self._scheduler.drain():
            self._finish(batch)

    def _end_tracks_of_closed(self) -> None:
        """Nothing more comes of these tracks: what was held back about them is decided now."""
        for name in list(self._closed_sources):
            camera = self._cameras.get(name)
            if camera is None:
                self._closed_sources.discard(name)
                continue
            in_hand = camera.waiting is not None or self._scheduler.in_detector(camera)
            if not in_hand and self._sequencer.can_number(name):
                self._closed_sources.discard(name)
                self._end_tracks(camera)

    # ---- once in a while

    def _do_periodic(self, now_s: float) -> None:
        self._sequencer.tick(now_s)
        if self._assignment is None and now_s >= self._next_hello_s:
            self._supervisor.send(Hello(self.name, os.getpid()))
            self._next_hello_s = now_s + HELLO_EVERY_S
        if now_s >= self._next_checkpoint_s:
            self._next_checkpoint_s = now_s + CHECKPOINT_EVERY_S
            for camera in self._cameras.values():
                if camera.last_stamp is not None and now_s - camera.checkpointed_s > CHECKPOINT_EVERY_S:
                    self._emitter.checkpoint(camera)
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + STATUS_EVERY_S
            self._retry_loading(now_s)
            self._scheduler.tidy()
            self._journeys.tick()
            jumped = self._clock.jumped()
            for camera in self._cameras.values():
                if jumped:
                    camera.coverage.clock_jumped(time.time_ns())
                self._emitter.close_buckets(camera)
                if self._sequencer.can_number(camera.name):
                    self._emitter.emit(self._emitter.alerting.tick(camera))
            self._cpu_share.read([(c.cost, c.block) for c in self._cameras.values()], now_s)
            cameras = [camera for camera in self._cameras.values() if camera.config.pipeline]
            status = worker_status(cameras, self._scheduler, self._sequencer, self._emitter, now_s)
            self._supervisor.send(WorkerStatus(self.name, status))

    def _retry_loading(self, now_s: float) -> None:
        """Load anew what could not be loaded, where that is due."""
        if self._pipelines.retry(now_s):
            self._all_assigned = False

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)


def _without_pipeline(fault: MisconfiguredCamera) -> InferCamera:
    """A camera of which the state is emitted and the time counted, and no frame comes."""
    return InferCamera(fault.name, fault.row, 0, "", rules="", bucket_s=fault.bucket_s, term=fault.term)


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> InferWorker:
    return InferWorker(name, runtime_dir, state_dir, shared_dir)
