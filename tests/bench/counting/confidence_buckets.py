"""Counts of stretches of time, with what is told of them and what is true: buckets for the interval.

A bucket is a whole watch, a half or a quarter of it, of one line and direction; or a longer sum: a whole
watch over both lines, or the watches of one scene by several detectors one after another. Buckets in which
nothing was counted are left out: nothing is printed for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.count.confidence import Judgement, Tally
from tests.bench.counting.confidence_data import Watch

PIECES = (1, 2, 4)
IN_A_ROW = 4  # watches of a scene that a long sum holds
LINES = tuple((line, direction) for line in ("V", "H") for direction in ("greater", "lesser"))

Told = list[Judgement]  # of each counted crossing of a watch


@dataclass(frozen=True, slots=True)
class Bucket:
    watch: Watch
    what: str
    tally: Tally
    true: int


def buckets_of(watches: Sequence[Watch], told: Sequence[Told]) -> list[Bucket]:
    found = [b for watch, each in zip(watches, told, strict=True) for b in _of_watch(watch, each)]
    return [bucket for bucket in (*found, *_long_sums(found)) if bucket.tally.crossings]


def _of_watch(watch: Watch, told: Told) -> Iterator[Bucket]:
    for pieces in PIECES:
        for piece in range(pieces):
            for line in LINES:
                yield _piece(watch, told, (line,), piece, pieces)
    yield _piece(watch, told, LINES, 0, 1, "both lines")


def pieces_after(watch: Watch, told: Told, begin: float) -> list[Bucket]:
    """Of what follows that share of a watch: the whole, and halves of it, of each line's direction and of
    both lines."""
    found = []
    for low, high in ((begin, 1.0), (begin, (begin + 1) / 2), ((begin + 1) / 2, 1.0)):
        span = (low, high)
        found += [_between(watch, told, (line,), span, "a line") for line in LINES]
        found.append(_between(watch, told, LINES, span, "both lines"))
    return [bucket for bucket in found if bucket.tally.crossings]


def halves_of(watches: Sequence[Watch]) -> list[tuple[Watch, Bucket, Bucket]]:
    """Each watch, its first half over both lines, and in turn each piece of its second, where anything was
    counted in both."""
    found = []
    for watch in watches:
        told = [Judgement(1.0, 1.0)] * len(watch.counted)
        first = _between(watch, told, LINES, (0.0, 0.5), "first half")
        found += [(watch, first, later) for later in pieces_after(watch, told, 0.5) if first.tally.crossings]
    return found


def _piece(
    watch: Watch, told: Told, lines: Sequence[tuple[str, str]], piece: int, pieces: int, what: str = ""
) -> Bucket:
    span = (piece / pieces, (piece + 1) / pieces)
    return _between(watch, told, lines, span, what or f"1/{pieces} of a line")


def _between(
    watch: Watch, told: Told, lines: Sequence[tuple[str, str]], span: tuple[float, float], what: str
) -> Bucket:
    """Of a span, in shares of the watch; what lies at or beyond its end is of the last one."""

    def inside(line: str, direction: str, time_s: float) -> bool:
        at = min(max(time_s / watch.length_s, 0.0), 1.0)
        return (line, direction) in lines and (span[0] <= at < span[1] or at == span[1] == 1.0)

    chosen = [p for c, p in zip(watch.counted, told, strict=True) if inside(c.line, c.direction, c.time_s)]
    true = sum(inside(*crossing) for crossing in watch.true)
    return Bucket(watch, what, Tally.of(chosen, watch.moving), true)


def _long_sums(found: Sequence[Bucket]) -> Iterator[Bucket]:
    """`IN_A_ROW` watches of a scene of one kind after another, over both lines."""
    whole = defaultdict(list)
    for bucket in found:
        if bucket.what == "both lines":
            whole[bucket.watch.scene, bucket.watch.kind].append(bucket)
    for row in whole.values():
        for begin in range(0, len(row) - IN_A_ROW + 1, IN_A_ROW):
            part = row[begin : begin + IN_A_ROW]
            tally = sum((bucket.tally for bucket in part), Tally())
            yield Bucket(part[0].watch, "long sum", tally, sum(bucket.true for bucket in part))
