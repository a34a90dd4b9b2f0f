"""How sure a count is: the probability that a crossing is right, and an interval of the true count.

The probability is a logistic regression on a crossing's signs (crossing_signs.py). What nobody saw has signs
too: where boxes are large or cut by the border, more is missed. So each crossing also says for how many true
ones it stands. The interval rests on sums that can be kept and added up (Tally): the true count of a scene is
taken as log-normal, with an error of the scene's own that is the same in all its hours and does not shrink
where they are added up; between scenes it is independent. All of it is fitted, and tried on scenes that were
kept out, by `python -m tests.bench counting_confidence`, which also writes the coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple

from pipelines.count.confidence_coefficients import COEFFICIENTS
from pipelines.count.scene_error import HALF, AuditedCount, SceneError
from pipelines.count.signs import CrossingSigns

DIGITS = 3  # of a confidence in an event: what is added up is what was told
MIN_CONFIDENCE, MAX_CONFIDENCE = 0.01, 0.99
MIN_FACTOR, MAX_FACTOR = 0.5, 4.0

# The range within which each sign is believed, and whether its logarithm is taken.
RANGES = {
    "evidence": (0.1, 3.0, True),
    "margin": (0.5, 10.0, True),
    "seen": (0.0, 1.0, False),
    "gap_s": (0.02, 2.0, True),
    "age_s": (0.05, 10.0, True),
    "height": (0.02, 1.0, True),
    "cut": (0.0, 1.0, False),
    "jitter": (0.003, 0.2, True),
    "covered": (0.0, 1.0, False),
    "near": (0.0, 6.0, False),
}
assert tuple(RANGES) == tuple(field.name for field in fields(CrossingSigns))


def sign_values(signs: CrossingSigns) -> list[float]:
    """The signs as the regression takes them; not a number where one is not known."""
    return [
        math.nan if value is None else _scaled(float(value), *RANGES[name])
        for name, value in zip(RANGES, astuple(signs), strict=True)
    ]


def _scaled(value: float, low: float, high: float, logarithm: bool) -> float:
    value = min(max(value, low), high)
    return math.log(value) if logarithm else value


class Judgement(NamedTuple):
    """Of one crossing: the probability that it is right, and how many true crossings there are, seen or not,
    for each one like it."""

    confidence: float
    stands_for: float


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Of each sign its usual value, its spread and the weight of one spread."""

    intercept: float
    signs: Mapping[str, tuple[float, float, float]]

    def value(self, values: Iterable[float]) -> float:
        """Of what sign_values() says. A sign that is not known is taken as usual."""
        total = self.intercept
        for name, value in zip(RANGES, values, strict=True):
            if name in self.signs and not math.isnan(value):
                mean, spread, weight = self.signs[name]
                total += weight * (value - mean) / spread
        return total


@dataclass(frozen=True, slots=True)
class CrossingModel:
    """`right` gives the logit of the confidence, `unseen` the logarithm of `stands_for`."""

    right: LinearModel
    unseen: LinearModel

    def judge(self, signs: CrossingSigns) -> Judgement:
        return self.of_values(sign_values(signs))

    def of_values(self, values: Sequence[float]) -> Judgement:
        share = 1 / (1 + math.exp(-min(max(self.right.value(values), -30.0), 30.0)))
        factor = math.exp(min(max(self.unseen.value(values), math.log(MIN_FACTOR)), math.log(MAX_FACTOR)))
        share = min(max(share, MIN_CONFIDENCE), MAX_CONFIDENCE)
        return Judgement(round(share, DIGITS), round(factor, DIGITS))


