"""Pictures that somebody waits for, until a capture worker sends them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from streamer.daemon.operations import Answer
from streamer.errors import SourceError
from streamer.ipc.messages import Snapshot

LIMIT_S = 8.0


@dataclass(slots=True)
class _Asked:
    answer: Answer
    until_s: float


class Pictures:
    """Requests by number; each is answered once, with the picture or with why there is none."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}
        self._next = 1

    def expect(self, answer: Answer, now_s: float) -> int:
        """The number under which the picture must come."""
        number, self._next = self._next, self._next + 1
        self._asked[number] = _Asked(answer, now_s + LIMIT_S)
        return number

    def arrived(self, picture: Snapshot) -> None:
        asked = self._asked.pop(picture.request, None)
        if asked is None:
            return
        if picture.error:
            asked.answer.fail(SourceError(f"camera {picture.camera}: {picture.error}"))
        else:
            asked.answer.reply({"jpeg_base64": base64.b64encode(picture.jpeg).decode()})

    def give_up(self, number: int, error: SourceError) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.answer.fail(error)

    def expire(self, now_s: float) -> None:
        for number, asked in list(self._asked.items()):
            if now_s > asked.until_s:
                self.give_up(number, SourceError("the camera gave no picture in time"))
