"""The simulated audit of the bench is that of the command: with everything answered its part is known."""

from __future__ import annotations

from pipelines.count.confidence import Judgement
from tests.bench.counting.audited_answers import audited
from tests.bench.counting.confidence_buckets import pieces_after
from tests.bench.counting.confidence_data import CountedCrossing, Watch

TIMES_S = [2.0 + 7 * i for i in range(16)]  # of one direction; every fourth is not counted
COUNTED = [CountedCrossing("V", "greater", t, True, []) for i, t in enumerate(TIMES_S) if i % 4]
FALSE = [CountedCrossing("H", "lesser", 20.5, False, [])]
TRUE = [("V", "greater", t) for t in TIMES_S]
WATCH = Watch("drawn", "drawn", "drawn-1", False, 120.0, TRUE, [*COUNTED, *FALSE])
TOLD = [Judgement(0.9, 1.0)] * len(WATCH.counted)


def test_with_every_moment_answered_the_audited_half_is_known_and_the_other_is_not_looked_at() -> None:
    found = audited(WATCH, TOLD, 60.0, 1000, seed=0)
    assert found is not None
    assert (found.counted, found.low, found.high) == (7, 9, 9)  # 6 of 9, and a false one


def test_with_some_answered_it_is_known_between_two_ends() -> None:
    found = audited(WATCH, TOLD, 60.0, 8, seed=0)  # a bucket of each direction
    assert found is not None
    assert found.low < 9 <= found.high


def test_what_is_judged_lies_after_the_audited_half() -> None:
    whole = next(bucket for bucket in pieces_after(WATCH, TOLD, 0.5) if bucket.what == "both lines")
    assert (whole.tally.crossings, whole.true) == (6, 7)
