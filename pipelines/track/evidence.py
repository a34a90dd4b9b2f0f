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
_LOWEST, _HIGHEST = np.array(1 - CAP), np.array(CAP)
LEAST_SIGMA = 1.0  # of the logits, so that equal scores do not make a border of themselves
MOST_SPREAD = np.array(4.0**2)  # a logit farther off counts as 4 off


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
        odds = np.minimum(np.maximum(scores, _LOWEST), _HIGHEST)
        odds /= 1.0 - odds
        evidence = np.log(odds, out=odds)
        evidence -= self.mean
        evidence /= self.sigma
        evidence += self._sigmas
        return np.asarray(evidence)

    def learn(self, evidence: Array, taught: npt.NDArray[np.bool_]) -> None:
        """Take the evidence (N,) of boxes of long tracks into account, of those `taught` (N,)."""
        n = int(np.count_nonzero(taught))
        if not n:
            return
        self._n = min(self._n + n, self.MEMORY)
        rate = n / (self._n + self.PRIOR_WEIGHT)
        off = evidence[taught] - self._sigmas
        off *= self.sigma
        mean = float(off.sum()) / n
        off *= off
        spread = float(np.minimum(off, MOST_SPREAD).sum()) / n
        variance = self.sigma**2 + rate * (spread - self.sigma**2)
        self.mean += rate * mean
        self.sigma = max(variance, LEAST_SIGMA**2) ** 0.5

    def save(self) -> list[float]:
        return [self.mean, self.sigma, self._n]

    def restore(self, saved: list[float]) -> None:
        self.mean, self.sigma, self._n = (float(v) for v in saved)
