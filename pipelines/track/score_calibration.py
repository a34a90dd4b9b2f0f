"""How much a box's score speaks for a real object, by what scores are usual at this camera.

Detectors differ in what a score means: 0.75 is a sure thing for one and noise for another. The mean and
spread of the scores (as logits) on long tracks are learnt; a new score is given in spreads above a border
that lies `border_sigmas` spreads under the mean, so that 0 is a border below which few boxes of real objects
lie, whatever the detector.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CAP = 0.99  # scores nearer to 0 or 1 say no more: detectors saturate at different places
MIN_SIGMA = 1.0  # of the logits, so that equal scores do not make a border of themselves
OUTLIER = 4.0  # a logit farther off counts as this far


class ScoreScale:
    """The scale of one camera, from a prior (logits of mean 1.5 and spread 1.5: scores of 0.5 to 0.95)."""

    PRIOR_MEAN = 1.5
    PRIOR_SIGMA = 1.5
    PRIOR_WEIGHT = 30.0
    MEMORY = 500.0  # boxes

    def __init__(self, border_sigmas: float) -> None:
        self._border_sigmas = border_sigmas
        self.mean, self.sigma = self.PRIOR_MEAN, self.PRIOR_SIGMA
        self._n = 0.0

    def evidence(self, scores: Array) -> Array:
        """(N,) spreads above the border of scores (N,) in [0, 1]; below 0 speaks against a real object."""
        capped = np.minimum(np.maximum(scores, 1.0 - CAP), CAP)
        capped /= 1.0 - capped
        evidence: Array = np.log(capped, out=capped)  # logits, so far
        evidence *= 1.0 / self.sigma
        evidence += self._border_sigmas - self.mean / self.sigma
        return evidence

    def learn(self, evidence: Array) -> None:
        """Take the evidence (N,) of detections of long tracks into account."""
        n = len(evidence)
        if not n:
            return
        off = (evidence - self._border_sigmas) * self.sigma  # logits less their mean
        add = np.add.reduce  # of few numbers, faster than sum()
        spread = np.minimum(off * off, OUTLIER**2)
        self._n = min(self._n + n, self.MEMORY)
        rate = n / (self._n + self.PRIOR_WEIGHT)
        variance = self.sigma**2 + rate * (float(add(spread)) / n - self.sigma**2)
        self.mean += rate * float(add(off)) / n
        self.sigma = max(variance, MIN_SIGMA**2) ** 0.5

    def save(self) -> list[float]:
        return [self.mean, self.sigma, self._n]

    def restore(self, saved: list[float]) -> None:
        self.mean, self.sigma, self._n = (float(v) for v in saved)
