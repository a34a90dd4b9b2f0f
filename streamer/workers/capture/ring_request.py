"""Asking the supervisor for a camera's ring, again and again until there is one.

A pure policy: it reads no clock. Storage that was full gets room at some time, and an answer may be lost with
who should have given it; a camera that asked only once would be blind for good.
"""

from __future__ import annotations

from streamer.ipc.messages import AllocateRing, SourceState

FIRST_S, CAP_S = 1.0, 30.0  # the pause after the first refusal, and the longest
UNANSWERED_S = 10.0  # a question that has had no answer for so long is asked again


class RingRequest:
    """One opening's question. `live` is the camera's state once it is answered with a ring."""

    def __init__(self, question: AllocateRing, live: SourceState) -> None:
        self.question = question
        self.live = live
        self.granted = False
        self.refusal = ""  # why there is no ring yet; "": not refused
        self._refusals = 0
        self._next_s = 0.0

    @property
    def opening(self) -> int:
        return self.question.opening

    def due(self, now_s: float) -> bool:
        """Whether to ask now; then it is as good as asked."""
        if self.granted or now_s < self._next_s:
            return False
        self._next_s = now_s + UNANSWERED_S
        return True

    def refused(self, text: str, now_s: float) -> bool:
        """Note the answer; whether it says something new."""
        self._next_s = now_s + min(CAP_S, FIRST_S * 2 ** min(self._refusals, 16))
        self._refusals += 1
        self.granted = False
        news, self.refusal = text != self.refusal, text
        return news
