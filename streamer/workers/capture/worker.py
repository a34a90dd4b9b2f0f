"""The capture worker: a few cameras, each on its own thread, and the one thread that hands frames over.

All messages and all ring bookkeeping happen on the main thread. A frame is converted only when an
inference worker has a demand out for its camera: nothing is scaled for nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

import cv2
import msgspec

from pipelines.geometry import fit
from streamer.errors import StorageError
from streamer.ipc.bus import Bus, Client
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.frame_ring import RingMemory, RingWriter
from streamer.ipc.messages import (
    AllocateRing,
    CameraWarning,
    CaptureAssignment,
    CaptureCamera,
    FrameReady,
    FrameRequest,
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
from streamer.workers.capture.camera_thread import CameraReader, Held, StateChange
from streamer.workers.capture.retired import Retired
from streamer.workers.capture.ring_request import RingRequest
from streamer.workers.rate import Rate

log = logging.getLogger(__name__)

HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
POLL_S = 0.2
JPEG_QUALITY = 88
# A changed camera is opened when its old thread has ended, since many cameras serve few at a time, but does
# not wait for longer than this; and so long after a thread that the system did not give.
HANDOVER_S = 3.0
RETELL_S = 10.0  # a live camera that was not asked for is told of again, which makes inference ask anew


class _Camera:
    """The main thread's side of one camera."""

    def __init__(self, config: CaptureCamera, row: int, reader: CameraReader) -> None:
        self.config = config
        self.row = row
        self.reader = reader
        self.follows: CameraReader | None = None  # its predecessor, while that has not ended
        self.started = False
        self.start_by_s = 0.0  # it is started then, or when its predecessor has ended
        self.request: RingRequest | None = None  # of the present opening
        self.told_s = 0.0  # when inference was told the state, or last asked for a frame; 0: not yet
        self.ring: RingWriter | None = None
        self.ring_path = ""
        self.epoch = 0
        self.opening = -1  # the opening that the ring belongs to
        self.demand: FrameRequest | None = None
        self.state: SourceState | None = None
        self.decoding = Rate()
        self.odd = ""  # why a frame of it could last not be converted


