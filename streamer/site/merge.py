"""A camera's counts and coverage from all boxes of its site: each moment from the one box that owned it.

A moment belongs to the highest term that had begun by then (a box that has its camera still to open has not
begun), and counts what that term's box made of it, in whatever term that box itself thought to be. A box
numbers each crossing once, so nothing comes twice; and what a box that was cut off made after another had
taken over is refused, whenever it is delivered.
Pure: no Redis, no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import NS_PER_S, Count
from streamer.site.terms import MAX_NS, Term

MOVED_BOX = "moved_box"  # nobody saw it while the camera went from one box to another
NOT_RECORDED = "not_recorded"  # no daemon ran, or the camera was not in it
MAX_MISSING_S = 0.01  # of a bucket's seconds, by rounding


class Made(NamedTuple):
    """Something that was counted at `at_ns` (Unix ns) by a box that ran the camera in `term`."""

    term: int
    at_ns: int
    counted: Count


class Bucket(NamedTuple):
    """A closed bucket of such a box. `unowned`: nobody confirmed any more that it owned the camera."""

    term: int
    seen: Coverage
    unowned: bool = False


@dataclass
class Merged:
    """`buckets` follow each other without gap or overlap. `refused`: what boxes counted at moments that were
    another's. `unowned_s` of the time the owner was one that nobody confirmed, and nobody else took over."""

    counts: list[Count] = field(default_factory=list)
    buckets: list[Coverage] = field(default_factory=list)
    refused: int = 0
    unowned_s: float = 0.0


class Stretch(NamedTuple):
    """From `from_ns` to before `until_ns` the camera is the box `node`'s."""

    from_ns: int
    until_ns: int
    node: str


class Owners:
    """Who owns a camera when. `terms` in any order; what lies before the first is the first one's."""

    def __init__(self, terms: Iterable[Term]) -> None:
        ordered = sorted(terms)
        self._nodes = {term.term: term.node for term in ordered}
        self.stretches: list[Stretch] = []
        for term in ordered:
            self._take_over(term)
        self._begins = [stretch.from_ns for stretch in self.stretches]

    def _take_over(self, term: Term) -> None:
        begin_ns = 0
        if self.stretches:
            last = self.stretches[-1]
            if last.node == term.node or not term.is_open:
                return
            begin_ns = max(term.begin_ns, last.from_ns)
            self.stretches[-1] = last._replace(until_ns=begin_ns)
        self.stretches.append(Stretch(begin_ns, MAX_NS, term.node))

    def owned(self, term: int, at_ns: int) -> bool:
        """Whether the moment was the box's that had `term`, then or at another time."""
        at = bisect_right(self._begins, at_ns) - 1
        return at >= 0 and self.stretches[at].node == self._nodes.get(term)

    def parts(self, term: int, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """The parts of a time that were that box's."""
        for stretch in self.stretches[max(0, bisect_right(self._begins, start_ns) - 1) :]:
            if stretch.from_ns >= end_ns:
                return
            if stretch.node == self._nodes.get(term):
                begin_ns, until_ns = max(start_ns, stretch.from_ns), min(end_ns, stretch.until_ns)
                if begin_ns < until_ns:
                    yield begin_ns, until_ns

    def changed(self, from_ns: int, until_ns: int) -> bool:
        """Whether another box took over within that time, both ends included."""
        return any(from_ns <= begin_ns <= until_ns for begin_ns in self._begins[1:])


def merged(
    camera: str,
    terms: Iterable[Term],
    made: Iterable[Made],
    buckets: Iterable[Bucket],
    piece_ns: int,
    since_ns: int = 0,
) -> Merged:
    """What all boxes of the site know of the camera. Time that is in no bucket is blind, and told in pieces
    that end at multiples of `piece_ns`, so that each is of one row. `since_ns`: what ends by then is left
    out, and yet tells that the time after it is in no bucket."""
    owners, found, told_ns = Owners(terms), Merged(), 0
    for each in made:
        if owners.owned(each.term, each.at_ns):
            found.counts.append(each.counted)
        else:
            found.refused += 1
    for seen, unowned in _in_turn(owners, buckets):
        blind = _blind(camera, owners, told_ns, seen.start_ns, piece_ns) if told_ns else ()
        found.buckets += [each for each in (*blind, seen) if each.end_ns > since_ns]
        if unowned and seen.end_ns > since_ns:
            found.unowned_s += (seen.end_ns - seen.start_ns) / NS_PER_S
        told_ns = seen.end_ns
    return found


def _in_turn(owners: Owners, buckets: Iterable[Bucket]) -> Iterator[tuple[Coverage, bool]]:
    """The owned parts of buckets in the order of time, each without what the one before it had."""
    parts = [
        (begin_ns, end_ns, bucket)
        for bucket in buckets
        for begin_ns, end_ns in owners.parts(bucket.term, bucket.seen.start_ns, bucket.seen.end_ns)
    ]
    told_ns = 0
    for begin_ns, end_ns, bucket in sorted(parts, key=lambda part: part[:2]):
        if end_ns > max(begin_ns, told_ns):
            yield part_of(bucket.seen, max(begin_ns, told_ns), end_ns), bucket.unowned
            told_ns = end_ns


def part_of(seen: Coverage, begin_ns: int, end_ns: int) -> Coverage:
    """The part of a bucket from `begin_ns` to `end_ns`. What it was spent with is known of the whole alone,
    and taken to be spread evenly; the seconds of the part add up to its length."""
    share = (end_ns - begin_ns) / (seen.end_ns - seen.start_ns)
    seconds, blind = _whole(seen)
    return Coverage(
        seen.camera,
        begin_ns,
        end_ns,
        {kind: s * share for kind, s in seconds.items()},
        {reason: s * share for reason, s in blind.items()},
        seen.moved_s * share,
        round(seen.looked_at * share),
        round(seen.wanted * share),
    )


def _whole(seen: Coverage) -> tuple[dict[str, float], dict[str, float]]:
    """Its seconds and reasons, so that they add up to its length: what is missing is unknown."""
    length_s, told_s = (seen.end_ns - seen.start_ns) / NS_PER_S, sum(seen.seconds.values())
    missing_s = length_s - told_s
    if missing_s > MAX_MISSING_S or not told_s:
        seconds = {**seen.seconds, "unknown_s": seen.seconds.get("unknown_s", 0.0) + missing_s}
        return seconds, {**seen.blind, "unknown": seen.blind.get("unknown", 0.0) + missing_s}
    scale = length_s / told_s
    return (
        {kind: s * scale for kind, s in seen.seconds.items()},
        {reason: s * scale for reason, s in seen.blind.items()},
    )


def _blind(camera: str, owners: Owners, from_ns: int, until_ns: int, piece_ns: int) -> Sequence[Coverage]:
    """The time that is in no bucket."""
    reason = MOVED_BOX if owners.changed(from_ns, until_ns) else NOT_RECORDED
    pieces = []
    while from_ns < until_ns:
        end_ns = min(until_ns, from_ns - from_ns % piece_ns + piece_ns)
        seconds = (end_ns - from_ns) / NS_PER_S
        pieces.append(Coverage(camera, from_ns, end_ns, {"unknown_s": seconds}, {reason: seconds}))
        from_ns = end_ns
    return pieces
