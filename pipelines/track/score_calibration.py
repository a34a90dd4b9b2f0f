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
_LOWEST, _HIGHEST = np.array(2 * (1 - CAP) - 1), np.array(2 * CAP - 1)  # from -1 to 1
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
        self._slope, self._offset = np.array(2.0), np.array(0.0)  # from half a logit to evidence
        self._set(self.PRIOR_MEAN, self.PRIOR_SIGMA)
        self._n = 0.0

    def evidence(self, scores: Array, lowest: float) -> None:
        """Make of scores (N,), stretched to lie from -1 to 1, the spreads above the border, in place; below 0
        speaks against a real object. The `lowest` is as it was."""
        if lowest < 1 - CAP:
            np.maximum(scores, _LOWEST, out=scores)
        np.minimum(scores, _HIGHEST, out=scores)
        np.arctanh(scores, scores)  # half a logit
        scores *= self._slope
        scores += self._offset

    def learn(self, values: list[float]) -> None:
        """Take the evidence of boxes of long tracks into account."""
        n = len(values)  # few, mostly
        if not n:
            return
        sigmas, sigma = self._sigmas, self.sigma
        total = spread = 0.0
        for value in values:
            off = (value - sigmas) * sigma
            total += off
            off *= off
            spread += off if off < OUTLIER**2 else OUTLIER**2
        self._n = min(self._n + n, self.MEMORY)
        rate = n / (self._n + self.PRIOR_WEIGHT)
        variance = sigma**2 + rate * (spread / n - sigma**2)
        self._set(self.mean + rate * total / n, max(variance, LEAST_SIGMA**2) ** 0.5)

    def _set(self, mean: float, sigma: float) -> None:
        self.mean, self.sigma = mean, sigma
        self._slope[()], self._offset[()] = 2.0 / sigma, self._sigmas - mean / sigma

    def save(self) -> list[float]:
        return [self.mean, self.sigma, self._n]

    def restore(self, saved: list[float]) -> None:
        mean, sigma, self._n = (float(v) for v in saved)
        self._set(mean, sigma)
