"""Which moments are asked about, in which order: half random buckets, half the least sure crossings.

Buckets are drawn one after the other without replacement, each time in proportion to their size, the ways
(a line's directions) in turn: whenever the answers end, those given are a sample with known probabilities.
The least sure crossings are all taken up to the last one asked, so they need no weight: what is wrong with
them is known, and the buckets estimate what is wrong beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from streamer.clips.audit.moments import Bucket, CountedCrossing, Way

Question = CountedCrossing | Bucket
MIN_BUCKET_S, MAX_BUCKET_S = 5.0, 30.0  # shorter ones cut too many crossings in two; longer ones tire
WANTED_IN_BUCKET = 4  # crossings: as many as a person counts at a glance


def bucket_seconds(counted: int, ways: int, duration_s: float) -> float:
    """The length at which a way's bucket has a few crossings at the camera's mean flow."""
    flow = counted / max(ways * duration_s, 1e-9)
    wanted_s = WANTED_IN_BUCKET / flow if flow > 0 else MAX_BUCKET_S
    return float(np.clip(round(wanted_s), MIN_BUCKET_S, MAX_BUCKET_S))


def draw_order(buckets: Sequence[Bucket], random: np.random.Generator) -> list[Bucket]:
    """Every bucket: successive draws in proportion to size within each way, the ways taken in turn."""
    by_way: dict[Way, list[Bucket]] = {}
    for bucket in buckets:
        by_way.setdefault(bucket.way, []).append(bucket)
    drawn = [_successive(of_way, random) for of_way in by_way.values()]
    return [bucket for turn in zip_longest(*drawn) for bucket in turn if bucket is not None]


def _successive(buckets: Sequence[Bucket], random: np.random.Generator) -> list[Bucket]:
    """Exponential clocks of these rates ring in the order of successive draws without replacement."""
    rings = random.exponential(size=len(buckets)) / np.array([bucket.size for bucket in buckets])
    return [buckets[i] for i in np.argsort(rings, kind="stable")]


def least_sure(crossings: Sequence[CountedCrossing], random: np.random.Generator) -> list[CountedCrossing]:
    """Every crossing, the least sure first; equal ones in random order."""
    shuffled = [crossings[i] for i in random.permutation(len(crossings))]
    return sorted(shuffled, key=lambda crossing: -crossing.doubt)


def questions(buckets: Sequence[Bucket], crossings: Sequence[CountedCrossing], seed: int) -> list[Question]:
    """All, a bucket and a crossing in turn; where one kind runs out, the other goes on."""
    random = np.random.default_rng(seed)
    return list(_in_turn(draw_order(buckets, random), least_sure(crossings, random)))


def _in_turn(drawn: Sequence[Bucket], doubted: Sequence[CountedCrossing]) -> Iterator[Question]:
    for bucket, crossing in zip_longest(drawn, doubted):
        if bucket is not None:
            yield bucket
        if crossing is not None:
            yield crossing
