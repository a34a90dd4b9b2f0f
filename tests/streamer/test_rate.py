"""Rates of `status`: what grew between two readings, over the time between them."""

from __future__ import annotations

from streamer.workers.rate import Rate


def test_what_was_counted_before_the_first_reading_is_in_no_rate() -> None:
    rate = Rate()
    rate.read(372, 100.0)  # a camera that was changed goes on in the counters of before
    assert rate.per_s == 0.0
    rate.read(382, 101.0)
    assert rate.per_s == 10.0
    rate.read(382, 103.0)
    assert rate.per_s == 0.0


def test_two_readings_at_one_moment_leave_the_rate_as_it_was() -> None:
    rate = Rate()
    for count, now_s in ((0, 1.0), (10, 2.0), (11, 2.0), (20, 3.0)):
        rate.read(count, now_s)
    assert rate.per_s == 10.0
