"""How sure it is that two looks are one object's: by how alike they are, and how much less the others are.

A logistic function, chosen on drawn sites (`python -m tests.bench journeys -o fit=true`) and judged on
others; decision 027.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_OTHERS = 30  # in a crowd somebody is dressed alike: nothing is told where more could have been instead
MIN_MARGIN = 0.1  # less, and the next may be the one, however alike both are
MIN_DIFFERENCE = 0.02  # smaller ones were hardly seen when the weights were chosen
NOBODY = 0.0  # as alike as chance has it: what stands in where there is nobody else to compare with


@dataclass(frozen=True, slots=True)
class Comparison:
    """`alike` is the cosine of both differences from the usual (-1 to 1); `margin` how much more alike the
    two are than the next best pair that holds either of them; `others` how many could have been instead.
    `vehicle`: many are painted alike."""

    alike: float
    margin: float
    others: int
    vehicle: bool = False

    def features(self) -> tuple[float, ...]:
        """What is weighed: how little they differ, by how much less than the next (Lowe's ratio), …"""
        differ = max(1.0 - self.alike, MIN_DIFFERENCE)
        after = max(differ + self.margin, MIN_DIFFERENCE)
        ratio = math.log(after / differ)
        return 1.0, -math.log(differ), ratio, self.margin, math.log1p(self.others), float(self.vehicle)


WEIGHTS = (-3.571, 2.621, -2.613, 12.766, -0.154, -2.171)


def probability(found: Comparison) -> float:
    """That both are one, 0 to 1; 0 where looks cannot tell."""
    if found.vehicle or found.others > MAX_OTHERS or found.margin < MIN_MARGIN:
        return 0.0  # too many are painted, or dressed, alike (decision 027)
    return 1.0 / (1.0 + math.exp(-sum(w * f for w, f in zip(WEIGHTS, found.features(), strict=True))))
