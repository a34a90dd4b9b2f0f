"""The capture worker: a few cameras, each on its own thread, and the one thread that hands frames over.

All messages and all ring bookkeeping happen on the main thread. A frame is converted only when an
inference worker has requested a frame of its camera: nothing is scaled for nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import cv2
import msgspec

from pipelines.geometry import fit
from streamer.errors import StorageError
from streamer.ipc.bus import Bus, Client
from streamer.ipc.clip_messages import RecordClip
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.frame_ring import RingMemory, RingWriter
from streamer.ipc.messages import (
    AllocateRing,
    CameraWarning,
    CaptureAssignment,
    CaptureCamera,
    FrameReady,
    FrameRequest,
    FramesGated,
    Hello,
    Ready,
    Reclaim,
    RingAllocated,
    RingRefused,
    Snapshot,
    SnapshotRequest,
    SourceState,
    WorkerStatus,
)
from streamer.sources.kept_evidence import evidence_path
from streamer.sources.kept_view import view_path
from streamer.workers.capture.camera import CapturedCamera
from streamer.workers.capture.camera_thread import CameraThread, HeldFrame, StateChange
from streamer.workers.capture.camera_watch import CameraWatch, HealthChange
from streamer.workers.capture.clip_recorder import ClipRecorder
from streamer.workers.capture.cpu_share import CpuShare
from streamer.workers.capture.gate_memory import GateMemory
from streamer.workers.capture.overload import Overload
from streamer.workers.capture.retired_threads import RetiredThreads
from streamer.workers.capture.ring_request import RingRequest

log = logging.getLogger(__name__)

HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
POLL_S = 0.2
JPEG_QUALITY = 88
# A changed camera is opened when its old thread has ended, since many cameras serve few at a time, but does
# not wait for longer than this; and so long after a thread that the system did not give.
HANDOVER_S = 3.0
GATED_EVERY_S = 0.4  # how often a camera that rests says so
RESEND_STATE_S = 10.0  # of a live camera of which no frame was requested: inference then requests anew


class CaptureWorker:
    """See the module's docstring; implements `workers.loop.Worker`."""

    def __init__(self, name: str, runtime_dir: Path, shared_dir: Path, state_dir: Path | None = None) -> None:
        self.stopping = False
        self.name = name
        self._counters = FrameCounters.attach(shared_dir / COUNTERS_FILE)
        self._state_dir = state_dir  # None: reference views are not kept
        self._cameras: dict[str, CapturedCamera] = {}
        self._retired = RetiredThreads()
        self._assigned = False
        self._next_hello_s = 0.0
        self._next_status_s = 0.0
        self._cpu_share = CpuShare(self._counters)
        self._overload = Overload()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._infer: dict[str, Client] = {}
        self._clips = ClipRecorder(self._wake)
        self._bus = Bus(runtime_dir)

    def open(self) -> None:
        cv2.setNumThreads(1)  # several cameras share the process; a pool would fight with inference
        self._bus.watch(self._wake_fd)
        self._supervisor = self._bus.connect("supervisor", self.name)

    def step(self) -> None:
        now_s = time.monotonic()
        if not self._assigned and now_s >= self._next_hello_s:
            self._supervisor.send(Hello(self.name, os.getpid()))
            self._next_hello_s = now_s + HELLO_EVERY_S
        for received in self._bus.poll(POLL_S):
            self._handle(received.message)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        for recorded in self._clips.results():
            self._supervisor.send(recorded)
        self._retired.reap(now_s)
        for camera in self._cameras.values():
            if not camera.started:
                self._start(camera, now_s)
            for change in camera.thread.changes():
                self._on_state_change(camera, change)
            for health in camera.thread.health_changes():
                self._on_health_change(camera, health)
            if camera.ring_request is not None and camera.ring_request.due(now_s):
                self._supervisor.send(camera.ring_request.message)
            self._send_frame(camera)
            self._send_gated(camera, now_s)
        if now_s >= self._next_status_s:
            self._send_status(now_s)

    def close(self) -> None:
        self._clips.stop()
        threads = [camera.thread for camera in self._cameras.values() if camera.started]
        for thread in threads:
            thread.stop()
        deadline_s = time.monotonic() + 3.0
        for thread in [*threads, *self._retired.threads]:
            thread.join(max(0.0, deadline_s - time.monotonic()))
            if thread.is_alive():
                log.warning("camera %s did not close in time", thread.camera.name)
        self._bus.close()

    # ---- messages

    def _handle(self, message: object) -> None:
        if isinstance(message, FrameRequest):
            self._frame_requested(message)
        elif isinstance(message, CaptureAssignment):
            self._assign(message)
        elif isinstance(message, RingAllocated):
            self._ring_allocated(message)
        elif isinstance(message, RingRefused):
            self._ring_refused(message)
        elif isinstance(message, Reclaim):
            self._reclaim(message)
        elif isinstance(message, SnapshotRequest):
            self._snapshot(message)
        elif isinstance(message, RecordClip):
            camera = self._cameras.get(message.camera)
            self._clips.record(message, camera.thread.buffer if camera is not None else None)

    def _assign(self, assignment: CaptureAssignment) -> None:
        """Become what is asked; a camera whose entry is unchanged is not touched."""
        self._assigned = True
        configs = {camera.name: camera for camera in assignment.cameras}
        for name in list(self._cameras):
            if configs.get(name) != self._cameras[name].config:
                self._remove(name)
        for name, config in configs.items():
            if name not in self._cameras:
                self._add(config)
        self._supervisor.send(Ready(self.name, assignment.rev))

    def _add(self, config: CaptureCamera) -> None:
        if config.infer_worker not in self._infer:
            self._infer[config.infer_worker] = self._bus.connect(config.infer_worker, self.name)
        counters = self._counters.capture(config.row)
        watch, memory = self._watch(config), self._memory(config)
        thread = CameraThread(config, counters, self._wake, watch, memory, self._overload.is_on)
        camera = self._cameras[config.name] = CapturedCamera(config, config.row, thread)
        now_s = time.monotonic()
        camera.predecessor = self._retired.last_of(config.name)
        camera.start_by_s = now_s + HANDOVER_S if camera.predecessor is not None else 0.0
        self._start(camera, now_s)

    def _watch(self, config: CaptureCamera) -> CameraWatch | None:
        if not config.watched:
            return None
        path = view_path(self._state_dir, config.name) if self._state_dir is not None else None
        return CameraWatch(config.name, config.url, config.ignored, config.realtime, path)

    def _memory(self, config: CaptureCamera) -> GateMemory:
        path = evidence_path(self._state_dir, config.name) if self._state_dir is not None else None
        return GateMemory(config.name, config.url, path)

    def _start(self, camera: CapturedCamera, now_s: float) -> None:
        """Start its thread as soon as its predecessor has ended, or will not do so soon."""
        if now_s < camera.start_by_s and (camera.predecessor is None or camera.predecessor.is_alive()):
            return
        camera.predecessor = None
        try:
            camera.thread.start()
        except RuntimeError as error:  # no thread to be had from the system
            camera.start_by_s = now_s + HANDOVER_S
            if camera.state is None:
                text = f"{error}: raise TasksMax of the service, or the limit of processes"
                log.error("camera %s: unreachable %s", camera.config.name, text)
                self._set_state(camera, SourceState(camera.config.name, "unreachable", text, time.time_ns()))
            return
        camera.started = True

    def _remove(self, name: str) -> None:
        """Never waits: the thread may hang in a read, and the other cameras have frames to hand over."""
        camera = self._cameras.pop(name)
        self._retired.add(camera.thread, time.monotonic())
        self._counters.release_capture(camera.row)

    def _ring_allocated(self, ring: RingAllocated) -> None:
        camera = self._cameras.get(ring.camera)
        request = camera.ring_request if camera is not None else None
        if camera is None or request is None or request.opening != ring.opening:
            return
        try:
            memory = RingMemory.attach(Path(ring.path), ring.slots, ring.width, ring.height)
        except StorageError as error:
            self._supervisor.send(CameraWarning(self.name, ring.camera, str(error)))
            self._ring_refused(RingRefused(ring.camera, ring.opening, str(error)))
            return
        camera.ring = RingWriter(memory, ring.generation)
        camera.thread.take_back_lost(self._counters)
        camera.thread.set_generation(ring.generation)
        camera.ring_path = ring.path
        camera.epoch = ring.epoch
        camera.opening = ring.opening
        camera.thread.set_ring_refused(ring.opening, False)
        at_ns = time.time_ns() if request.refusal else request.live.at_ns
        request.allocated, request.refusal = True, ""
        self._set_state(camera, msgspec.structs.replace(request.live, epoch=ring.epoch, at_ns=at_ns))

    def _ring_refused(self, refusal: RingRefused) -> None:
        """There is no room for its ring: that is the camera's state until there is."""
        camera = self._cameras.get(refusal.camera)
        request = camera.ring_request if camera is not None else None
        if camera is None or request is None or request.opening != refusal.opening:
            return
        is_new = request.refused(refusal.text, time.monotonic())
        camera.ring = None  # of the opening before: what it takes may be what is lacking
        camera.thread.set_ring_refused(refusal.opening, True)
        if is_new:
            log.error("camera %s: no_storage %s", refusal.camera, refusal.text)
            detail = f"{refusal.text}; it is asked for again until there is room"
            state = SourceState(refusal.camera, "no_storage", detail, time.time_ns(), epoch=camera.epoch)
            self._set_state(camera, state)

    def _reclaim(self, message: Reclaim) -> None:
        camera = self._cameras.get(message.camera)
        if camera is None:
            return
        camera.thread.release_handed(self._counters)
        if camera.ring is not None:
            camera.ring.reclaim(message.generation)
        camera.thread.set_generation(message.generation)
        request = camera.frame_request
        if request is not None and request.generation < message.generation:
            camera.frame_request = None
            camera.thread.set_requested(False)
        self._send_state(camera)

    def _frame_requested(self, request: FrameRequest) -> None:
        camera = self._cameras.get(request.camera)
        if camera is None:
            return
        if camera.ring is not None:
            camera.ring.release(request.generation, request.leases)
        camera.state_sent_s = time.monotonic()
        camera.frame_request = request
        camera.thread.hear(request.quiet, request.still)
        camera.thread.want(request.fps, request.short)
        camera.thread.set_requested(True)
        self._send_frame(camera)

    # ---- frames

    def _send_frame(self, camera: CapturedCamera) -> None:
        """Send the newest frame if one is requested and there."""
        ring = camera.ring
        request = camera.frame_request
        # A request from after a reclaim that has not reached us yet waits for it (frame_ring.py, clause 5).
        if ring is None or request is None or request.generation > ring.generation:
            return
        if camera.thread.send_held(camera.opening, lambda held: self._convert_and_send(camera, ring, held)):
            camera.frame_request = None
            camera.thread.set_requested(False)

    def _send_gated(self, camera: CapturedCamera, now_s: float) -> None:
        """Let inference know that the camera rests, a few times a second."""
        if now_s - camera.gated_sent_s < GATED_EVERY_S or not (until_ns := camera.thread.gated_until_ns()):
            return
        camera.gated_sent_s = now_s
        self._infer[camera.config.infer_worker].send(FramesGated(camera.config.name, until_ns))

    def _convert_and_send(self, camera: CapturedCamera, ring: RingWriter, held: HeldFrame) -> str:
        slot = ring.acquire()
        if slot is None:
            return "no_slot"
        decoded = held.decoded
        pixels = ring.memory.slot(slot)
        try:
            decoded.write_bgr(pixels)
        except Exception as error:  # one camera's odd picture must not end the process of four
            text = f"{type(error).__name__}: {error}"
            if text != camera.conversion_error:  # never once a frame
                camera.conversion_error = text
                log.exception("camera %s: a frame could not be converted", camera.config.name)
            return "damaged"
        sent = self._infer[camera.config.infer_worker].send(
            FrameReady(
                camera=camera.config.name,
                path=camera.ring_path,
                generation=ring.generation,
                slot=slot,
                epoch=camera.epoch,
                frame_id=held.frame_id,
                width=pixels.shape[1],
                height=pixels.shape[0],
                media_ns=decoded.media_ns,
                captured_ns=decoded.captured_ns,
                received_mono_ns=decoded.received_mono_ns,
                clock_source=decoded.clock_source,
                lease=ring.next_lease,
                kept=decoded.kept,
            )
        )
        if not sent:
            return "busy"
        ring.lease(slot)
        return ""

    # ---- states, snapshots, status

    def _on_state_change(self, camera: CapturedCamera, change: StateChange) -> None:
        info = change.info
        state = SourceState(
            camera=camera.config.name,
            state=change.state,
            detail=change.detail,
            at_ns=change.at_ns,
            width=info.width if info else 0,
            height=info.height if info else 0,
            fps=info.fps if info else 0.0,
            codec=info.codec if info else "",
        )
        if info is None:
            camera.ring_request = None
            self._set_state(camera, state)
            return
        # It is live, and said to be, when its frames can be handed over: that takes a ring.
        width, height = fit(info.width, info.height, camera.config.analysis_width)
        message = AllocateRing(self.name, camera.config.name, width, height, change.opening)
        camera.ring_request = RingRequest(message, state)

    def _on_health_change(self, camera: CapturedCamera, change: HealthChange) -> None:
        camera.health = change
        if camera.state is not None and camera.state.state == "live":
            self._set_state(camera, camera.state)

    def _set_state(self, camera: CapturedCamera, state: SourceState) -> None:
        """With the health that it has, where it is live."""
        state = camera.state = camera.with_health(state)
        self._supervisor.send(state)
        self._send_state(camera)

    def _send_state(self, camera: CapturedCamera) -> None:
        """The state becomes an event there; the last one is sent again to a new inference worker."""
        if camera.state is not None:
            sent = self._infer[camera.config.infer_worker].send(camera.state)
            camera.state_sent_s = time.monotonic() if sent else 0.0

    def _resend_state(self, camera: CapturedCamera, now_s: float) -> None:
        """What did not get through, or may have been lost on its way to inference: it asks for no frame, or
        waits for one while it has all the slots."""
        live = camera.state is not None and camera.state.state == "live"
        if not camera.state_sent_s or (live and now_s - camera.state_sent_s > RESEND_STATE_S):
            self._send_state(camera)

    def _snapshot(self, request: SnapshotRequest) -> None:
        camera = self._cameras.get(request.camera)
        newest = camera.thread.newest() if camera else None
        if newest is None:
            state = camera.state.state if camera and camera.state else "not captured here"
            self._supervisor.send(Snapshot(request.request, request.camera, b"", f"the camera is {state}"))
            return
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        error, content = "the picture could not be encoded", b""
        try:
            ok, jpeg = cv2.imencode(".jpg", newest.image(request.width), quality)
            if ok:
                error, content = "", jpeg.tobytes()
        except Exception:  # as in _convert_and_send
            log.exception("camera %s: %s", request.camera, error)
        self._supervisor.send(Snapshot(request.request, request.camera, content, error))

    def _send_status(self, now_s: float) -> None:
        self._next_status_s = now_s + STATUS_EVERY_S
        running = {name: (c.row, c.thread) for name, c in self._cameras.items() if c.started}
        cores = self._cpu_share.read(running, now_s)
        self._overload.read([camera.thread for camera in self._cameras.values()], now_s)
        cameras: dict[str, dict[str, Any]] = {}
        for name, camera in self._cameras.items():
            self._resend_state(camera, now_s)
            cameras[name] = camera.describe(self._counters.balance(camera.row).decoded, now_s)
            cameras[name]["cores"] = {"decode": round(cores.get(name, 0.0), 3)}
        status = {"cameras": cameras, "threads_overdue": self._retired.overdue}
        self._supervisor.send(WorkerStatus(self.name, status))

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> CaptureWorker:
    return CaptureWorker(name, runtime_dir, shared_dir, state_dir)
