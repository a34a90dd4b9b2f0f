"""How often a ring is requested, by a clock that the test holds."""

from __future__ import annotations

from streamer.ipc.messages import AllocateRing, SourceState
from streamer.workers.capture.ring_request import MAX_RETRY_S, RETRY_S, UNANSWERED_S, RingRequest


def request() -> RingRequest:
    return RingRequest(AllocateRing("capture-0", "gate", 64, 36, 1), SourceState("gate", "live", "", 0))


def test_it_is_asked_at_once_and_then_not_before_the_answer_is_late() -> None:
    ring_request = request()
    assert ring_request.due(100.0)
    assert not ring_request.due(100.0)
    assert not ring_request.due(99.9 + UNANSWERED_S)
    assert ring_request.due(100.0 + UNANSWERED_S)


def test_the_pauses_after_refusals_double_up_to_a_limit() -> None:
    ring_request, now_s = request(), 100.0
    for refusals in range(20):
        ring_request.refused("full", now_s)
        pause_s = min(MAX_RETRY_S, RETRY_S * 2**refusals)
        assert not ring_request.due(now_s + pause_s - 0.01)
        now_s += pause_s
        assert ring_request.due(now_s)


def test_a_refusal_is_news_when_it_says_something_else() -> None:
    ring_request = request()
    assert ring_request.refused("the disk is full", 1.0)
    assert not ring_request.refused("the disk is full", 2.0)
    assert ring_request.refused("/dev/shm is full", 3.0)


def test_it_is_not_asked_again_once_allocated() -> None:
    ring_request = request()
    assert ring_request.due(1.0)
    ring_request.allocated = True
    assert not ring_request.due(1e9)
