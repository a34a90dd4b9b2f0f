"""How much a box's score speaks for a real object, by what scores are usual at this camera.

Detectors differ in what a score means: 0.75 is a sure thing for one and noise for another. The mean and
spread of the scores (as logits) on long tracks are learnt; a new score is given in spreads above a border
that lies `sigmas` spreads under the mean, so that 0 is a border below which few boxes of real objects lie,
whatever the detector.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CAP = 0.99  # scores nearer to 1 say no more: detectors saturate at different places
LEAST_SIGMA = 1.0  # of the logits, so that equal scores do not make a border of themselves
OUTLIER = 4.0  # a logit farther off counts as this far


class ScoreScale:
    """The scale of one camera, from a prior (logits of mean 1.5 and spread 1.5: scores of 0.5 to 0.95)."""

    PRIOR_MEAN = 1.5
    PRIOR_SIGMA = 1.5
    PRIOR_WEIGHT = 30.0
    MEMORY = 500.0  # boxes

    def __init__(self, sigmas: float) -> None:
        self._sigmas = sigmas
        self.mean = self.PRIOR_MEAN
        self.sigma = self.PRIOR_SIGMA
        self._n = 0.0

    def evidence(self, scores: Array) -> Array:
        """(N,) spreads above the border; below 0 speaks against a real object."""
        return np.asarray((_logits(scores) - self.mean) / self.sigma + self._sigmas)

    def learn(self, scores: Array) -> None:
        """Take the scores of boxes of long tracks into account."""
        n = len(scores)
        if not n:
            return
        self._n = min(self._n + n, self.MEMORY)
        rate = n / (self._n + self.PRIOR_WEIGHT)
        off = _logits(scores) - self.mean
        spread = float(np.minimum(off * off, OUTLIER**2).mean())
        variance = self.sigma**2 + rate * (spread - self.sigma**2)
        self.mean += rate * float(off.mean())
        self.sigma = max(variance, LEAST_SIGMA**2) ** 0.5

    def save(self) -> list[float]:
        return [self.mean, self.sigma, self._n]

    def restore(self, saved: list[float]) -> None:
        self.mean, self.sigma, self._n = (float(v) for v in saved)


def _logits(scores: Array) -> Array:
    clipped = np.minimum(np.maximum(scores, 1 - CAP), CAP)
    return np.asarray(np.log(clipped / (1 - clipped)))
