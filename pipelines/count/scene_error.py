"""A scene's own error: how far its true count lies from what was counted in it, whichever hours are added up.

It is known from what is usual (a fitted model) or from an audit, in which a person looked. Both are
logarithms of the true count over the count, taken as normal and independent, so that they combine by their
precision, as the prior and the likelihood of a normal mean do (Gelman et al., Bayesian Data Analysis, 2.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

HALF = 0.5  # added to counts before their logarithm is taken (Haldane, 1956): 0 has one too
DEVIATIONS = 1.645  # of a normal error that is exceeded by 5 %
MIN_SPREAD = 1e-6  # of an error: nothing is known exactly


class SceneError(NamedTuple):
    """Of the logarithm of (true count + HALF) / (count + HALF): `mean`, and how far the 5 % lowest and the
    5 % highest lie below and above it."""

    mean: float
    below: float
    above: float

    def beside(self, below: float, above: float) -> SceneError:
        """With another error that is independent, of mean 0, and so far below and above."""
        return SceneError(self.mean, math.hypot(self.below, below), math.hypot(self.above, above))

    def widened(self, deviation: float) -> SceneError:
        """With another error that is independent and normal, of mean 0."""
        return self.beside(DEVIATIONS * deviation, DEVIATIONS * deviation)

    def narrowed(self, found: SceneError) -> SceneError:
        """By what was found independently: the mean by their precision, each side by its own.

        Scenes are odd more often than a normal distribution has them: where the two contradict each other by
        more than a deviation, what is usual is widened by as many, so that what was found is believed."""
        apart = abs(found.mean - self.mean) / math.hypot(self._spread(), found._spread())
        usual = self._times(max(1.0, DEVIATIONS * apart))
        mine, others = usual._spread() ** -2, found._spread() ** -2
        mean = (mine * self.mean + others * found.mean) / (mine + others)
        return SceneError(mean, _together(usual.below, found.below), _together(usual.above, found.above))

    def _spread(self) -> float:
        return max((self.below + self.above) / 2, MIN_SPREAD)

    def _times(self, factor: float) -> SceneError:
        return SceneError(self.mean, factor * self.below, factor * self.above)


def _together(one: float, other: float) -> float:
    one, other = max(one, MIN_SPREAD), max(other, MIN_SPREAD)
    return one * other / math.hypot(one, other)


@dataclass(frozen=True, slots=True)
class AuditedCount:
    """What an audit found of a scene: `counted` crossings, and the true number between `low` and `high` with
    90 %. Those who made it see that 0 <= low <= high and counted > 0."""

    counted: int
    low: float
    high: float

    def error(self) -> SceneError:
        """Of the time that was audited. Its mean is the middle of the interval: few errors that were found
        stand for more that were not."""
        low, high = (math.log((end + HALF) / (self.counted + HALF)) for end in (self.low, self.high))
        return SceneError((low + high) / 2, (high - low) / 2, (high - low) / 2)
