"""One camera as the capture worker's main thread knows it."""

from __future__ import annotations

from typing import Any

import msgspec

from streamer.ipc.frame_ring import RingWriter
from streamer.ipc.messages import CaptureCamera, FrameRequest, SourceState
from streamer.workers.capture.camera_thread import CameraThread
from streamer.workers.capture.camera_watch import HealthChange
from streamer.workers.capture.ring_request import RingRequest
from streamer.workers.rate import Rate


class CapturedCamera:
    """The main thread's side of one camera."""

    def __init__(self, config: CaptureCamera, row: int, thread: CameraThread) -> None:
        self.config = config
        self.row = row
        self.thread = thread
        self.predecessor: CameraThread | None = None  # its thread before, while that has not ended
        self.started = False
        self.start_by_s = 0.0  # it is started then, or when its predecessor has ended
        self.ring_request: RingRequest | None = None  # of the present opening
        self.state_sent_s = 0.0  # or a frame of it was last requested; 0: not yet
        self.ring: RingWriter | None = None
        self.ring_path = ""
        self.epoch = 0
        self.opening = -1  # the opening that the ring belongs to
        self.frame_request: FrameRequest | None = None
        self.state: SourceState | None = None
        self.health: HealthChange | None = None  # the last; None: it has been well
        self.gated_sent_s = 0.0
        self.decoding = Rate()
        self.conversion_error = ""  # why a frame of it could last not be converted

    def with_health(self, state: SourceState) -> SourceState:
        """`state` with the health that it has, where it is live."""
        if state.state != "live" or not self.config.watched:
            return state
        if self.health is None:
            return msgspec.structs.replace(state, health="ok", health_since_ns=state.at_ns)
        health = self.health.health
        return msgspec.structs.replace(
            state, health=health.state, health_detail=health.detail, health_since_ns=self.health.since_ns
        )

    def describe(self, decoded: int, now_s: float) -> dict[str, Any]:
        """What it says of itself about once a second; `decoded` counts its frames."""
        self.decoding.read(decoded, now_s)
        thread, leased = self.thread, self.ring.leased if self.ring else 0
        described: dict[str, Any] = {"fps_decoded": round(self.decoding.per_s, 2), "leased": leased}
        if thread.buffer is not None:
            described["clip_buffer_mb"] = round(thread.buffer.bytes / 1e6, 2)
        if thread.level:
            described["level"] = thread.level
        if thread.decoding_spared:
            described["decoding_spared"] = True
        return described
