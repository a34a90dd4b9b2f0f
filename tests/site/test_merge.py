"""A site's counts: each crossing once, from the box that owned its moment, and every second accounted for."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import Count
from streamer.site.merge import MOVED_BOX, NOT_RECORDED, Bucket, Made, Merged, merged
from streamer.site.terms import Term
from tests.fuzzing import examples

S = 1_000_000_000
T0 = 1_800_000_000 * S  # a full minute
MINUTE = 60 * S


def count(at_s: float, name: str = "door") -> Count:
    start_s = int(T0 // S + at_s) // 60 * 60
    return Count("gate", start_s, "line", name, "in", 1, "person", 1)


def crossing(term: int, at_s: float, name: str = "door") -> Made:
    return Made(term, T0 + int(at_s * S), count(at_s, name))


def bucket(term: int, begin_s: float, end_s: float, unowned: bool = False, **seconds: float) -> Bucket:
    spent = seconds or {"seen_s": end_s - begin_s}
    blind = {"offline": seconds["offline_s"]} if "offline_s" in seconds else {}
    begin_ns, end_ns = T0 + int(begin_s * S), T0 + int(end_s * S)
    return Bucket(term, Coverage("gate", begin_ns, end_ns, spent, blind, 0.0, 10, 20), unowned)


def terms(*begins: tuple[str, float]) -> list[Term]:
    return [Term(n, node, "", T0 + int(at_s * S)) for n, (node, at_s) in enumerate(begins, 1)]


def site(owned: list[Term], made: list[Made], buckets: list[Bucket]) -> Merged:
    return merged("gate", owned, made, buckets, MINUTE)


def seconds(found: Merged) -> dict[str, float]:
    """By kind, and by reason what was not seen."""
    sums: dict[str, float] = {}
    for each in found.buckets:
        for kind, spent in [*each.seconds.items(), *each.blind.items()]:
            sums[kind] = sums.get(kind, 0.0) + spent
    return {kind: spent for kind, spent in sums.items() if spent}


def test_a_box_that_is_cut_off_and_counts_on_is_refused_from_when_another_took_over() -> None:
    owned = terms(("a", 0), ("b", 90))
    made = [crossing(1, 30), crossing(1, 89.9), crossing(1, 90), crossing(1, 150), crossing(2, 150)]
    buckets = [bucket(1, 0, 60), bucket(1, 60, 120), bucket(1, 120, 180, unowned=True), bucket(2, 95, 120)]
    found = site(owned, made, [*buckets, bucket(2, 120, 180)])
    assert (len(found.counts), found.refused, found.unowned_s) == (3, 2, 0.0)
    assert seconds(found) == pytest.approx({"seen_s": 175, "unknown_s": 5, MOVED_BOX: 5})


def test_until_the_next_box_sees_the_camera_its_moments_are_those_of_the_box_before() -> None:
    first, second = terms(("a", 0), ("b", 30))
    made = [crossing(1, 29), crossing(1, 31), crossing(1, 33), crossing(2, 34), crossing(2, 31.5)]
    opening = second._replace(seen_ns=0)
    found = site([first, opening], made, [bucket(1, 0, 40)])
    assert (len(found.counts), found.refused) == (3, 2)
    seen = second._replace(seen_ns=T0 + 32 * S)
    buckets = [bucket(1, 0, 35), bucket(2, 30.5, 60, seen_s=28, offline_s=1.5)]
    found = site([first, seen], made, buckets)
    assert (len(found.counts), found.refused) == (3, 2)
    assert [((b.start_ns - T0) / S, (b.end_ns - T0) / S) for b in found.buckets] == [(0, 32), (32, 60)]


def test_a_box_that_never_saw_the_camera_owned_no_moment_of_it() -> None:
    first, second, third = terms(("a", 0), ("b", 30), ("c", 60))
    owned = [first, second._replace(seen_ns=0), third._replace(seen_ns=T0 + 62 * S)]
    found = site(owned, [crossing(1, 45), crossing(1, 61), crossing(3, 63), crossing(1, 63)], [])
    assert (len(found.counts), found.refused) == (3, 1)
    alone = site([second._replace(seen_ns=0)], [crossing(2, 31)], [])
    assert (len(alone.counts), alone.refused) == (1, 0), "there was no box before it"


def test_the_minute_of_a_move_is_put_together_from_both_boxes() -> None:
    found = site(terms(("a", 0), ("b", 30)), [crossing(1, 10), crossing(2, 50)], [])
    assert {c.start_s for c in found.counts} == {T0 // S}
    assert sum(c.n for c in found.counts) == 2


def test_a_box_that_is_cut_off_where_nobody_takes_over_counts_and_is_said_to_be_unconfirmed() -> None:
    found = site(terms(("a", 0)), [crossing(1, 70)], [bucket(1, 0, 60), bucket(1, 60, 90, unowned=True)])
    assert (len(found.counts), found.refused, found.unowned_s) == (1, 0, 30.0)


def test_time_in_which_no_box_ran_is_not_recorded_and_only_that_of_a_move_is_one() -> None:
    owned = terms(("a", 0), ("b", 200))
    found = site(owned, [], [bucket(1, 0, 60), bucket(1, 100, 160), bucket(2, 230, 300)])
    told = seconds(found)
    assert (told[NOT_RECORDED], told[MOVED_BOX], told["seen_s"]) == pytest.approx((40, 70, 190))
    pieces = [b for b in found.buckets if MOVED_BOX in b.blind]
    assert [(b.start_ns - T0) // S for b in pieces] == [160, 180]  # of one minute each


@pytest.mark.parametrize("since_s", [0, 100, 160, 170, 179])
def test_time_that_nobody_saw_is_told_wherever_the_question_begins(since_s: float) -> None:
    buckets = [bucket(1, 0, 100), bucket(1, 100, 160, unowned=True), bucket(2, 200, 260)]
    found = merged("gate", terms(("a", 0), ("b", 200)), [], buckets, MINUTE, T0 + int(since_s * S))
    assert [(b.start_ns - T0) // S for b in found.buckets if MOVED_BOX in b.blind] == [160, 180]
    assert seconds(found)["seen_s"] == 60 + (60 if since_s < 160 else 0) + (100 if since_s < 100 else 0)
    assert found.unowned_s == (60 if since_s < 160 else 0)


def test_a_bucket_that_reaches_over_a_move_gives_its_part() -> None:
    owned = terms(("a", 0), ("b", 45))
    found = site(owned, [], [bucket(1, 0, 60, seen_s=40, offline_s=20), bucket(2, 45, 60)])
    first, second = found.buckets
    assert first.seconds == pytest.approx({"seen_s": 30, "offline_s": 15})
    assert first.blind == pytest.approx({"offline": 15})
    assert (first.looked_at, first.wanted) == (8, 15)
    assert (second.start_ns, second.seconds["seen_s"]) == (T0 + 45 * S, pytest.approx(15))


def test_a_box_that_gets_its_camera_back_owns_its_moments_whatever_term_it_thinks_it_is_in() -> None:
    owned = terms(("a", 0), ("b", 60), ("a", 120))
    made = [crossing(1, 30), crossing(1, 90), crossing(1, 130), crossing(3, 140), crossing(2, 130)]
    found = site(owned, made, [bucket(1, 0, 180)])
    assert (len(found.counts), found.refused) == (3, 2)
    assert seconds(found)["seen_s"] == pytest.approx(120)


def test_the_same_box_in_its_next_term_loses_nothing_that_it_counted_on_either_side() -> None:
    owned = terms(("a", 0), ("a", 60))
    made = [crossing(1, 60.1), crossing(2, 59.9)]  # it was told a moment late; decided a moment late
    found = site(owned, made, [bucket(1, 0, 60.2), bucket(2, 60.2, 120)])
    assert (len(found.counts), found.refused) == (2, 0)
    assert seconds(found) == pytest.approx({"seen_s": 120})


def test_a_term_that_was_taken_and_never_run_owns_its_time() -> None:
    found = site(terms(("a", 0), ("b", 60), ("c", 60)), [crossing(1, 70)], [bucket(1, 0, 120)])
    assert (found.counts, found.refused) == ([], 1)
    assert seconds(found) == pytest.approx({"seen_s": 60})


def test_what_nobody_knows_the_term_of_is_refused_and_a_camera_without_terms_has_nothing() -> None:
    assert site(terms(("a", 0)), [crossing(9, 10)], [bucket(9, 0, 60)]) == Merged(refused=1)
    assert site([], [crossing(1, 10)], [bucket(1, 0, 60)]) == Merged(refused=1)


def test_seconds_that_a_bucket_lacks_are_unknown() -> None:
    found = site(terms(("a", 0)), [], [bucket(1, 0, 60, seen_s=20), bucket(1, 30, 90)])  # the clock was set
    assert seconds(found) == pytest.approx({"seen_s": 50, "unknown_s": 40, "unknown": 40})


# ---- any site


class Life(NamedTuple):
    """What really happened: who took the camera when, and from when to when each box ran it."""

    owned: list[Term]
    runs: list[tuple[str, int, int]]  # node, begin, end in seconds
    crossings: list[int]  # tenths of a second


@st.composite
def lives(draw: st.DrawFn) -> Life:
    begins = sorted(draw(st.lists(st.integers(0, 600), min_size=1, max_size=6)))
    nodes = [draw(st.sampled_from("abc")) for _ in begins]
    owned = [
        Term(n, node, "", T0 + at * S) for n, (node, at) in enumerate(zip(nodes, begins, strict=True), 1)
    ]
    runs = []
    for node in "abc":  # a box runs a camera as long as it likes: it may be cut off, or late
        at = draw(st.integers(0, 300))
        while at < 700 and draw(st.booleans()):
            end = at + draw(st.integers(1, 300))
            runs.append((node, at, end))
            at = end + draw(st.integers(0, 100))
    crossings = sorted(draw(st.sets(st.integers(0, 7000), max_size=30)))
    return Life(owned, runs, crossings)


def told_by(life: Life, draw: st.DataObject) -> tuple[list[Made], list[Bucket]]:
    """Every box tells every crossing that it saw, in some term that it has had, and its time in buckets."""
    made, buckets = [], []
    for node, begin_s, end_s in life.runs:
        its = [term.term for term in life.owned if term.node == node]
        if not its:
            continue
        term = draw.draw(st.sampled_from(its))
        for at in life.crossings:
            if begin_s * 10 <= at < end_s * 10:
                made.append(crossing(term, at / 10, name=f"line-{at}"))
        cuts = [begin_s, *range(begin_s - begin_s % 60 + 60, end_s, 60), end_s]
        for a, b in itertools.pairwise(cuts):
            seen = draw.draw(st.integers(0, b - a))
            buckets.append(bucket(term, a, b, seen_s=seen, offline_s=b - a - seen))
    return draw.draw(st.permutations(made)), draw.draw(st.permutations(buckets))  # delivered at any time


def owner(life: Life, at_ns: int) -> str:
    begun = [term for term in life.owned if term.from_ns <= at_ns] or life.owned[:1]
    return max(begun).node


@examples(150)
@given(lives(), st.data())
def test_whatever_happens_each_crossing_that_its_owner_saw_is_counted_once_and_no_other(
    life: Life, data: st.DataObject
) -> None:
    made, buckets = told_by(life, data)
    found = site(life.owned, made, buckets)
    names = [counted.name for counted in found.counts]
    runs = {(node, a, b) for node, a, b in life.runs}
    wanted = [
        f"line-{at}"
        for at in life.crossings
        if any(n == owner(life, T0 + at * S // 10) and a * 10 <= at < b * 10 for n, a, b in runs)
    ]
    assert sorted(names) == sorted(wanted)
    assert found.refused == len(made) - len(names)


@examples(150)
@given(lives(), st.data())
def test_whatever_happens_coverage_is_of_every_moment_once_and_adds_up_to_the_whole(
    life: Life, data: st.DataObject
) -> None:
    _, buckets = told_by(life, data)
    found = site(life.owned, [], buckets)
    for before, after in itertools.pairwise(found.buckets):
        assert before.end_ns == after.start_ns
    for each in found.buckets:
        length_s = (each.end_ns - each.start_ns) / S
        assert sum(each.seconds.values()) == pytest.approx(length_s, abs=1e-6)
        assert sum(each.blind.values()) == pytest.approx(length_s - each.seconds.get("seen_s", 0), abs=1e-6)
        if not {MOVED_BOX, NOT_RECORDED} & each.blind.keys():
            owners = {owner(life, at) for at in (each.start_ns, each.end_ns - 1)}
            assert len(owners) == 1, "a bucket of one box lies in the time of one"
    if found.buckets:
        whole_s = (found.buckets[-1].end_ns - found.buckets[0].start_ns) / S
        assert sum(sum(b.seconds.values()) for b in found.buckets) == pytest.approx(whole_s, abs=1e-3)
