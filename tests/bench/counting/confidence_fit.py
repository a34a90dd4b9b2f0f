"""Fits what pipelines/count/confidence.py computes: a ridge logistic regression, and an interval's moments.

The regression by Newton's method (iteratively reweighted least squares). The interval's moments by the
likelihood of the logarithm of the true count over the count, found by a pattern search (Hooke and Jeeves,
1961); its ends are then set so that so many buckets lie below and above as were asked for, whole numbers
and all (split conformal prediction, Vovk et al., 2005, with the fitting buckets as calibration).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipelines.count.confidence import HALF, RANGES, ConfidenceModel, IntervalModel, Tally

Array = npt.NDArray[np.float64]

RIDGE = 5.0  # of the weights of standardised signs
ROUNDS = 30
TAIL = 0.05  # of the buckets on either side of the interval
STEP, MIN_STEP = 0.3, 0.003
MAX_ENDS = 6.0  # deviations


def fit_confidence(values: Array, right: Array) -> ConfidenceModel:
    """Of the signs (N, len(RANGES)) and whether each was right (N,). What is not known counts as usual."""
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-9
    table = np.nan_to_num((values - mean) / spread)
    table = np.column_stack([np.ones(len(table)), table])
    weights = _logistic_regression(table, right)
    signs = {name: (float(mean[i]), float(spread[i]), float(weights[i + 1])) for i, name in enumerate(RANGES)}
    return ConfidenceModel(float(weights[0]), signs)


def _logistic_regression(table: Array, right: Array) -> Array:
    ridge = np.eye(table.shape[1]) * RIDGE
    ridge[0, 0] = 1e-6
    weights: Array = np.zeros(table.shape[1])
    for _ in range(ROUNDS):
        share = 1 / (1 + np.exp(-table @ weights))
        curve = (table * (share * (1 - share))[:, None]).T @ table + ridge
        weights = weights + np.linalg.solve(curve, table.T @ (right - share) - ridge @ weights)
    return weights


# ---- the interval

Bucket = tuple[Tally, int]  # and its true count


def fit_interval(buckets: Sequence[Bucket]) -> IntervalModel:
    right, crossings = (sum(t.right for t, _ in buckets), sum(t.crossings for t, _ in buckets))
    centre = float(np.log(right / (crossings - right)))
    start = [0.1, -0.1, np.log(0.5), np.log(0.2), -0.2]
    likelihood = _Likelihood(buckets, centre)
    missed, missed_slope, counting, scene, scene_slope = _search(likelihood, start)
    model = IntervalModel(
        centre, missed, missed_slope, float(np.exp(counting)), scene, scene_slope, 1.645, 1.645
    )
    return _with_ends(model, buckets)


class _Likelihood:
    """Twice the negative logarithm of the normal likelihood, as a function of the parameters."""

    def __init__(self, buckets: Sequence[Bucket], centre: float) -> None:
        unit = IntervalModel(centre, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)
        self.n = np.array([t.crossings for t, _ in buckets], np.float64)
        self.x = np.array([unit.moments(t)[0] for t, _ in buckets])
        true = np.array([count for _, count in buckets], np.float64)
        self.ratio = np.log((true + HALF) / (self.n + HALF))

    def __call__(self, parameters: Sequence[float]) -> float:
        missed, missed_slope, counting, scene, scene_slope = parameters
        exponent = np.clip(2 * (scene + scene_slope * self.x), -20.0, 5.0)
        variance = np.exp(counting) / (self.n + HALF) + np.exp(exponent)
        error = self.ratio - missed - missed_slope * self.x
        return float((np.log(variance) + error**2 / variance).sum())


def _search(cost: Callable[[Sequence[float]], float], start: Sequence[float]) -> list[float]:
    best, at, step = cost(start), list(start), STEP
    while step > MIN_STEP:
        moved = False
        for i in range(len(at)):
            for way in (step, -step):
                there = [*at[:i], at[i] + way, *at[i + 1 :]]
                if (found := cost(there)) < best:
                    best, at, moved = found, there, True
        step = step if moved else step / 2
    return at


def _with_ends(model: IntervalModel, buckets: Sequence[Bucket]) -> IntervalModel:
    """The least deviations at which no more than TAIL of the buckets lie below, and above."""
    moments = np.array([model.moments(tally) for tally, _ in buckets])
    n = np.array([tally.crossings for tally, _ in buckets], np.float64)
    true = np.array([count for _, count in buckets], np.float64)
    below = _bisect(lambda ends: _outside(replace(model, below=ends), moments, n, true)[0] <= TAIL)
    above = _bisect(lambda ends: _outside(replace(model, above=ends), moments, n, true)[1] <= TAIL)
    return replace(model, below=below, above=above)


def _bisect(enough: Callable[[float], bool]) -> float:
    low, high = 0.0, MAX_ENDS
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _outside(model: IntervalModel, moments: Array, n: Array, true: Array) -> tuple[float, float]:
    """The shares of buckets whose true count lies below, and above, IntervalModel.interval of each alone."""
    likely, deviation = (n + HALF) * np.exp(moments[:, 0]), moments[:, 1]
    low = np.rint(likely * np.exp(-model.below * deviation) - HALF)
    high = np.rint(likely * np.exp(model.above * deviation) - HALF)
    return float((true < low).mean()), float((true > high).mean())
