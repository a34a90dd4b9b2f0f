"""The sending end of the events: their sequence numbers, and the window kept until the ledger has them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamer.ipc.bus import Client
from streamer.ipc.messages import Ack, Batch, CameraResume, EventRecord, Resume, ResumeRequest
from streamer.ipc.spool import Outbox

log = logging.getLogger(__name__)

WINDOW_BYTES = 16 << 20
RESEND_AFTER_S = 0.5  # no acknowledgement for so long: the delivery worker has died or lost them
MAX_RESENT = 200  # batches sent again at a time
REQUEST_EVERY_S = 0.5


class EventSequencer:
    """Numbers each camera's events and sees them into the ledger. Used by one thread."""

    def __init__(self, worker: str, delivery: Client, runtime_dir: Path) -> None:
        self._worker = worker
        self._delivery = delivery
        self._outbox = Outbox(runtime_dir / f"{worker}.spool", WINDOW_BYTES)
        self._sequence: dict[str, int] = {}
        self._requested: set[str] = set()
        self._next_request_s = 0.0
        self._progress_s = time.monotonic()
        self.lost_events = 0  # the window was full
        self.resends = 0
        # What a killed predecessor left goes first: the answer to our first request then includes it.
        self._send_window()

    def can_number(self, camera: str) -> bool:
        """Whether events of `camera` can be numbered."""
        return camera in self._sequence

    def last_number(self, camera: str) -> int:
        """The number of the camera's newest event."""
        return self._sequence[camera]

    def request_positions(self, cameras: Sequence[str]) -> None:
        """Request where these cameras stand in the ledger; requested again until answered."""
        self._requested.update(c for c in cameras if c not in self._sequence)
        self._next_request_s = 0.0

    def forget(self, camera: str) -> None:
        self._sequence.pop(camera, None)
        self._requested.discard(camera)

    def on_resume(self, answer: Resume) -> list[CameraResume]:
        """The ledger's answer: returns the positions that were requested."""
        positions = [position for position in answer.cameras if position.camera in self._requested]
        unsent = self._outbox.last_seqs()
        for position in positions:
            unsent_seq = unsent.get(position.camera, 0)
            self._sequence[position.camera] = max(position.last_seq, unsent_seq)
            self._requested.discard(position.camera)
        return positions

    def on_ack(self, ack: Ack) -> None:
        if self._outbox.ack(ack.number):
            self._progress_s = time.monotonic()

    def send(self, records: Sequence[EventRecord]) -> bool:
        """Number and send the events of one step. False: the window is full, they are lost and counted.

        Every camera must be known (see `can_number`). The numbers of events that were lost are used again.
        """
        sequence = dict(self._sequence)
        numbered = []
        for record in records:
            sequence[record.camera] += 1
            numbered.append(msgspec.structs.replace(record, seq=sequence[record.camera]))
        batch = Batch(self._worker, self._outbox.next_number, tuple(numbered))
        if not self._outbox.append(batch):
            self.lost_events += len(records)
            return False
        if len(self._outbox) == 1:
            self._progress_s = time.monotonic()
        self._sequence = sequence
        self._delivery.send(self._outbox.stamped(batch))
        return True

    def tick(self, now_s: float) -> None:
        """Request and send again what has stayed without an answer."""
        if self._requested and now_s >= self._next_request_s:
            self._delivery.send(ResumeRequest(self._worker, tuple(sorted(self._requested))))
            self._next_request_s = now_s + REQUEST_EVERY_S
        if len(self._outbox) and now_s - self._progress_s > RESEND_AFTER_S:
            self._progress_s = now_s
            self.resends += 1
            self._send_window()

    def _send_window(self) -> None:
        for batch in self._outbox.pending()[:MAX_RESENT]:
            if not self._delivery.send(batch):
                break

    @property
    def last_batch(self) -> int:
        """The number of the batch that was kept last."""
        return self._outbox.next_number - 1

    @property
    def unacknowledged(self) -> int:
        return len(self._outbox)

    def close(self) -> None:
        self._outbox.close()
