"""An audit of a part of a watch by a person who knows the truth: the questions and the estimate are those of
`streamer audit`, the answers those that the true crossings give."""

from __future__ import annotations

from collections import Counter

from pipelines.count.scene_error import AuditedCount
from streamer.clips.audit.answers import Answers
from streamer.clips.audit.moments import Bucket, CountedCrossing, Way, size_of
from streamer.clips.audit.sampling import Question, bucket_seconds, questions
from streamer.clips.audit.verdict import groups_by_way, verdict
from tests.bench.counting.confidence_buckets import LINES, Told
from tests.bench.counting.confidence_data import Watch

WAYS = [Way(*line) for line in LINES]


def audited(watch: Watch, told: Told, end_s: float, answers: int, seed: int) -> AuditedCount | None:
    """Of what was counted before `end_s`; None where the error of all is not known after so many answers."""
    crossings = _crossings(watch, told, end_s)
    buckets = _buckets(crossings, end_s)
    asked = questions(buckets, list(crossings), seed)[:answers]
    given = Answers({})
    for question in asked:
        given.put(question.key, _answer(watch, question, crossings))
    counted = Counter(crossing.way for crossing in crossings)
    whole = verdict(asked, given, {way: counted[way] for way in WAYS}, groups_by_way(buckets))[-1]
    if whole.low is None or whole.high is None or not whole.counted:
        return None
    return AuditedCount(whole.counted, whole.low, whole.high)


def _crossings(watch: Watch, told: Told, end_s: float) -> dict[CountedCrossing, bool]:
    """Whether each is one."""
    return {
        CountedCrossing(str(i), Way(c.line, c.direction), c.time_s, 1 - judgement.confidence): c.right
        for i, (c, judgement) in enumerate(zip(watch.counted, told, strict=True))
        if c.time_s < end_s
    }


def _buckets(crossings: dict[CountedCrossing, bool], end_s: float) -> list[Bucket]:
    """As those of a running camera: who came near and was not counted is not known."""
    length_s = bucket_seconds(len(crossings), len(WAYS), end_s)
    number = max(1, round(end_s / length_s))
    length_s = end_s / number
    found = []
    for way in WAYS:
        of_way = [crossing for crossing in crossings if crossing.way == way]
        for begin_s in (length_s * i for i in range(number)):
            keys = tuple(c.key for c in of_way if begin_s <= c.time_s < begin_s + length_s)
            found.append(Bucket(way, begin_s, begin_s + length_s, keys, size_of(len(keys), 0)))
    return found


def _answer(watch: Watch, question: Question, crossings: dict[CountedCrossing, bool]) -> int | bool:
    if isinstance(question, CountedCrossing):
        return crossings[question]
    begin_s, end_s = question.start_s, question.end_s
    return sum(
        Way(line, direction) == question.way and begin_s <= time_s < end_s
        for line, direction, time_s in watch.true
    )
