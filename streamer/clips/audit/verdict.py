"""From questions and answers to the estimates: which crossings are known to be none, which buckets known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamer.clips.audit.answers import Answers
from streamer.clips.audit.estimate import BucketAnswer, Estimate, estimates
from streamer.clips.audit.moments import Bucket, CountedCrossing, Way
from streamer.clips.audit.sampling import Question


@dataclass(frozen=True, slots=True)
class Group:
    """What a bucket was drawn from: its buckets' number, and the sum of their sizes."""

    name: str
    count: int
    size: float


def groups_by_way(buckets: Iterable[Bucket]) -> dict[str, Group]:
    """Each bucket's, by its key, where they are drawn within their way."""
    of_way: dict[Way, list[Bucket]] = {}
    for bucket in buckets:
        of_way.setdefault(bucket.way, []).append(bucket)
    return {
        bucket.key: Group(str(way), len(group), sum(each.size for each in group))
        for way, group in of_way.items()
        for bucket in group
    }


def verdict(
    asked: Sequence[Question], answers: Answers, counted: Mapping[Way, int], groups: Mapping[str, Group]
) -> list[Estimate]:
    """`asked` is in the order drawn; what has no answer is taken to be like the rest."""
    told = [q for q in asked if q.key in answers and answers[q.key] is not None]
    none = {q.key for q in told if isinstance(q, CountedCrossing) and not answers[q.key]}
    false = Counter(q.way for q in told if q.key in none)
    buckets = []
    for bucket in told:
        if isinstance(bucket, Bucket):
            group, number = groups[bucket.key], answers[bucket.key]
            left = sum(key not in none for key in bucket.counted)
            buckets.append(
                BucketAnswer(
                    bucket.way, left, int(number or 0), bucket.size, group.name, group.size, group.count
                )
            )
    return estimates(counted, false, buckets, Counter(q.way for q in told))
