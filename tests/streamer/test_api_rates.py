"""How often one may ask, by the clock that is given."""

from __future__ import annotations

import pytest

from streamer.api.http import problems
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.rates import MAX_KEYS, Rate


def taken(rate: Rate, key: str, now_s: float) -> int:
    """How many requests are served at that moment."""
    for count in range(10_000):
        try:
            rate.take(key, now_s)
        except HttpRefusal:
            return count
    raise AssertionError("without end")


def test_a_burst_is_served_and_then_so_many_a_second() -> None:
    rate = Rate("token", 2.0, 10)
    assert taken(rate, "a", 100.0) == 10
    assert taken(rate, "a", 100.4) == 0
    assert taken(rate, "a", 103.0) == 6
    assert taken(rate, "a", 1000.0) == 10


def test_one_that_asks_too_often_costs_another_nothing() -> None:
    rate = Rate("token", 1.0, 5)
    taken(rate, "a", 0.0)
    assert taken(rate, "b", 0.0) == 5


def test_who_is_refused_is_told_when_to_come_again_and_is_served_then() -> None:
    rate = Rate("address", 0.25, 1)
    rate.take("a", 0.0)
    with pytest.raises(HttpRefusal, match=r"one address: ask again in 4 s") as refusal:
        rate.take("a", 0.0)
    body = problems.document(refusal.value)
    assert (b"retry-after", b"4") in problems.headers(refusal.value, body)
    assert problems.status_of(refusal.value) == 429
    rate.take("a", 4.0)


def test_no_more_keys_are_kept_than_may_be() -> None:
    rate = Rate("address", 1.0, 1)
    for number in range(MAX_KEYS + 100):
        rate.take(str(number), 0.0)
    assert len(rate._left) == MAX_KEYS
