"""How sure it is that two looks are one object's: by how alike they are, and how alike all others are.

The logarithm of a likelihood ratio says how much more probable two looks are of one object than of two: both
are normal about what is usual, and one object's differ by less (the two covariances of Moghaddam et al.,
"Bayesian face recognition", Pattern Recognition 2000, here diagonal). Then all who could be meant share one
probability with nobody. Constants were chosen on drawn sites (`python -m tests.bench journeys -o fit=true`)
and judged on others; decision 030.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipelines.journeys import clothes
from pipelines.journeys.usual_looks import Array, Unusual

TWO = 2.0  # variance of the difference of two objects' looks, in spreads of what is usual
ONE_LIGHT, ONE_COLOUR = 0.12, 0.04  # of one object's at two cameras: how light it is, and its colours
ONE_EMBEDDING = 0.3  # of a detector's embedding; a guess
SHARE = 0.4  # of what the numbers would say if none rested on another
NOBODY = 5.0  # as probable as so many others who are as alike as unlike
MAX_LOG = 50.0
MIN_ODDS, MAX_ODDS = -4.0, 8.0  # logarithms: what is beyond was hardly seen when the weights were chosen
UNSURE = 0.3  # of the variance by which the usual is unsure: it shifts the others as well


@dataclass(frozen=True, slots=True)
class Comparison:
    """`alike` is the log-likelihood ratio of the two; `others` those of all who could be meant instead of
    either. `vehicle`: many are painted alike."""

    alike: float
    others: tuple[float, ...]
    vehicle: bool = False

    def features(self) -> tuple[float, float]:
        """What is weighed: 1, and the log odds of the two against all others and nobody."""
        against = NOBODY + sum(math.exp(min(other, MAX_LOG)) for other in self.others)
        odds = min(self.alike, MAX_LOG) - math.log(against)
        return 1.0, min(max(odds, MIN_ODDS), MAX_ODDS)


WEIGHTS = (0.885, 0.598)


def log_likelihood_ratio(a: Unusual, b: Unusual) -> float:
    """Of two looks of one length: above 0, they are more probably one object's than two's."""
    unsure = UNSURE * (a.unsure + b.unsure)
    one, two = _one(len(a.away)) + unsure, TWO + unsure
    apart = (a.away - b.away) ** 2
    ratio = 0.5 * float((np.log(two / one) - apart * (1.0 / one - 1.0 / two)).sum())
    return SHARE * min(1.0, clothes.LENGTH / len(apart)) * ratio


def _one(length: int) -> Array:
    """(E,) the variance of the difference of one object's two looks."""
    if length == clothes.LENGTH:
        return np.tile((ONE_LIGHT, ONE_COLOUR, ONE_COLOUR), len(clothes.PARTS))
    return np.full(length, ONE_EMBEDDING)


def probability(found: Comparison) -> float:
    """That both are one, 0 to 1; 0 where looks cannot tell."""
    if found.vehicle:
        return 0.0  # too many are painted alike (decision 030)
    return 1.0 / (1.0 + math.exp(-sum(w * f for w, f in zip(WEIGHTS, found.features(), strict=True))))
