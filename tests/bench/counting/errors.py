"""Counting errors as tables of units, their sums, and differences with their intervals.

A unit is a line of a sequence: what was sampled when the sets were made, and what a bootstrap draws anew. An
error is (missed, false); gross = both. A table may hold the sum over several frame rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines.evaluate.crossings import Crossing, bootstrap_sum, compare
from tests.bench.counting.data import Sequence

LINES = ("V", "H")
STEPS = (1, 2, 4)  # every frame, every second, every fourth
Pairs = list[list[int]]  # (missed, false) of each line: as JSON has it
Units = dict[str, int]  # gross error of each "SEQUENCE LINE"


def of_lines(true: list[Crossing], counted: list[Crossing]) -> Pairs:
    """The errors on each line of one sequence."""
    found = []
    for line in LINES:
        result = compare([c for c in true if c.line == line], [c for c in counted if c.line == line])
        found.append([len(result.missed), len(result.false)])
    return found


def units(pairs: Mapping[str, Iterable[Pairs]]) -> Units:
    """Gross errors by unit, of the errors of each sequence by name: one, or one a frame rate."""
    found: Units = {}
    for name, tables in pairs.items():
        for table in tables:
            for line, (missed, false) in zip(LINES, table, strict=True):
                key = f"{name} {line}"
                found[key] = found.get(key, 0) + missed + false
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """Errors of one less those of another on the same units, with its 95 % interval."""

    value: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+d} ({self.low:+.0f} to {self.high:+.0f})"

    @property
    def sure(self) -> bool:
        """Whether its interval leaves out that there is none."""
        return self.low > 0 or self.high < 0


def difference(first: Units, second: Units) -> Difference:
    """Paired bootstrap over units; both must hold the same ones.

    Of several detectors on one truth the same line is drawn together: they are no new sample of the world.
    """
    if first.keys() != second.keys():
        raise ValueError("the two were not counted on the same sequences and lines")
    each: dict[tuple[str, str], int] = {}
    for unit in first:
        source, *_, line = unit.split()
        each[source, line] = each.get((source, line), 0) + first[unit] - second[unit]
    return Difference(sum(each.values()), *bootstrap_sum(each.values()))


def of_sequences(errors: Units, sequences: Iterable[Sequence]) -> Units:
    """The part of a table that belongs to these sequences."""
    wanted = {f"{s.name} {line}" for s in sequences for line in LINES}
    return {unit: error for unit, error in errors.items() if unit in wanted}


def kinds(sequences: Iterable[Sequence]) -> dict[str, list[Sequence]]:
    """All, and apart those of a fixed and of a moving camera, the first and those added later."""
    every = list(sequences)
    parts = {
        "all": every,
        "fixed": [s for s in every if not s.moving],
        "moving": [s for s in every if s.moving],
        "first": [s for s in every if not s.added],
        "added": [s for s in every if s.added],
    }
    return {kind: found for kind, found in parts.items() if found}
