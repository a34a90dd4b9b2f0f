"""The tracks of a camera at this moment, for who looks at its picture: asked of its inference worker, which
knows them from its last frame, and answered in a later turn of the loop."""

from __future__ import annotations

import time

from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.daemon.operations import Answer, Asked, Daemon, Operation
from streamer.errors import ControlError, StreamerError
from streamer.ipc.messages import TracksNow

ANSWER_LIMIT_S = 3.0


class TracksArguments(Arguments):
    camera: Name


class PendingTracks:
    """Requests by number, until the inference worker has answered; each is answered once."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[Answer, float]] = {}
        self._next = 1

    def expect(self, answer: Answer) -> int:
        number, self._next = self._next, self._next + 1
        self._pending[number] = (answer, time.monotonic() + ANSWER_LIMIT_S)
        return number

    def arrived(self, now: TracksNow) -> None:
        answer, _ = self._pending.pop(now.request, (None, 0.0))
        if answer is not None:
            names = ("track_id", "class", "x1", "y1", "x2", "y2")
            tracks = [dict(zip(names, track, strict=True)) for track in now.tracks]
            answer.reply({"captured_ns": now.captured_ns, "tracks": tracks})

    def give_up(self, number: int, error: StreamerError) -> None:
        answer, _ = self._pending.pop(number, (None, 0.0))
        if answer is not None:
            answer.fail(error)

    def expire(self, now_s: float) -> None:
        for number in [n for n, (_, until_s) in self._pending.items() if now_s > until_s]:
            self.give_up(number, ControlError("the tracks were not told in time: try again in a moment"))


def _tracks(daemon: Daemon, arguments: TracksArguments, asked: Asked) -> None:
    daemon.tracks_now(arguments.camera, asked)


OPERATION = Operation(TracksArguments, _tracks)
