"""Asking the supervisor for a camera's ring, again and again until there is one.

A pure policy: it reads no clock. Storage that was full gets room at some time, and an answer may be lost with
who should have given it; a camera that asked only once would be blind for good.
"""

from __future__ import annotations

from streamer.ipc.messages import AllocateRing, SourceState

RETRY_S, MAX_RETRY_S = 1.0, 30.0  # the pause after the first refusal, and the longest
UNANSWERED_S = 10.0  # a request that has had no answer for so long is asked again


class RingRequest:
    """One opening's request. `live` is the camera's state once it is answered with a ring."""

    def __init__(self, message: AllocateRing, live: SourceState) -> None:
        self.message = message
        self.live = live
        self.allocated = False
        self.refusal = ""  # why there is no ring yet; "": not refused
        self._refusals = 0
        self._next_s = 0.0

    @property
    def opening(self) -> int:
        return self.message.opening

    def due(self, now_s: float) -> bool:
        """Whether to ask now; then it is as good as asked."""
        if self.allocated or now_s < self._next_s:
            return False
        self._next_s = now_s + UNANSWERED_S
        return True

    def refused(self, text: str, now_s: float) -> bool:
        """Note the answer; whether it is a new reason."""
        self._next_s = now_s + min(MAX_RETRY_S, RETRY_S * 2 ** min(self._refusals, 16))
        self._refusals += 1
        self.allocated = False
        is_new, self.refusal = text != self.refusal, text
        return is_new
