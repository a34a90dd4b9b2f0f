"""Counted crossings against true ones: misses, false counts, net and gross error, GEH, intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing: of which line, in which direction, when; the class where it is known."""

    line: str
    direction: str
    time_s: float
    class_name: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`matched` pairs (true, counted), and what is left of either, in order of time."""

    matched: tuple[tuple[Crossing, Crossing], ...]
    missed: tuple[Crossing, ...]
    false: tuple[Crossing, ...]

    @property
    def true_count(self) -> int:
        return len(self.matched) + len(self.missed)

    @property
    def counted(self) -> int:
        return len(self.matched) + len(self.false)


def compare(true: Sequence[Crossing], counted: Sequence[Crossing], within_s: float = WITHIN_S) -> Comparison:
    """Match each counted crossing to a true one of its line and direction at most `within_s` away.

    One to one, nearest in time first.
    """
    pairs = sorted(
        (abs(a.time_s - b.time_s), i, j)
        for i, a in enumerate(true)
        for j, b in enumerate(counted)
        if a.line == b.line and a.direction == b.direction and abs(a.time_s - b.time_s) <= within_s
    )
    of_true: dict[int, int] = {}
    of_counted: set[int] = set()
    for _, i, j in pairs:
        if i not in of_true and j not in of_counted:
            of_true[i] = j
            of_counted.add(j)
    return Comparison(
        tuple((true[i], counted[j]) for i, j in sorted(of_true.items(), key=lambda p: true[p[0]].time_s)),
        tuple(sorted((c for i, c in enumerate(true) if i not in of_true), key=lambda c: c.time_s)),
        tuple(sorted((c for j, c in enumerate(counted) if j not in of_counted), key=lambda c: c.time_s)),
    )


def grouped(comparison: Comparison, key: Callable[[Crossing], str]) -> dict[str, dict[str, int]]:
    """Per value of `key` (line, direction, class, hour …): true, counted, missed, false, gross, net.

    A matched pair belongs to the value of its true crossing.
    """
    true = Counter(key(a) for a, _ in comparison.matched)
    missed = Counter(map(key, comparison.missed))
    false = Counter(map(key, comparison.false))
    return {
        value: {
            "true": true[value] + missed[value],
            "counted": true[value] + false[value],
            "missed": missed[value],
            "false": false[value],
            "gross": missed[value] + false[value],
            "net": false[value] - missed[value],
        }
        for value in sorted({*true, *missed, *false})
    }


def geh(counted_per_hour: float, true_per_hour: float) -> float:
    """The GEH statistic of traffic counts (Design Manual for Roads and Bridges): under 5 is a good match.

    Raises ValueError for a negative rate.
    """
    if counted_per_hour < 0 or true_per_hour < 0:
        raise ValueError("GEH needs rates of 0 or more")
    total = counted_per_hour + true_per_hour
    return math.sqrt(2 * (counted_per_hour - true_per_hour) ** 2 / total) if total else 0.0


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials (Wilson, 1927); (0, 1) of nothing."""
    if not 0 <= part <= whole:
        raise ValueError(f"{part} of {whole} is no share")
    if whole == 0:
        return 0.0, 1.0
    z = 1.959964
    share = part / whole
    centre = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_sum(values: Iterable[float], *, rounds: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a sum over units that are drawn anew (Efron, 1979).

    The units are what was sampled in the first place: here sequences and lines. With differences between
    two methods on the same units this is the paired bootstrap.
    """
    units: npt.NDArray[np.float64] = np.fromiter(values, np.float64)
    if not len(units):
        return 0.0, 0.0
    picks = np.random.default_rng(seed).integers(0, len(units), (rounds, len(units)))
    sums = units[picks].sum(axis=1)
    low, high = np.percentile(sums, (2.5, 97.5))
    return float(low), float(high)
