"""Fits what pipelines/count/confidence.py computes: a ridge logistic regression, and an interval's moments.

The regression by Newton's method (iteratively reweighted least squares). The interval's moments by the
likelihood of the logarithm of the true count over the count, found by a pattern search (Hooke and Jeeves,
1961); its ends are then set so that so many buckets lie below and above as were asked for, whole numbers
and all (split conformal prediction, Vovk et al., 2005, with the fitting buckets as calibration).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipelines.count.confidence import (
    RANGES,
    CountInterval,
    IntervalModel,
    LinearModel,
    Tally,
)
from pipelines.count.scene_error import HALF

Array = npt.NDArray[np.float64]

RIDGE = 5.0  # of the weights of standardised signs
RIDGE_UNSEEN = 0.05  # likewise, as a share of the observations
ROUNDS = 30
TAIL = 0.05  # of the buckets on either side of the interval
STEP, MIN_STEP = 0.3, 0.003
MAX_ENDS = 6.0  # deviations
START_WITHIN = (-1.2, -2.3)
START = (0.2, 1.0, -0.7, -1.6, 0.5)


def fit_right(values: Array, right: Array, weights: Array) -> LinearModel:
    """Of the signs (N, len(RANGES)), whether each was right (N,) and how much it matters (N,). What is not
    known counts as usual."""
    table, mean, spread = _standardised(values)
    return _linear(_logistic_regression(table, right, weights), mean, spread)


def fit_unseen(values: Array, ratio: Array, weights: Array) -> LinearModel:
    """Of the mean signs of watches (N, len(RANGES)) and the logarithm of their true count over the count
    (N,), by ridge regression."""
    table, mean, spread = _standardised(values)
    ridge = np.eye(table.shape[1]) * RIDGE_UNSEEN * weights.sum()
    ridge[0, 0] = 0.0
    weighted = table * weights[:, None]
    return _linear(np.linalg.solve(weighted.T @ table + ridge, weighted.T @ ratio), mean, spread)


def _standardised(values: Array) -> tuple[Array, Array, Array]:
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-9
    table = np.nan_to_num((values - mean) / spread)
    return np.column_stack([np.ones(len(table)), table]), mean, spread


def _linear(slopes: Array, mean: Array, spread: Array) -> LinearModel:
    signs = {name: (float(mean[i]), float(spread[i]), float(slopes[i + 1])) for i, name in enumerate(RANGES)}
    return LinearModel(float(slopes[0]), signs)


def _logistic_regression(table: Array, right: Array, weights: Array) -> Array:
    ridge = np.eye(table.shape[1]) * RIDGE
    ridge[0, 0] = 1e-6
    slopes: Array = np.zeros(table.shape[1])
    for _ in range(ROUNDS):
        share = 1 / (1 + np.exp(-table @ slopes))
        curve = (table * (weights * share * (1 - share))[:, None]).T @ table + ridge
        slopes = slopes + np.linalg.solve(curve, table.T @ (weights * (right - share)) - ridge @ slopes)
    return slopes


# ---- the interval

Bucket = tuple[Tally, int, float]  # its true count, and how much it matters


@dataclass(frozen=True, slots=True)
class Pair:
    """Two counts of one scene at different times, each with its true one, and how much they matter."""

    moving: bool
    counted: tuple[int, int]
    true: tuple[int, int]
    weight: float


def fit_interval(buckets: Sequence[Bucket], pairs: Sequence[Pair]) -> CountInterval:
    """Of fixed and of moving views, each by its own buckets and pairs."""
    models = []
    for moves in (False, True):
        of_view = [bucket for bucket in buckets if bool(bucket[0].moving) == moves]
        within, drift = _fit_within([pair for pair in pairs if pair.moving == moves])
        models.append(replace(_fit_moments(of_view), within=within, drift=drift))
    return CountInterval(*models)


def _fit_within(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Of the difference of a pair's logarithms, by likelihood: the variance of counting, and what is beside
    it."""
    counted, true = (np.array([getattr(pair, name) for pair in pairs]) + HALF for name in ("counted", "true"))
    weights, inverse = np.array([pair.weight for pair in pairs]), (1 / counted).sum(axis=1)
    ratio = np.log(true / counted)
    squared = (ratio[:, 1] - ratio[:, 0]) ** 2

    def cost(parameters: Sequence[float]) -> float:
        within, drift = parameters
        variance = np.exp(np.clip(within, -20, 5)) * inverse + np.exp(np.clip(2 * drift, -20, 5))
        return float(weights @ (np.log(variance) + squared / variance))

    within, drift = _search(cost, START_WITHIN)
    return float(np.exp(within)), float(np.exp(drift))


def _fit_moments(buckets: Sequence[Bucket]) -> IntervalModel:
    seen, stand_for = (sum(t.crossings for t, *_ in buckets), sum(t.stands_for for t, *_ in buckets))
    centre = float(np.log(stand_for / seen))
    found = _search(_Likelihood(buckets, centre), START)
    missed, missed_slope, counting, scene, scene_slope = map(float, found)
    ends = (1.645, 1.645, 0.0, 0.0)
    model = IntervalModel(centre, missed, missed_slope, float(np.exp(counting)), scene, scene_slope, *ends)
    return _with_ends(model, buckets)


class _Likelihood:
    """Twice the negative logarithm of the normal likelihood, as a function of the parameters."""

    def __init__(self, buckets: Sequence[Bucket], centre: float) -> None:
        unit = IntervalModel(centre, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
        self.n, true, self.weights = np.array([(t.crossings, count, w) for t, count, w in buckets]).T
        self.x = np.array([unit.moments(t)[0] for t, *_ in buckets])
        self.ratio = np.log((true + HALF) / (self.n + HALF))

    def __call__(self, parameters: Sequence[float]) -> float:
        missed, missed_slope, counting, scene, scene_slope = parameters
        exponent = np.clip(2 * (scene + scene_slope * self.x), -20.0, 5.0)
        variance = np.exp(counting) / (self.n + HALF) + np.exp(exponent)
        error = self.ratio - missed - missed_slope * self.x
        return float(self.weights @ (np.log(variance) + error**2 / variance))


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
    below = _bisect(lambda ends: _outside(replace(model, below=ends), buckets)[0] <= TAIL)
    above = _bisect(lambda ends: _outside(replace(model, above=ends), buckets)[1] <= TAIL)
    return replace(model, below=below, above=above)


def _bisect(enough: Callable[[float], bool]) -> float:
    low, high = 0.0, MAX_ENDS
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _outside(model: IntervalModel, buckets: Sequence[Bucket]) -> tuple[float, float]:
    """The shares of buckets whose true count lies below, and above, CountInterval.interval of each alone."""
    n, true, weights = np.array([(t.crossings, count, weight) for t, count, weight in buckets]).T
    mean, deviation = np.array([model.moments(tally) for tally, *_ in buckets]).T
    likely = (n + HALF) * np.exp(mean)
    low = np.rint(likely * np.exp(-model.below * deviation) - HALF)
    high = np.rint(likely * np.exp(model.above * deviation) - HALF)
    return float(weights @ (true < low) / weights.sum()), float(weights @ (true > high) / weights.sum())
