"""The sender's end of the way to the delivery worker: a window of batches, sent again until acknowledged.

    link = DeliveryLink(bus.connect("deliver", name), Outbox(path, max_bytes), name)
    link.send(records)          False: the window is full; drop them, count them, give the numbers out again
    link.received(message)      every message from the endpoint "deliver"
    link.tick()                 often: sends again what is not acknowledged in time

A delivery worker that dies takes what was on its way with it, and nothing says so: when RESEND_S passes
without an acknowledgement all that is pending goes out again, in order. Sending twice is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from streamer.bus import Client
from streamer.messages import Ack, Batch, EventRecord, Message, Resume, ResumeRequest
from streamer.outbox import Outbox

RESEND_S = 0.5
ASK_EVERY_S = 0.5


class DeliveryLink:
    """For one thread. Opening it sends what a predecessor left in the outbox."""

    def __init__(self, client: Client, outbox: Outbox, worker: str) -> None:
        self.outbox = outbox
        self._client = client
        self._worker = worker
        self._progress_s = time.monotonic()
        self._asked: tuple[str, ...] = ()
        self._asked_s = 0.0
        self._send_pending()

    def send(self, events: Sequence[EventRecord]) -> bool:
        """Hand over the events of one step. False: no room in the window, nothing was taken."""
        if not len(self.outbox):
            self._progress_s = time.monotonic()
        batch = Batch(self._worker, self.outbox.next_number, tuple(events))
        if not self.outbox.append(batch):
            return False
        self._client.send(self.outbox.stamped(batch))  # no room in the queue: tick() sends it again
        return True

    def ask(self, cameras: Sequence[str]) -> None:
        """Ask where `cameras` stand; repeated until the answer comes to received().

        What a predecessor left goes first, so that it is part of the answer.
        """
        self._asked = tuple(cameras)
        self._send_pending()
        self._send_question()

    def received(self, message: Message) -> None:
        """Take an Ack or note that a Resume has come."""
        if isinstance(message, Ack) and self.outbox.ack(message.number):
            self._progress_s = time.monotonic()
        elif isinstance(message, Resume):
            self._asked = ()

    def tick(self) -> None:
        now_s = time.monotonic()
        if len(self.outbox) and now_s - self._progress_s > RESEND_S:
            self._send_pending()
        if self._asked and now_s - self._asked_s > ASK_EVERY_S:
            self._send_question()

    def _send_pending(self) -> None:
        self._progress_s = time.monotonic()
        for batch in self.outbox.pending():
            if not self._client.send(batch):
                break  # the queue is full: the other end is away

    def _send_question(self) -> None:
        self._asked_s = time.monotonic()
        self._client.send(ResumeRequest(self._worker, self._asked))
