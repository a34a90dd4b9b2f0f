"""An evaluation as figures: errors by line, direction, class and hour with their intervals, and two compared.

Intervals of 95 %: misses as a share of the true crossings by Wilson (1927); numbers of errors as Poisson
counts by Byar's approximation (Breslow and Day, 1987, volume II), which says of no error in 8
crossings "up to 46 %" and not 0; the net error, a difference of two such counts, by MOVER (Zou and Donner,
2008).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.evaluate.crossings import Comparison, Crossing, bootstrap_sum, geh, grouped, share_interval
from pipelines.evaluate.tracking import TrackingScore

Interval = tuple[float, float]
Z = 1.959964
HOUR_S = 3600.0
SLICES = 30  # pieces of the clip that the paired bootstrap draws anew,
SLICE_S = 5.0  # none shorter than this
NOT_GIVEN = "(not given)"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `seconds` is the time it covers, which makes its counts hourly flows for GEH."""

    true: int
    counted: int
    missed: int
    false: int
    seconds: float

    @property
    def gross(self) -> int:
        return self.missed + self.false

    @property
    def net(self) -> int:
        return self.false - self.missed

    def share(self, errors: float) -> float | None:
        """Of the true crossings; None where errors stand against no true crossing."""
        return errors / self.true if self.true else (0.0 if errors == 0 else None)

    @property
    def geh(self) -> float | None:
        if self.seconds <= 0:
            return None
        return geh(self.counted * HOUR_S / self.seconds, self.true * HOUR_S / self.seconds)

    def as_dict(self) -> dict[str, Any]:
        low, high = net_interval(self.false, self.missed)
        return {
            "true": self.true,
            "counted": self.counted,
            "missed": self.missed,
            "false": self.false,
            "gross": self.gross,
            "net": self.net,
            "missed_share": self.share(self.missed),
            "missed_share_95": share_interval(self.missed, self.true),
            "gross_share": self.share(self.gross),
            "gross_share_95": self._shares(count_interval(self.gross)),
            "net_share": self.share(self.net),
            "net_share_95": self._shares((low, high)),
            "geh": self.geh,
        }

    def _shares(self, interval: Interval) -> Interval | None:
        return (interval[0] / self.true, interval[1] / self.true) if self.true else None


def count_interval(events: int) -> Interval:
    """95 % interval of the mean of a Poisson count (Byar)."""
    if events < 0:
        raise ValueError(f"{events} is no count")
    up = events + 1
    low = events * (1 - 1 / (9 * events) - Z / (3 * math.sqrt(events))) ** 3 if events else 0.0
    return max(0.0, low), up * (1 - 1 / (9 * up) + Z / (3 * math.sqrt(up))) ** 3


def net_interval(false: int, missed: int) -> Interval:
    """95 % interval of the mean of false less missed, two Poisson counts (MOVER)."""
    false_low, false_high = count_interval(false)
    missed_low, missed_high = count_interval(missed)
    net = false - missed
    return (
        net - math.hypot(false - false_low, missed_high - missed),
        net + math.hypot(false_high - false, missed - missed_low),
    )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one configuration made of one clip. `tables`: by line, direction, class and hour.

    `classes` are the pairs (true class, counted class) that differ, with their number.
    """

    name: str
    facts: Mapping[str, str]
    duration_s: float
    within_s: float
    comparison: Comparison
    overall: Row
    tables: Mapping[str, Mapping[str, Row]]
    classes: Mapping[tuple[str, str], int]
    tracking: TrackingScore | None = None
    warnings: tuple[str, ...] = ()


def evaluate(
    name: str,
    comparison: Comparison,
    *,
    duration_s: float,
    within_s: float,
    start_s: float = 0.0,
    facts: Mapping[str, str] | None = None,
    tracking: TrackingScore | None = None,
    warnings: Iterable[str] = (),
) -> Evaluation:
    """`start_s` is the time of day, in seconds, at which the clip begins; the hours are the clock's then."""
    differing = Counter(
        (a.class_name, b.class_name)
        for a, b in comparison.matched
        if a.class_name and b.class_name and a.class_name != b.class_name
    )
    filled = _with_classes(comparison)

    def table(key: Callable[[Crossing], str]) -> dict[str, Row]:
        return {k: _row(v, duration_s) for k, v in grouped(filled, key).items()}

    hours = grouped(filled, lambda c: hour_of(c.time_s + start_s))
    return Evaluation(
        name=name,
        facts=dict(facts or {}),
        duration_s=duration_s,
        within_s=within_s,
        comparison=comparison,
        overall=Row(
            comparison.true_count,
            comparison.counted,
            len(comparison.missed),
            len(comparison.false),
            duration_s,
        ),
        tables={
            "line": table(lambda c: c.line),
            "direction": table(lambda c: f"{c.line} {c.direction}"),
            "class": table(lambda c: c.class_name or NOT_GIVEN),
            "hour": {k: _row(v, _covered_s(k, start_s, duration_s)) for k, v in hours.items()},
        },
        classes=dict(differing),
        tracking=tracking,
        warnings=tuple(warnings),
    )


