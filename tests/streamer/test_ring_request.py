"""How often a ring is asked for, by a clock that the test holds."""

from __future__ import annotations

from streamer.ipc.messages import AllocateRing, SourceState
from streamer.workers.capture.ring_request import CAP_S, FIRST_S, UNANSWERED_S, RingRequest


def request() -> RingRequest:
    return RingRequest(AllocateRing("capture-0", "gate", 64, 36, 1), SourceState("gate", "live", "", 0))


def test_it_is_asked_at_once_and_then_not_before_the_answer_is_late() -> None:
    asked = request()
    assert asked.due(100.0)
    assert not asked.due(100.0)
    assert not asked.due(99.9 + UNANSWERED_S)
    assert asked.due(100.0 + UNANSWERED_S)


def test_the_pauses_after_refusals_double_up_to_a_limit() -> None:
    asked, now_s = request(), 100.0
    for refusals in range(20):
        asked.refused("full", now_s)
        pause_s = min(CAP_S, FIRST_S * 2**refusals)
        assert not asked.due(now_s + pause_s - 0.01)
        now_s += pause_s
        assert asked.due(now_s)


def test_a_refusal_is_news_when_it_says_something_else() -> None:
    asked = request()
    assert asked.refused("the disk is full", 1.0)
    assert not asked.refused("the disk is full", 2.0)
    assert asked.refused("/dev/shm is full", 3.0)


def test_it_is_not_asked_again_once_granted() -> None:
    asked = request()
    assert asked.due(1.0)
    asked.granted = True
    assert not asked.due(1e9)
