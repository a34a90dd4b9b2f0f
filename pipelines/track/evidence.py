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
_LOWEST, _HIGHEST, _ONE = np.array(1 - CAP), np.array(CAP), np.array(1.0)
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
        self._slope, self._offset = np.array(1.0), np.array(0.0)  # from logits to evidence
        self._set(self.PRIOR_MEAN, self.PRIOR_SIGMA)
        self._n = 0.0

    def evidence(self, scores: Array, out: Array) -> None:
        """Write to `out` (N,) the spreads above the border; below 0 speaks against a real object."""
        np.maximum(scores, _LOWEST, out=out)
        np.minimum(out, _HIGHEST, out=out)
        np.divide(out, _ONE - out, out=out)
        np.log(out, out=out)
        out *= self._slope
        out += self._offset

    def learn(self, evidence: Array, taught: npt.NDArray[np.bool_]) -> None:
        """Take the evidence (N,) of boxes of long tracks into account, of those `taught` (N,)."""
        off = [(value - self._sigmas) * self.sigma for value in evidence[taught].tolist()]
        n = len(off)  # of few tracks, mostly
        if not n:
            return
        self._n = min(self._n + n, self.MEMORY)
        rate = n / (self._n + self.PRIOR_WEIGHT)
        spread = sum(min(value * value, OUTLIER**2) for value in off) / n
        variance = self.sigma**2 + rate * (spread - self.sigma**2)
        self._set(self.mean + rate * sum(off) / n, max(variance, LEAST_SIGMA**2) ** 0.5)

    def _set(self, mean: float, sigma: float) -> None:
        self.mean, self.sigma = mean, sigma
        self._slope[()], self._offset[()] = 1.0 / sigma, self._sigmas - mean / sigma

    def save(self) -> list[float]:
        return [self.mean, self.sigma, self._n]

    def restore(self, saved: list[float]) -> None:
        mean, sigma, self._n = (float(v) for v in saved)
        self._set(mean, sigma)
