"""A loop that outlives what one message does to it."""

from __future__ import annotations

import logging

import pytest

from streamer.daemon.guard import AGAIN_S, Guard
from streamer.errors import ConfigError


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def fail(guard: Guard, error: Exception, what: str = "message") -> None:
    with guard(what):
        raise error


def test_an_error_is_logged_with_its_traceback_and_the_next_line_is_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = Guard()
    fail(guard, IndexError("x"))
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[0] is IndexError
    assert guard.counts == {"message": 1}


def test_the_same_again_is_counted_and_told_after_a_minute_with_how_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    guard = Guard(clock)
    for number in range(10):
        fail(guard, IndexError(f"frame {number}"))
    assert len(caplog.records) == 1
    clock.now_s = AGAIN_S + 1
    fail(guard, IndexError("frame 11"))
    assert "9 more" in caplog.records[-1].getMessage()
    assert guard.counts == {"message": 11}
    assert guard.warning() == "11 unexpected errors since the start (message 11): see the log"


def test_another_error_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(Clock())
    for error in (IndexError("x"), KeyError("x")):
        fail(guard, error)
    fail(guard, KeyError("x"), "request")
    assert len(caplog.records) == 3


def test_what_has_a_text_for_people_needs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        fail(Guard(), ConfigError("gate.yaml is not there"))
    (record,) = caplog.records
    assert not record.exc_info
    assert record.getMessage() == "message: gate.yaml is not there"


def test_a_stop_is_no_error() -> None:
    guard = Guard()
    with pytest.raises(KeyboardInterrupt), guard("message"):
        raise KeyboardInterrupt
    assert guard.warning() == ""