class CaptureWorker:
    """See the module's docstring; implements `workers.loop.Worker`."""

    def __init__(self, name: str, runtime_dir: Path, shared_dir: Path) -> None:
        self.stopping = False
        self.name = name
        self._counters = FrameCounters.attach(shared_dir / COUNTERS_FILE)
        self._cameras: dict[str, _Camera] = {}
        self._retired = Retired()
        self._assigned = False
        self._next_hello_s = 0.0
        self._next_status_s = 0.0
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._infer: dict[str, Client] = {}
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
        self._retired.reap(now_s)
        for camera in self._cameras.values():
            if not camera.started:
                self._start(camera, now_s)
            for change in camera.reader.changes():
                self._announce(camera, change)
            if camera.request is not None and camera.request.due(now_s):
                self._supervisor.send(camera.request.question)
            self._serve(camera)
        if now_s >= self._next_status_s:
            self._report(now_s)

    def close(self) -> None:
        readers = [camera.reader for camera in self._cameras.values() if camera.started]
        for reader in readers:
            reader.stop()
        deadline_s = time.monotonic() + 3.0
        for reader in [*readers, *self._retired.readers]:
            reader.join(max(0.0, deadline_s - time.monotonic()))
            if reader.is_alive():
                log.warning("camera %s did not close in time", reader.camera.name)
        self._bus.close()

    # ---- messages

    def _handle(self, message: object) -> None:
        if isinstance(message, FrameRequest):
            self._demanded(message)
        elif isinstance(message, CaptureAssignment):
            self._assign(message)
        elif isinstance(message, RingAllocated):
            self._grant(message)
        elif isinstance(message, RingRefused):
            self._refused(message)
        elif isinstance(message, Reclaim):
            self._reclaim(message)
        elif isinstance(message, SnapshotRequest):
            self._picture(message)

    def _assign(self, assignment: CaptureAssignment) -> None:
        """Become what is asked; a camera whose entry is unchanged is not touched."""
        self._assigned = True
        wanted = {camera.name: camera for camera in assignment.cameras}
        for name in list(self._cameras):
            if wanted.get(name) != self._cameras[name].config:
                self._remove(name)
        for name, config in wanted.items():
            if name not in self._cameras:
                self._add(config)
        self._supervisor.send(Ready(self.name, assignment.rev))

    def _add(self, config: CaptureCamera) -> None:
        if config.infer_worker not in self._infer:
            self._infer[config.infer_worker] = self._bus.connect(config.infer_worker, self.name)
        reader = CameraReader(config, self._counters.capture(config.row), self._wake)
        camera = self._cameras[config.name] = _Camera(config, config.row, reader)
        now_s = time.monotonic()
        camera.follows = self._retired.last_of(config.name)
        camera.start_by_s = now_s + HANDOVER_S if camera.follows is not None else 0.0
        self._start(camera, now_s)

    def _start(self, camera: _Camera, now_s: float) -> None:
        """Start its thread as soon as its predecessor has ended, or will not do so soon."""
        if now_s < camera.start_by_s and (camera.follows is None or camera.follows.is_alive()):
            return
        camera.follows = None
        try:
            camera.reader.start()
        except RuntimeError as error:  # no thread to be had from the system
            camera.start_by_s = now_s + HANDOVER_S
            if camera.state is None:
                text = f"{error}: raise TasksMax of the service, or the limit of processes"
                log.error("camera %s: unreachable %s", camera.config.name, text)
                self._say(camera, SourceState(camera.config.name, "unreachable", text, time.time_ns()))
            return
        camera.started = True

    def _remove(self, name: str) -> None:
        """Never waits: the thread may hang in a read, and the other cameras have frames to hand over."""
        camera = self._cameras.pop(name)
        self._retired.add(camera.reader, time.monotonic())
        self._counters.release_capture(camera.row)

    def _grant(self, grant: RingAllocated) -> None:
        camera = self._cameras.get(grant.camera)
        request = camera.request if camera is not None else None
        if camera is None or request is None or request.opening != grant.opening:
            return
        try:
            memory = RingMemory.attach(Path(grant.path), grant.slots, grant.width, grant.height)
        except StorageError as error:
            self._supervisor.send(CameraWarning(self.name, grant.camera, str(error)))
            self._refused(RingRefused(grant.camera, grant.opening, str(error)))
            return
        camera.ring = RingWriter(memory, grant.generation)
        camera.reader.set_generation(grant.generation)
        camera.ring_path = grant.path
        camera.epoch = grant.epoch
        camera.opening = grant.opening
        camera.reader.without_ring(grant.opening, False)
        at_ns = time.time_ns() if request.refusal else request.live.at_ns
        request.granted, request.refusal = True, ""
        self._say(camera, msgspec.structs.replace(request.live, epoch=grant.epoch, at_ns=at_ns))

    def _refused(self, refusal: RingRefused) -> None:
        """There is no room for its ring: that is the camera's state until there is."""
        camera = self._cameras.get(refusal.camera)
        request = camera.request if camera is not None else None
        if camera is None or request is None or request.opening != refusal.opening:
            return
        news = request.refused(refusal.text, time.monotonic())
        camera.ring = None  # of the opening before: what it takes may be what is lacking
        camera.reader.without_ring(refusal.opening, True)
        if news:
            log.error("camera %s: no_storage %s", refusal.camera, refusal.text)
            detail = f"{refusal.text}; it is asked for again until there is room"
            at_ns = time.time_ns()
            self._say(camera, SourceState(refusal.camera, "no_storage", detail, at_ns, epoch=camera.epoch))

    def _reclaim(self, message: Reclaim) -> None:
        camera = self._cameras.get(message.camera)
        if camera is None:
            return
        self._counters.release_handed(camera.row)
        if camera.ring is not None:
            camera.ring.reclaim(message.generation)
        camera.reader.set_generation(message.generation)
        demand = camera.demand
        if demand is not None and demand.generation < message.generation:
            camera.demand = None
            camera.reader.want(False)
        self._tell_infer(camera)

    def _demanded(self, demand: FrameRequest) -> None:
        camera = self._cameras.get(demand.camera)
        if camera is None:
            return
        if camera.ring is not None:
            camera.ring.release(demand.generation, demand.slots)
        camera.told_s = time.monotonic()
        camera.demand = demand
        camera.reader.want(True)
        self._serve(camera)

    # ---- frames

    def _serve(self, camera: _Camera) -> None:
        """Hand the newest frame over if one is wanted and there."""
        ring = camera.ring
        demand = camera.demand
        # A demand from after a reclaim that has not reached us yet waits for it (frame_ring.py, clause 5).
        if ring is None or demand is None or demand.generation > ring.generation:
            return
        if camera.reader.hand(camera.opening, lambda held: self._convert(camera, ring, held)):
            camera.demand = None
            camera.reader.want(False)

    def _convert(self, camera: _Camera, ring: RingWriter, held: Held) -> str:
        slot = ring.acquire()
        if slot is None:
            return "no_slot"
        decoded = held.decoded
        pixels = ring.memory.slot(slot)
        try:
            decoded.write_bgr(pixels)
        except Exception as error:  # one camera's odd picture must not end the process of four
            text = f"{type(error).__name__}: {error}"
            if text != camera.odd:  # never once a frame
                camera.odd = text
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
            )
        )
        if not sent:
            return "busy"
        ring.lease(slot)
        return ""

    # ---- what others are told

    def _announce(self, camera: _Camera, change: StateChange) -> None:
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
            camera.request = None
            self._say(camera, state)
            return
        # It is live, and said to be, when its frames can be handed over: that takes a ring.
        width, height = fit(info.width, info.height, camera.config.analysis_width)
        question = AllocateRing(self.name, camera.config.name, width, height, change.opening)
        camera.request = RingRequest(question, state)

    def _say(self, camera: _Camera, state: SourceState) -> None:
        camera.state = state
        self._supervisor.send(state)
        self._tell_infer(camera)

    def _tell_infer(self, camera: _Camera) -> None:
        """The state becomes an event there; the last one is told again to a new inference worker."""
        if camera.state is not None:
            told = self._infer[camera.config.infer_worker].send(camera.state)
            camera.told_s = time.monotonic() if told else 0.0

    def _tell_again(self, camera: _Camera, now_s: float) -> None:
        """What did not get through, or may have been lost on its way to inference: it asks for no frame, or
        waits for one while it has all the slots."""
        live = camera.state is not None and camera.state.state == "live"
        if not camera.told_s or (live and now_s - camera.told_s > RETELL_S):
            self._tell_infer(camera)

    def _picture(self, request: SnapshotRequest) -> None:
        camera = self._cameras.get(request.camera)
        newest = camera.reader.newest() if camera else None
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
        except Exception:  # as in _convert
            log.exception("camera %s: %s", request.camera, error)
        self._supervisor.send(Snapshot(request.request, request.camera, content, error))

    def _report(self, now_s: float) -> None:
        self._next_status_s = now_s + STATUS_EVERY_S
        cameras = {}
        for name, camera in self._cameras.items():
            self._tell_again(camera, now_s)
            camera.decoding.read(self._counters.balance(camera.row).decoded, now_s)
            leased = camera.ring.leased if camera.ring else 0
            cameras[name] = {"fps_decoded": round(camera.decoding.per_s, 2), "leased": leased}
        status = {"cameras": cameras, "threads_overdue": self._retired.overdue}
        self._supervisor.send(WorkerStatus(self.name, status))

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)


def create(name: str, runtime_dir: Path, _state_dir: Path, shared_dir: Path) -> CaptureWorker:
    return CaptureWorker(name, runtime_dir, shared_dir)
