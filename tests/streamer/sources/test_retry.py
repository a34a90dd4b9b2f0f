"""Waits between attempts grow, are capped, differ between cameras, and spare a camera that says no."""

from __future__ import annotations

import itertools
import random

from streamer.errors import AuthFailed, SourceError, SourceStalled
from streamer.sources.retry import AUTH_CAP_S, AUTH_FIRST_S, CAP_S, FIRST_S, STABLE_S, Backoff

GONE = SourceError("gone")


def test_waits_grow_from_half_a_second_to_the_cap() -> None:
    backoff = Backoff(random.Random(1))
    waits = [backoff.after(GONE) for _ in range(40)]
    assert FIRST_S <= waits[0] <= 2 * FIRST_S
    assert all(CAP_S / 2 <= wait <= CAP_S for wait in waits[7:])
    assert all(later > earlier / 2 for earlier, later in itertools.pairwise(waits))


def test_the_same_seed_waits_the_same() -> None:
    one, other = Backoff(random.Random(7)), Backoff(random.Random(7))
    assert [one.after(GONE) for _ in range(5)] == [other.after(GONE) for _ in range(5)]


def test_sixty_four_cameras_do_not_come_back_at_once() -> None:
    waits = []
    for seed in range(64):
        backoff = Backoff(random.Random(seed))
        waits.append([backoff.after(SourceStalled("switch rebooted")) for _ in range(6)][-1])
    busiest = max(sum(start <= wait < start + 1 for wait in waits) for start in range(30))
    assert busiest <= 16  # of 64 in any one second


def test_refused_credentials_wait_a_minute_at_least() -> None:
    backoff = Backoff(random.Random(1))
    waits = [backoff.after(AuthFailed("401")) for _ in range(10)]
    assert min(waits) >= AUTH_FIRST_S
    assert AUTH_CAP_S / 2 <= waits[-1] <= AUTH_CAP_S


def test_an_outage_does_not_lengthen_the_wait_after_a_refusal_and_the_other_way_round() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(20):
        backoff.after(GONE)
    assert backoff.after(AuthFailed("401")) <= 2 * AUTH_FIRST_S
    assert backoff.after(GONE) >= CAP_S / 2


def test_a_source_that_was_live_long_enough_starts_again() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(20):
        backoff.after(GONE)
    assert backoff.after(GONE, live_s=STABLE_S - 1) >= CAP_S / 2
    assert backoff.after(GONE, live_s=STABLE_S) <= 2 * FIRST_S
