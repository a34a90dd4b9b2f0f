"""The count's error from the answers: what was seen to be wrong, and what that says of the rest.

- A crossing that was asked about and is none is known: it is taken from the count, and weighs 1.
- A bucket's error (what the person counted less what remains of the count) is weighted by Des Raj's ordered
  estimator for draws without replacement (Raj, JASA 51, 1956; Cochran, Sampling Techniques, 3rd ed., 9A.11):
  the mean over draws k of "the errors found before, and this one over its probability among what was left".
  Each is unbiased whatever the sizes are, so is any number of them, and with all buckets seen it is a count.
  The count being corrected first makes it a difference estimator (Saerndal et al., 1992, 6.3).
- The interval: misses and false counts of what was not seen are taken as weighted Poisson numbers, their mean
  as a gamma distribution with the weighted mean and variance of what was found (Fay and Feuer, Statistics in
  Medicine 16, 1997) and half an error more, of the sample's mean weight (Jeffreys' interval: Brown, Cai and
  DasGupta, Statistica Sinica 13, 2003), so that it is wide where nothing wrong was found in few buckets. The
  errors of one bucket count as one cluster. The number is drawn upon the mean, since it is the number that is
  asked for; with all buckets seen nothing is left to draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.clips.audit.moments import Way

Array = npt.NDArray[np.float64]
LEVEL = 0.9
DRAWS = 10_000  # the ends of an interval move by some 2 % of its width from seed to seed


@dataclass(frozen=True, slots=True)
class BucketAnswer:
    """`counted` is the bucket's count without crossings known to be none. `group` is what it was drawn from:
    its buckets' sizes sum to `group_size`, their number is `group_count`. Answers come in the order drawn."""

    way: Way
    counted: int
    told: int
    size: float
    group: str
    group_size: float
    group_count: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """`low` and `high` hold the true number with 90 %; None where no bucket of it was answered."""

    name: str
    counted: int
    true: float
    low: float | None
    high: float | None
    missed: float
    false: float
    answers: int

    def as_dict(self) -> dict[str, Any]:
        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 2)

        return {
            "name": self.name,
            "counted": self.counted,
            "true": rounded(self.true),
            "low": rounded(self.low),
            "high": rounded(self.high),
            "missed": rounded(self.missed),
            "false": rounded(self.false),
            "missed_share": round(self.missed / self.true, 4) if self.true > 0 else 0.0,
            "false_share": round(self.false / self.counted, 4) if self.counted else 0.0,
            "answers": self.answers,
        }


def weights(answers: Sequence[BucketAnswer]) -> Array:
    """Of each answer's error in the estimate of all errors."""
    found = np.ones(len(answers))
    by_group: dict[str, list[int]] = {}
    for row, answer in enumerate(answers):
        by_group.setdefault(answer.group, []).append(row)
    for rows in by_group.values():
        found[rows] = _raj([answers[row] for row in rows])
    return found


def _raj(answers: Sequence[BucketAnswer]) -> Array:
    n = len(answers)
    if n >= answers[0].group_count:
        return np.ones(n)
    sizes = np.array([answer.size for answer in answers])
    left = answers[0].group_size - np.concatenate(([0.0], np.cumsum(sizes)[:-1]))
    return np.asarray((left / sizes + np.arange(n - 1, -1, -1)) / n)


def estimates(
    counted: Mapping[Way, int],
    known_false: Mapping[Way, int],
    answers: Sequence[BucketAnswer],
    answers_of: Mapping[Way, int],
) -> list[Estimate]:
    """Of every way, and of all together where there are several. `answers_of` counts both kinds."""
    of_weight = weights(answers)
    found, draws = [], []
    for way, count in counted.items():
        rows = [row for row, answer in enumerate(answers) if answer.way == way]
        part = _Part(count, known_false.get(way, 0), [answers[row] for row in rows], of_weight[rows])
        found.append(part.estimate(str(way), answers_of.get(way, 0)))
        draws.append(part.true_draws(np.random.default_rng(0)) if rows else None)
    if len(found) > 1:
        found.append(_sum(found, draws))
    return found


def _sum(parts: Sequence[Estimate], draws: Sequence[Array | None]) -> Estimate:
    low = high = None
    known = [each for each in draws if each is not None]
    if len(known) == len(draws):
        # each was drawn from one seed: put in another order, they are independent
        shuffled = [np.random.default_rng(i + 1).permutation(each) for i, each in enumerate(known)]
        low, high = _ends(np.sum(shuffled, axis=0))
    return Estimate(
        "all",
        sum(p.counted for p in parts),
        sum(p.true for p in parts),
        low,
        high,
        sum(p.missed for p in parts),
        sum(p.false for p in parts),
        sum(p.answers for p in parts),
    )


class _Part:
    """One way's answers."""

    def __init__(
        self, counted: int, known_false: int, answers: Sequence[BucketAnswer], of_weight: Array
    ) -> None:
        self._counted, self._known_false, self._weights = counted, known_false, of_weight
        errors = np.array([answer.told - answer.counted for answer in answers], np.float64)
        self._missed, self._extra = np.maximum(errors, 0), np.maximum(-errors, 0)
        self._sizes = np.array([answer.size for answer in answers])

    def estimate(self, name: str, answers: int) -> Estimate:
        missed = float(self._weights @ self._missed)
        false = self._known_false + float(self._weights @ self._extra)
        low = high = None
        if len(self._sizes):
            low, high = _ends(self.true_draws(np.random.default_rng(0)))
        true = max(0.0, self._counted + missed - false)
        return Estimate(name, self._counted, true, low, high, missed, false, answers)

    def true_draws(self, random: np.random.Generator) -> Array:
        seen = self._counted - self._known_false + self._missed.sum() - self._extra.sum()
        false = np.minimum(self._unseen(self._extra, random), self._counted)
        return np.asarray(np.maximum(seen + self._unseen(self._missed, random) - false, 0.0))

    def _unseen(self, errors: Array, random: np.random.Generator) -> Array:
        """Draws of the number of such errors in what was not asked about."""
        w = self._weights - 1
        another = max(0.0, float(self._sizes @ w / self._sizes.sum()))
        mean, variance = max(0.0, float(w @ errors)), float(w**2 @ errors**2)
        rate = _gamma(mean + another / 2, variance + another**2 / 2, random)
        return random.poisson(rate).astype(np.float64)


def _gamma(mean: float, variance: float, random: np.random.Generator) -> Array:
    if mean <= 0 or variance <= 0:
        return np.zeros(DRAWS)
    return random.gamma(mean**2 / variance, variance / mean, DRAWS)


def _ends(draws: Array) -> tuple[float, float]:
    low, high = np.quantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
