"""What an audit makes of the interval of a count: coverage and width without one and with N answers.

The first half of each watch is audited, the second is judged, by models that were fitted on other scenes. Of
the long drawn scenes, of five minutes, both halves are hours of one camera; of the public sequences and the
simulated detectors on them, which last half a minute, few crossings are in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.count.confidence import CountInterval
from pipelines.count.scene_error import AuditedCount
from tests.bench.counting.audited_answers import audited
from tests.bench.counting.confidence import HOURS_S, held_out_crossings, held_out_intervals, tell
from tests.bench.counting.confidence_buckets import Bucket, Told, buckets_of, pieces_after
from tests.bench.counting.confidence_data import Watch, long_watches, watches

NAME = "counting_audited"
DESCRIPTION = "What an audit makes of a count's interval: coverage and width, on scenes kept out"

MANY, VERY_MANY = 20, 100  # a count over it is asked how wide its interval is
ANSWERS = (30, 100)
AUDITED = 0.5  # of a watch
LONG = "drawn, long"


@dataclass(frozen=True, slots=True)
class Judged:
    """A bucket after the audited time, and its interval without an audit and by the answers' number."""

    part: str
    bucket: Bucket
    ends: dict[int, tuple[int, int]]


def run(detectors: int = 12, drawn: int = 60, long: int = 60, cache: str = "") -> dict[str, Any]:
    """Fit as counting_confidence does, and judge `long` drawn scenes beside. Raises
    Unavailable without the corpus."""
    seen = watches(detectors, drawn, cache)
    crossings = held_out_crossings(seen)
    told = tell(crossings, seen)
    hours = long_watches(long, HOURS_S, cache)
    intervals = held_out_intervals(buckets_of(seen, told), hours)
    rows = [(w.kind, w, t) for w, t in zip(seen, told, strict=True)]
    rows += [(LONG, w, t) for w, t in zip(hours, tell(crossings, hours), strict=True)]
    judged = [judged for part, w, each in rows for judged in _judged(part, w, each, intervals[w.fold])]
    return {"parts": _parts(judged)}


def _judged(part: str, watch: Watch, told: Told, interval: CountInterval) -> list[Judged]:
    """Those of the audited watches alone: the others say nothing of what an audit changes."""
    audits = _audits(watch, told)
    if audits is None:
        return []
    return [
        Judged(part, bucket, {n: interval.interval([bucket.tally], [audit]) for n, audit in audits.items()})
        for bucket in pieces_after(watch, told, AUDITED)
    ]


def _audits(watch: Watch, told: Told) -> dict[int, AuditedCount | None] | None:
    """By the number of answers; 0 is none. None where one of them cannot be had."""
    found: dict[int, AuditedCount | None] = {0: None}
    for number in ANSWERS:
        found[number] = audited(watch, told, AUDITED * watch.length_s, number, seed=0)
        if found[number] is None:
            return None
    return found


def _parts(judged: Sequence[Judged]) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for part in dict.fromkeys(row.part for row in judged):
        for view, moves in (("fixed", False), ("moving", True)):
            rows = [row for row in judged if row.part == part and row.bucket.watch.moving == moves]
            if rows:
                found[f"{part}, {view}"] = [_row(rows, number) for number in (0, *ANSWERS)]
    return found


def _row(judged: Sequence[Judged], answers: int) -> dict[str, Any]:
    """Of the counts of all sizes, and of those over MANY and VERY_MANY apart."""
    return {
        "answers": answers,
        **{f"over_{least}": _over(judged, answers, least) for least in (0, MANY, VERY_MANY)},
    }


def _over(judged: Sequence[Judged], answers: int, least: int) -> dict[str, Any]:
    rows = [(row.bucket, *row.ends[answers]) for row in judged if row.bucket.tally.crossings > least]
    if not rows:
        return {"n": 0}
    return {
        "n": len(rows),
        "covered": float(np.mean([low <= b.true <= high for b, low, high in rows])),
        "below": float(np.mean([b.true < low for b, low, _ in rows])),
        "above": float(np.mean([b.true > high for b, _, high in rows])),
        "width": float(np.median([(high - low) / b.tally.crossings for b, low, high in rows])),
    }


def render(result: dict[str, Any]) -> str:
    lines = ["answers; counts over 0, 20 and 100: buckets, in the interval (true below, above), median width"]
    for name, rows in result["parts"].items():
        lines.append(name)
        lines += [f"  {row['answers']:>3}  " + "  |  ".join(_cells(row)) for row in rows]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{c['n']:>4} {c['covered']:.1%} ({c['below']:.1%}, {c['above']:.1%}) {c['width']:.0%}"
        if c["n"]
        else "   0"
        for c in (row[f"over_{least}"] for least in (0, MANY, VERY_MANY))
    ]