def _with_classes(comparison: Comparison) -> Comparison:
    """True crossings without a class are listed under the one that they were counted as.

    A missed one can be told only where the truth names no class at all and one alone was counted.
    """
    counted = {c.class_name for c in (*(b for _, b in comparison.matched), *comparison.false)}
    named = any(c.class_name for c in (*(a for a, _ in comparison.matched), *comparison.missed))
    only = next(iter(counted)) if len(counted) == 1 and not named else ""
    return replace(
        comparison,
        matched=tuple(
            (a if a.class_name else replace(a, class_name=b.class_name), b) for a, b in comparison.matched
        ),
        missed=tuple(replace(c, class_name=c.class_name or only) for c in comparison.missed),
    )


def _row(figures: Mapping[str, int], seconds: float) -> Row:
    return Row(figures["true"], figures["counted"], figures["missed"], figures["false"], seconds)


def hour_of(time_s: float) -> str:
    """ "07:00" of a time of day in seconds; hours go on past 23 in a clip that runs over midnight."""
    return f"{int(time_s // HOUR_S):02d}:00"


def _covered_s(hour: str, start_s: float, duration_s: float) -> float:
    begins = int(hour.split(":", maxsplit=1)[0]) * HOUR_S
    return max(0.0, min(begins + HOUR_S, start_s + duration_s) - max(begins, start_s))


def measures(result: Evaluation) -> dict[str, float | None]:
    """The figures that a gate or a comparison may name: counts of errors, and scores in percent."""
    score = result.tracking
    return {
        "gross": float(result.overall.gross),
        "net": float(result.overall.net),
        "misses": float(result.overall.missed),
        "false": float(result.overall.false),
        "hota": None if score is None else score.hota,
        "idf1": None if score is None else score.idf1,
        "mota": None if score is None else score.mota,
    }


# ---- two of them


@dataclass(frozen=True, slots=True)
class Difference:
    """`b` less `a`, with the 95 % interval of the paired bootstrap where it was drawn."""

    a: float
    b: float
    interval: Interval | None = None

    @property
    def difference(self) -> float:
        return self.b - self.a


def differences(a: Evaluation, b: Evaluation) -> dict[str, Difference]:
    """By measure. The bootstrap draws slices of the clip (a thirtieth, at least 5 s) for each line anew."""
    errors_a, errors_b = (_by_slice(each, max(a.duration_s, b.duration_s)) for each in (a, b))
    units = sorted({*errors_a, *errors_b})
    result = {}
    for name, missed, false in (("gross", 1, 1), ("misses", 1, 0), ("false", 0, 1), ("net", -1, 1)):
        sums = [
            [missed * errors[unit][0] + false * errors[unit][1] for unit in units]
            for errors in (errors_a, errors_b)
        ]
        apart = [y - x for x, y in zip(*sums, strict=True)]
        interval = bootstrap_sum(apart) if any(apart) else None  # nothing to draw: that is no certainty
        result[name] = Difference(float(sum(sums[0])), float(sum(sums[1])), interval)
    values_a, values_b = measures(a), measures(b)
    for name in ("hota", "idf1", "mota"):
        x, y = values_a[name], values_b[name]
        if x is not None and y is not None:
            result[name] = Difference(x, y)
    if a.tracking is not None and b.tracking is not None:
        result["id switches"] = Difference(float(a.tracking.id_switches), float(b.tracking.id_switches))
    return result


class _Slices(dict[tuple[str, int], tuple[int, int]]):
    def __missing__(self, key: tuple[str, int]) -> tuple[int, int]:
        return 0, 0


def _by_slice(result: Evaluation, duration_s: float) -> _Slices:
    """(missed, false) of each line and slice, those without an error included."""
    slice_s = max(SLICE_S, duration_s / SLICES)
    errors = _Slices()
    for line in result.tables["line"]:
        for number in range(max(1, math.ceil(duration_s / slice_s))):
            errors[line, number] = (0, 0)
    for place, crossings in enumerate((result.comparison.missed, result.comparison.false)):
        for crossing in crossings:
            unit = crossing.line, int(max(0.0, crossing.time_s) // slice_s)
            missed, false = errors[unit]
            errors[unit] = (missed + 1, false) if place == 0 else (missed, false + 1)
    return errors


# ---- as plain data


def as_dict(result: Evaluation) -> dict[str, Any]:
    """What --json prints of an evaluation; shares are of 1, not percent."""
    score = result.tracking
    return {
        "name": result.name,
        **result.facts,
        "duration_s": round(result.duration_s, 3),
        "within_s": result.within_s,
        "overall": result.overall.as_dict(),
        **{f"by_{key}": {k: row.as_dict() for k, row in t.items()} for key, t in result.tables.items()},
        "class_differs": [
            {"true": true, "counted": counted, "number": n}
            for (true, counted), n in sorted(result.classes.items())
        ],
        "tracking": None
        if score is None
        else {
            "hota": score.hota,
            "det_a": score.det_a,
            "ass_a": score.ass_a,
            "idf1": score.idf1,
            "mota": score.mota,
            "id_switches": score.id_switches,
        },
        "misses": [_crossing(c) for c in result.comparison.missed],
        "false_counts": [_crossing(c) for c in result.comparison.false],
        "warnings": list(result.warnings),
    }


def _crossing(crossing: Crossing) -> dict[str, Any]:
    return {
        "time_s": round(crossing.time_s, 3),
        "line": crossing.line,
        "direction": crossing.direction,
        "class": crossing.class_name or None,
    }
