"""What answers of an audit say of a count: unbiased whatever was drawn, and how sure that is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from streamer.clips.audit.answers import Answers
from streamer.clips.audit.estimate import BucketAnswer, Estimate, estimates, weights
from streamer.clips.audit.moments import Bucket, CountedCrossing, Way, doubt_of, size_of
from streamer.clips.audit.sampling import bucket_seconds, draw_order, least_sure, questions
from streamer.clips.audit.verdict import groups_by_way, verdict

IN, OUT = Way("door", "in"), Way("door", "out")
BUCKETS = 120  # of each way
BUCKET_S = 10.0


@dataclass
class Counted:
    """A day's counts with known errors: busy and quiet stretches, misses, false counts that are less sure."""

    buckets: list[Bucket] = field(default_factory=list)
    crossings: list[CountedCrossing] = field(default_factory=list)
    true: dict[str, int] = field(default_factory=dict)
    false: set[str] = field(default_factory=set)

    def counted(self) -> dict[Way, int]:
        return {way: sum(c.way == way for c in self.crossings) for way in (IN, OUT)}

    def total(self) -> int:
        return sum(self.true.values())

    def audit(self, answers: int, seed: int) -> list[Estimate]:
        """A person who is never wrong."""
        told, asked = Answers({}), questions(self.buckets, self.crossings, seed)[:answers]
        for question in asked:
            right = (
                self.true[question.key] if isinstance(question, Bucket) else question.key not in self.false
            )
            told.put(question.key, right)
        return verdict(asked, told, self.counted(), groups_by_way(self.buckets))


def drawn_counts(seed: int, missed: float, false: float) -> Counted:
    random, found = np.random.default_rng(seed), Counted()
    for way, number in itertools.product((IN, OUT), range(BUCKETS)):
        flow = 3.0 if number // 15 % 2 else 0.4
        true = int(random.poisson(flow))
        missing, extra = int(random.binomial(true, missed)), int(random.poisson(flow * false))
        keys = [f"{way}/{number}/{i}" for i in range(true - missing + extra)]
        wrong = set(keys[true - missing :])
        found.false |= wrong
        for key in keys:
            doubt = random.beta(2, 2) if key in wrong else random.beta(1, 4)
            found.crossings.append(CountedCrossing(key, way, number * BUCKET_S, float(doubt)))
        near = len(keys) + int(random.poisson(0.5))
        start_s = number * BUCKET_S
        bucket = Bucket(way, start_s, start_s + BUCKET_S, tuple(keys), size_of(len(keys), near))
        found.buckets.append(bucket)
        found.true[bucket.key] = true
    return found


def test_the_mean_of_many_audits_of_one_day_is_the_truth() -> None:
    day = drawn_counts(1, missed=0.1, false=0.05)
    found = np.array([day.audit(30, seed)[-1].true for seed in range(300)])
    assert sum(day.counted().values()) != day.total()
    assert abs(found.mean() - day.total()) < 3 * found.std() / np.sqrt(len(found))


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        day = drawn_counts(seed, missed=0.1, false=0.05)
        whole = day.audit(40, seed)[-1]
        assert whole.low is not None
        assert whole.high is not None
        held += whole.low <= day.total() <= whole.high
    assert 0.85 <= held / 300 <= 0.95


