"""How things usually look at each camera: light, exposure and white balance shift and stretch all looks of a
camera alike, so that looks are compared by how they differ from what is usual there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.values import Floats

Array = npt.NDArray[np.float64]
MIN_LEARNT = 10  # of a kind at a camera, before their looks are compared
MEMORY = 200.0  # of them: light changes with the day
MIN_SPREAD = 0.02  # of the mean spread: a number that hardly differs between any two is not blown up


@dataclass(frozen=True, slots=True, eq=False)
class Unusual:
    """`away` (E,) is how many spreads a look lies from what is usual; `unsure` the variance that this has
    since what is usual was learnt of so many alone."""

    away: Array
    unsure: float


@dataclass(slots=True, eq=False)
class _Usual:
    n: float
    mean: Array
    variance: Array


class UsualLooks:
    """By camera and kind. It holds means over many, and nobody's look."""

    def __init__(self) -> None:
        self._usual: dict[tuple[str, str], _Usual] = {}

    def learn(self, camera: str, group: str, look: Floats) -> None:
        """Another one (E,) was seen."""
        usual = self._usual.get((camera, group))
        if usual is None or usual.mean.shape != look.shape:
            usual = self._usual[camera, group] = _Usual(0.0, np.zeros(len(look)), np.zeros(len(look)))
        usual.n = min(usual.n + 1.0, MEMORY)
        away = look - usual.mean
        usual.mean += away / usual.n
        usual.variance += (away * (look - usual.mean) - usual.variance) / usual.n

    def forget(self, camera: str) -> None:
        """Its looks are others now."""
        for key in [key for key in self._usual if key[0] == camera]:
            del self._usual[key]

    def unusual(self, camera: str, group: str, look: Floats) -> Unusual | None:
        """How a look (E,) differs from what is usual; None where that is not known yet."""
        usual = self._usual.get((camera, group))
        if usual is None or usual.n < MIN_LEARNT or usual.mean.shape != look.shape:
            return None
        spread = np.sqrt(usual.variance)
        least = max(MIN_SPREAD * float(spread.mean()), 1e-6)
        return Unusual((look - usual.mean) / np.maximum(spread, least), 1.0 / usual.n)
