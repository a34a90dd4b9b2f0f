"""How right an action model is: accuracy with its interval, macro F1, per class, events, and calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.values import Floats

Z_95 = 1.959964
TARGET_PRECISION = 0.9  # of a label's events on held-back data, where its threshold is chosen
MIN_THRESHOLD, MAX_THRESHOLD = 0.5, 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """`confusion` (C, C): rows are the truth. `low`, `high`: the 95 % interval of the accuracy (Wilson)."""

    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion) / max(1, self.n))

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(int(np.trace(self.confusion)), self.n)

    def per_class(self) -> list[dict[str, Any]]:
        rows = (np.diag(self.confusion), self.confusion.sum(axis=0), self.confusion.sum(axis=1))
        return [
            _of_class(name, *(int(n) for n in row))
            for name, row in zip(self.labels, np.stack(rows, axis=1), strict=True)
        ]

    @property
    def macro_f1(self) -> float:
        return _macro_f1(self.per_class())

    def to_json(self) -> dict[str, Any]:
        return {**_to_json(self), "confusion": self.confusion.tolist()}

    def __add__(self, other: Score) -> Score:
        return Score(self.labels, self.confusion + other.confusion)


@dataclass(frozen=True, slots=True, eq=False)
class SeveralScore:
    """Of a head whose labels may hold together. `table` (C, 3): for each label right, said and true; `exact`
    of `n` rows have every label right, which is its accuracy."""

    labels: tuple[str, ...]
    table: npt.NDArray[np.int64]
    exact: int
    n: int

    @property
    def accuracy(self) -> float:
        return self.exact / max(1, self.n)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.exact, self.n)

    def per_class(self) -> list[dict[str, Any]]:
        return [_of_class(name, *row) for name, row in zip(self.labels, self.table.tolist(), strict=True)]

    @property
    def macro_f1(self) -> float:
        return _macro_f1(self.per_class())

    def to_json(self) -> dict[str, Any]:
        return _to_json(self)

    def __add__(self, other: SeveralScore) -> SeveralScore:
        return SeveralScore(self.labels, self.table + other.table, self.exact + other.exact, self.n + other.n)


AnyScore = Score | SeveralScore


def _of_class(label: str, hits: int, predicted: int, true: int) -> dict[str, Any]:
    return {
        "label": label,
        "n": true,
        "precision": round(hits / max(1, predicted), 4),
        "recall": round(hits / max(1, true), 4),
        "f1": round(2 * hits / max(1, predicted + true), 4),
    }


def _macro_f1(rows: list[dict[str, Any]]) -> float:
    """The mean F1 of the classes that occur."""
    f1 = [row["f1"] for row in rows if row["n"]]
    return float(np.mean(f1)) if f1 else 0.0


def _to_json(score: AnyScore) -> dict[str, Any]:
    low, high = score.interval
    return {
        "n": score.n,
        "accuracy": round(score.accuracy, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "macro_f1": round(score.macro_f1, 4),
        "classes": score.per_class(),
    }


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, JASA 1927)."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = hits / n, Z_95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def score(labels: tuple[str, ...], probabilities: Floats, targets: Floats) -> Score:
    """(N, C) probabilities and one-hot truth; rows of unknown truth are left out."""
    labelled = np.isfinite(targets).all(axis=1)
    predicted, true = probabilities[labelled].argmax(axis=1), targets[labelled].argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    return Score(labels, confusion)


def score_several(labels: tuple[str, ...], probabilities: Floats, targets: Floats) -> SeveralScore:
    """(N, C) probabilities, each label said from one half on; rows of unknown truth are left out."""
    labelled = np.isfinite(targets).all(axis=1)
    predicted, true = probabilities[labelled] >= 0.5, targets[labelled] > 0.5
    table = np.stack([(predicted & true).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0)], axis=1)
    return SeveralScore(
        labels, table.astype(np.int64), int((predicted == true).all(axis=1).sum()), int(labelled.sum())
    )


def judge(
    labels: tuple[str, ...],
    several: bool,
    probabilities: Floats,
    targets: Floats,
    sequence: npt.NDArray[np.int64],
) -> AnyScore:
    """Windows scored one by one where a sequence's label changes, else sequences by their windows' mean."""
    how = score_several if several else score
    means, index = per_sequence(probabilities, sequence)
    each = [np.nan_to_num(targets[sequence == k], nan=-1.0) for k in index]
    if any(len(np.unique(rows, axis=0)) > 1 for rows in each):
        return how(labels, probabilities, targets)
    return how(labels, means, np.stack([targets[sequence == k][0] for k in index]))


def per_sequence(values: Floats, sequence: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The mean of each sequence's windows (S, C), and which sequences these are (S,)."""
    sequences = np.unique(sequence)
    means = np.stack([values[sequence == k].mean(axis=0) for k in sequences])
    return means.astype(np.float32), sequences


def temperature(logits: Floats, targets: Floats, several: bool) -> float:
    """What logits are divided by so that probabilities are what they say on held-back data (Guo et al., ICML
    2017). Found on a grid, so that it cannot run away."""
    labelled = np.isfinite(targets).all(axis=1)
    if not labelled.any():
        return 1.0
    grid = np.geomspace(0.3, 10.0, 80)
    losses = [log_loss(logits[labelled] / t, targets[labelled], several) for t in grid]
    return float(grid[int(np.argmin(losses))])


def log_loss(logits: Floats, targets: Floats, several: bool) -> float:
    """The mean cross-entropy of (N, C) logits."""
    if several:
        return float(np.mean(np.logaddexp(0, logits) - logits * targets))
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) + top
    return float(-np.mean(((logits - log_sum) * targets).sum(axis=1)))


def thresholds(probabilities: Floats, targets: Floats) -> tuple[float, ...]:
    """For each label the least probability from which it is right often enough on held-back data.

    Among the thresholds that reach the target precision the one with the best F1; where none does, the most
    precise. Of those that are equally good the middle one, and bounded, since held-back sets are small.
    """
    labelled = np.isfinite(targets).all(axis=1)
    chosen = []
    for p, true in zip(probabilities[labelled].T, targets[labelled].T > 0.5, strict=True):
        tried = []
        for t in np.arange(MIN_THRESHOLD, MAX_THRESHOLD + 1e-9, 0.025):
            predicted = p >= t
            hits = int((predicted & true).sum())
            precision = hits / max(1, int(predicted.sum()))
            f1 = 2 * hits / max(1, int(predicted.sum() + true.sum()))
            enough = hits > 0 and precision >= TARGET_PRECISION
            tried.append((enough, f1 if enough else precision * (hits > 0), round(float(t), 3)))
        best = [t for *merit, t in tried if tuple(merit) == max(row[:2] for row in tried)]
        chosen.append(best[len(best) // 2])
    return tuple(chosen)
