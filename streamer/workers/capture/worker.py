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
from streamer.errors import StreamerError
from streamer.ipc.bus import Bus, Client
from streamer.ipc.counters import Books
from streamer.ipc.frame_ring import RingMemory, RingWriter
from streamer.ipc.messages import (
    CaptureAssignment,
    CaptureCamera,
    Demand,
    FrameReady,
    Hello,
    OpenRing,
    Picture,
    Ready,
    Reclaim,
    RingGrant,
    SourceState,
    Stop,
    TakePicture,
    Trouble,
    WorkerStatus,
)
from streamer.workers.capture.camera_thread import CameraReader, Held, StateChange
from streamer.workers.rate import Rate

log = logging.getLogger(__name__)

HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
POLL_S = 0.2
JPEG_QUALITY = 88


class _Camera:
    """The main thread's side of one camera."""

    def __init__(self, config: CaptureCamera, row: int, reader: CameraReader) -> None:
        self.config = config
        self.row = row
        self.reader = reader
        self.ring: RingWriter | None = None
        self.ring_path = ""
        self.epoch = 0
        self.opening = -1  # the opening that the ring belongs to
        self.asked_opening = -1
        self.demand: Demand | None = None
        self.state: SourceState | None = None
        self.decoding = Rate()


class CaptureWorker:
    """See the module's docstring; implements `workers.loop.Worker`."""

    def __init__(self, name: str, runtime_dir: Path, shared_dir: Path) -> None:
        self.stopping = False
        self.name = name
        self._runtime_dir = runtime_dir
        self._books = Books.attach(shared_dir / "books")
        self._cameras: dict[str, _Camera] = {}
        self._assigned = False
        self._next_hello_s = 0.0
        self._next_status_s = 0.0
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._infer: dict[str, Client] = {}

    def open(self) -> None:
        cv2.setNumThreads(1)  # several cameras share the process; a pool would fight with inference
        self._bus = Bus(self._runtime_dir)
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
        for camera in self._cameras.values():
            for change in camera.reader.changes():
                self._announce(camera, change)
            self._serve(camera)
        if now_s >= self._next_status_s:
            self._report(now_s)

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.reader.stop()
        deadline_s = time.monotonic() + 3.0
        for camera in self._cameras.values():
            camera.reader.join(max(0.0, deadline_s - time.monotonic()))
            if camera.reader.is_alive():
                log.warning("camera %s did not close in time", camera.config.name)
        self._bus.close()

    # ---- messages

    def _handle(self, message: object) -> None:
        if isinstance(message, Demand):
            self._demanded(message)
        elif isinstance(message, CaptureAssignment):
            self._assign(message)
        elif isinstance(message, RingGrant):
            self._grant(message)
        elif isinstance(message, Reclaim):
            self._reclaim(message)
        elif isinstance(message, TakePicture):
            self._picture(message)
        elif isinstance(message, Stop):
            self.stopping = True

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
        reader = CameraReader(config, self._books.capture(config.row), self._wake)
        self._cameras[config.name] = _Camera(config, config.row, reader)
        reader.start()

    def _remove(self, name: str) -> None:
        camera = self._cameras.pop(name)
        camera.reader.stop()
        camera.reader.join(3.0)
        self._books.bury_capture(camera.row)

    def _grant(self, grant: RingGrant) -> None:
        camera = self._cameras.get(grant.camera)
        if camera is None or camera.asked_opening != grant.opening:
            return
        try:
            memory = RingMemory.attach(Path(grant.path), grant.slots, grant.width, grant.height)
        except StreamerError as error:
            self._supervisor.send(Trouble(self.name, grant.camera, str(error)))
            return
        camera.ring = RingWriter(memory, grant.generation)
        camera.reader.set_generation(grant.generation)
        camera.ring_path = grant.path
        camera.epoch = grant.epoch
        camera.opening = grant.opening
        if camera.state is not None:
            camera.state = msgspec.structs.replace(camera.state, epoch=grant.epoch)
        self._tell_infer(camera)

    def _reclaim(self, message: Reclaim) -> None:
        camera = self._cameras.get(message.camera)
        if camera is None:
            return
        self._books.bury_handed(camera.row)
        if camera.ring is not None:
            camera.ring.reclaim(message.generation)
        camera.reader.set_generation(message.generation)
        demand = camera.demand
        if demand is not None and demand.generation < message.generation:
            camera.demand = None
            camera.reader.want(False)
        self._tell_infer(camera)

    def _demanded(self, demand: Demand) -> None:
        camera = self._cameras.get(demand.camera)
        if camera is None:
            return
        if camera.ring is not None:
            camera.ring.give_back(demand.generation, demand.slots)
        if demand.want:
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
        decoded.write_bgr(pixels)
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
        ring.hand(slot)
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
        camera.state = state
        self._supervisor.send(state)
        if info is None:
            self._tell_infer(camera)
            return
        camera.asked_opening = change.opening
        width, height = fit(info.width, info.height, camera.config.analysis_width)
        self._supervisor.send(OpenRing(self.name, camera.config.name, width, height, change.opening))

    def _tell_infer(self, camera: _Camera) -> None:
        """The state becomes an event there; the last one is told again to a new inference worker."""
        if camera.state is not None:
            self._infer[camera.config.infer_worker].send(camera.state)

    def _picture(self, request: TakePicture) -> None:
        camera = self._cameras.get(request.camera)
        newest = camera.reader.newest() if camera else None
        if newest is None:
            state = camera.state.state if camera and camera.state else "not captured here"
            self._supervisor.send(Picture(request.request, request.camera, b"", f"the camera is {state}"))
            return
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        ok, jpeg = cv2.imencode(".jpg", newest.image(request.width), quality)
        error = "" if ok else "the picture could not be encoded"
        self._supervisor.send(Picture(request.request, request.camera, jpeg.tobytes() if ok else b"", error))

    def _report(self, now_s: float) -> None:
        self._next_status_s = now_s + STATUS_EVERY_S
        cameras = {}
        for name, camera in self._cameras.items():
            camera.decoding.read(self._books.balance(camera.row).decoded, now_s)
            leased = camera.ring.leased if camera.ring else 0
            cameras[name] = {"fps_decoded": round(camera.decoding.per_s, 2), "leased": leased}
        self._supervisor.send(WorkerStatus(self.name, {"cameras": cameras}))

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)


def create(name: str, runtime_dir: Path, _state_dir: Path, shared_dir: Path) -> CaptureWorker:
    return CaptureWorker(name, runtime_dir, shared_dir)