def ordered_draws(sizes: Sequence[float], count: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every order of successive draws in proportion to size, with its probability."""
    for order in itertools.permutations(range(len(sizes)), count):
        left, probability = sum(sizes), 1.0
        for row in order:
            probability *= sizes[row] / left
            left -= sizes[row]
        yield order, probability


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_each_bucket_weighs_one_on_the_mean_over_all_draws(count: int) -> None:
    sizes = (0.25, 1.0, 4.0, 2.5)
    mean = np.zeros(len(sizes))
    for order, probability in ordered_draws(sizes, count):
        answers = [BucketAnswer(IN, 0, 0, sizes[row], "g", sum(sizes), len(sizes)) for row in order]
        mean[list(order)] += probability * weights(answers)
    assert mean == pytest.approx(np.ones(len(sizes)))


def test_buckets_are_drawn_in_proportion_to_their_size() -> None:
    buckets = [Bucket(IN, i * 10.0, i * 10.0 + 10, (), size) for i, size in enumerate((1.0, 3.0, 6.0))]
    random = np.random.default_rng(0)
    first = [draw_order(buckets, random)[0].size for _ in range(3000)]
    shares = [first.count(size) / len(first) for size in (1.0, 3.0, 6.0)]
    assert shares == pytest.approx([0.1, 0.3, 0.6], abs=0.03)


def test_with_every_bucket_answered_the_count_is_known_and_the_interval_has_no_width() -> None:
    day = drawn_counts(3, missed=0.1, false=0.1)
    whole = day.audit(10_000, 0)[-1]
    assert (whole.true, whole.low, whole.high) == (day.total(), day.total(), day.total())


def test_where_no_error_is_found_the_interval_is_not_a_point() -> None:
    day = drawn_counts(2, missed=0.0, false=0.0)
    whole = day.audit(30, 0)[-1]
    assert whole.true == day.total()
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low < day.total() < whole.high


def test_more_answers_make_the_interval_narrower() -> None:
    day = drawn_counts(4, missed=0.1, false=0.05)

    def width(answers: int) -> float:
        return float(
            np.mean([(e.high or 0) - (e.low or 0) for s in range(20) if (e := day.audit(answers, s)[-1])])
        )

    assert width(20) > width(60) > width(150)


def test_a_crossing_that_is_none_is_taken_from_the_count_and_from_its_bucket() -> None:
    buckets = [Bucket(IN, 0.0, 10.0, ("a", "b"), 2.0), Bucket(IN, 10.0, 20.0, ("c",), 1.0)]
    crossings = [CountedCrossing(key, IN, 1.0, 0.5) for key in "abc"]
    told = Answers({})
    told.put("a", False)
    told.put(buckets[0].key, 1)
    told.put(buckets[1].key, 1)
    (found,) = verdict([*crossings, *buckets], told, {IN: 3}, groups_by_way(buckets))
    assert (found.true, found.low, found.high, found.missed, found.false) == (2, 2, 2, 0, 1)
    assert found.answers == 3


def test_what_cannot_be_told_is_taken_to_be_like_the_rest() -> None:
    buckets = [Bucket(IN, i * 10.0, i * 10.0 + 10, (), 1.0) for i in range(4)]
    told = Answers({})
    told.put(buckets[0].key, None)
    told.put(buckets[1].key, 2)
    (found,) = verdict(buckets, told, {IN: 0}, groups_by_way(buckets))
    assert (found.true, found.answers) == (8, 1)


def test_a_way_without_an_answered_bucket_has_no_interval() -> None:
    found = estimates({IN: 5, OUT: 4}, {}, [BucketAnswer(IN, 1, 1, 1.0, "g", 4.0, 4)], {IN: 1})
    assert [(e.name, e.low is None) for e in found] == [("door in", False), ("door out", True), ("all", True)]


def test_the_least_sure_crossings_are_asked_first() -> None:
    crossings = [CountedCrossing(str(doubt), IN, 0.0, doubt) for doubt in (0.2, 0.9, 0.1, 0.5)]
    found = least_sure(crossings, np.random.default_rng(0))
    assert [crossing.doubt for crossing in found] == [0.9, 0.5, 0.2, 0.1]


def test_doubt_is_what_confidence_leaves_or_how_narrow_a_crossing_was() -> None:
    assert doubt_of({"confidence": 0.9, "margin": 1.0}) == pytest.approx(0.1)
    assert doubt_of({"margin": 1.1}) > doubt_of({"margin": 3.0})
    assert doubt_of({"margin": 3.0, "evidence": 1.5}) > doubt_of({"margin": 3.0, "evidence": 9.0})


def test_the_same_seed_asks_the_same_questions() -> None:
    day = drawn_counts(5, missed=0.1, false=0.1)
    one, same, other = (
        [q.key for q in questions(day.buckets, day.crossings, seed)[:30]] for seed in (7, 7, 8)
    )
    assert one == same != other
    assert sum(key.startswith("bucket/") for key in one) == 15


def test_buckets_are_as_long_as_a_few_crossings_take() -> None:
    assert bucket_seconds(720, 2, 3600.0) == 30
    assert bucket_seconds(1200, 1, 3600.0) == 12
    assert bucket_seconds(0, 2, 3600.0) == 30
    assert bucket_seconds(100_000, 2, 3600.0) == 5