@dataclass(frozen=True, slots=True)
class Tally:
    """What is kept of crossings in order to tell their interval: how many, the sums of their confidences and
    of what they stand for; `moving` of them were counted while the view had moved. Tallies of one scene add
    up."""

    crossings: int = 0
    right: float = 0.0
    stands_for: float = 0.0
    moving: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Written out: a month has a million of these."""
        return Tally(
            self.crossings + other.crossings,
            self.right + other.right,
            self.stands_for + other.stands_for,
            self.moving + other.moving,
        )

    @classmethod
    def of(cls, judgements: Iterable[Judgement], moving: bool = False) -> Tally:
        each = list(judgements)
        n = len(each)
        return cls(n, sum(j.confidence for j in each), sum(j.stands_for for j in each), n if moving else 0)


@dataclass(frozen=True, slots=True)
class IntervalModel:
    """Of the logarithm of the true count over the count, x being that of what they stand for less `centre`:
    its mean is `missed` + `missed_slope` x; its variance that of counting, `counting` / n, and that of the
    scene, the square of exp(`scene` + `scene_slope` x). `below` and `above` are so many deviations of it.
    Two counts of one scene, at other times or lines, differ by the variance `within` / n of each and
    `drift` squared: that is what is left where the scene's own error is known."""

    centre: float
    missed: float
    missed_slope: float
    counting: float
    scene: float
    scene_slope: float
    below: float
    above: float
    within: float
    drift: float

    def moments(self, tally: Tally) -> tuple[float, float]:
        """Mean and standard deviation of the logarithm of (true count + HALF) / (count + HALF)."""
        mean, scene = self._of_scene(tally)
        return mean, math.hypot(scene, self._of_counting(tally.crossings))

    def error(self, tally: Tally, audited: AuditedCount | None = None) -> SceneError:
        """The error of a count, the scene's and that of counting. What was audited is another count of the
        scene, and narrows its error by so much as it is known; it makes no count less sure."""
        mean, scene = self._of_scene(tally)
        counting = self._of_counting(tally.crossings)
        usual = SceneError(mean, self.below * scene, self.above * scene)
        whole = usual.beside(self.below * counting, self.above * counting)
        if audited is None:
            return whole
        found = audited.error().widened(self.drift).widened(self._within(audited.counted))
        known = usual.narrowed(found).widened(self._within(tally.crossings))
        return SceneError(known.mean, min(known.below, whole.below), min(known.above, whole.above))

    def _within(self, crossings: int) -> float:
        return math.sqrt(self.within / (crossings + HALF))

    def _of_scene(self, tally: Tally) -> tuple[float, float]:
        n = tally.crossings
        x = (math.log(tally.stands_for / n) if n else 0.0) - self.centre
        return self.missed + self.missed_slope * x, math.exp(self.scene + self.scene_slope * x)

    def _of_counting(self, crossings: int) -> float:
        return math.sqrt(self.counting / (crossings + HALF))


@dataclass(frozen=True, slots=True)
class CountInterval:
    """Nine times in ten the true count is in it. Where a view moves the line is not where it was drawn, and
    what nobody saw differs far more from scene to scene."""

    fixed: IntervalModel
    moving: IntervalModel

    def interval(
        self, scenes: Iterable[Tally], audits: Iterable[AuditedCount | None] | None = None
    ) -> tuple[int, int]:
        """The least and the greatest true count of several scenes together, whose errors are independent.
        `audits` are as many as the scenes, None where a scene has none."""
        total = expected = below = above = 0.0
        for tally, audited in _paired(scenes, audits):
            model = self.moving if 2 * tally.moving > tally.crossings else self.fixed
            error = model.error(tally, audited)
            likely = (tally.crossings + HALF) * math.exp(error.mean)
            total, expected = total + HALF, expected + likely
            below += (likely * error.below) ** 2
            above += (likely * error.above) ** 2
        if not expected:
            return 0, 0
        low = expected * math.exp(-math.sqrt(below) / expected)
        high = expected * math.exp(math.sqrt(above) / expected)
        return max(round(low - total), 0), max(round(high - total), 0)


def _paired(
    scenes: Iterable[Tally], audits: Iterable[AuditedCount | None] | None
) -> Iterator[tuple[Tally, AuditedCount | None]]:
    if audits is None:
        return zip(scenes, repeat(None))
    return zip(scenes, audits, strict=True)


@cache
def shipped() -> tuple[CrossingModel, CountInterval]:
    """Those of the package."""
    return loaded(COEFFICIENTS)


def loaded(document: Mapping[str, Any]) -> tuple[CrossingModel, CountInterval]:
    right, unseen = (_linear(document[name]) for name in ("right", "unseen"))
    fixed, moving = (IntervalModel(**document["intervals"][view]) for view in ("fixed", "moving"))
    return CrossingModel(right, unseen), CountInterval(fixed, moving)


def _linear(document: Mapping[str, Any]) -> LinearModel:
    signs = {name: (row["mean"], row["spread"], row["weight"]) for name, row in document["signs"].items()}
    return LinearModel(document["intercept"], signs)
