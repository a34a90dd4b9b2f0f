"""Requests that a worker answers later: by number, until its answer comes or its time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.daemon.operations import Answer
from streamer.errors import StreamerError


@dataclass(frozen=True, slots=True)
class _Pending:
    answer: Answer
    camera: str
    until_s: float


class PendingAnswers:
    """Each is answered once. `late` says, of a camera, what whoever asked is told after `limit_s`."""

    def __init__(self, limit_s: float, late: Callable[[str], StreamerError]) -> None:
        self._limit_s, self._late = limit_s, late
        self._pending: dict[int, _Pending] = {}
        self._next = 1

    def expect(self, answer: Answer, camera: str) -> int:
        """The number under which a worker must answer."""
        number, self._next = self._next, self._next + 1
        self._pending[number] = _Pending(answer, camera, time.monotonic() + self._limit_s)
        return number

    def camera_of(self, number: int) -> str:
        """Which camera was asked about; "" where the request was answered before."""
        pending = self._pending.get(number)
        return "" if pending is None else pending.camera

    def reply(self, number: int, result: Mapping[str, Any]) -> None:
        """What a worker answered; nothing where the request was answered before."""
        if pending := self._pending.pop(number, None):
            pending.answer.reply(result)

    def fail(self, number: int, error: StreamerError) -> None:
        """Why there is no answer; nothing where the request was answered before."""
        if pending := self._pending.pop(number, None):
            pending.answer.fail(error)

    def expire(self, now_s: float) -> None:
        """Answer those whose time is over; `now_s` is monotonic."""
        for number, pending in list(self._pending.items()):
            if now_s > pending.until_s:
                self.fail(number, self._late(pending.camera))
