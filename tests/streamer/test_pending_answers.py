"""Each request is answered once: by its worker, or by its time being over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from streamer.daemon.pending_answers import PendingAnswers
from streamer.errors import ControlError, StreamerError


class Heard:
    def __init__(self) -> None:
        self.answers: list[Any] = []

    def reply(self, result: Mapping[str, Any]) -> None:
        self.answers.append(dict(result))

    def fail(self, error: StreamerError) -> None:
        self.answers.append(str(error))


def test_a_request_is_answered_once_by_whichever_answer_comes_first() -> None:
    pending, first, second = PendingAnswers(5.0, ControlError), Heard(), Heard()
    one, two = pending.expect(first, "gate"), pending.expect(second, "yard")
    assert pending.camera_of(two) == "yard"
    pending.reply(two, {"seq": 7})
    pending.fail(two, ControlError("too late"))
    pending.fail(one, ControlError("no"))
    pending.reply(one, {"seq": 8})
    pending.expire(time.monotonic() + 60)
    assert (first.answers, second.answers) == (["no"], [{"seq": 7}])


def test_what_nobody_answers_in_time_is_answered_with_the_cameras_name() -> None:
    pending, heard = PendingAnswers(5.0, lambda camera: ControlError(f"{camera}: late")), Heard()
    pending.expect(heard, "gate")
    pending.expire(time.monotonic())
    assert heard.answers == []
    pending.expire(time.monotonic() + 60)
    pending.expire(time.monotonic() + 60)
    assert heard.answers == ["gate: late"]
