"""How right an action model is: accuracy with its interval, macro F1, per class, events, and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.values import Floats

Z_95 = 1.959964
TARGET_PRECISION = 0.9  # of a label's events on held-back data, where its threshold is chosen
LEAST_THRESHOLD, MOST_THRESHOLD = 0.5, 0.95


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
        hits = np.diag(self.confusion)
        told, true = self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        rows = []
        for i, label in enumerate(self.labels):
            precision = hits[i] / told[i] if told[i] else 0.0
            recall = hits[i] / true[i] if true[i] else 0.0
            both = precision + recall
            f1 = 2 * precision * recall / both if both else 0.0
            rows.append(
                {
                    "label": label,
                    "n": int(true[i]),
                    "precision": round(float(precision), 4),
                    "recall": round(float(recall), 4),
                    "f1": round(float(f1), 4),
                }
            )
        return rows

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that occur."""
        found = [row["f1"] for row in self.per_class() if row["n"]]
        return float(np.mean(found)) if found else 0.0

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "n": self.n,
            "accuracy": round(self.accuracy, 4),
            "interval_95": [round(low, 4), round(high, 4)],
            "macro_f1": round(self.macro_f1, 4),
            "classes": self.per_class(),
            "confusion": self.confusion.tolist(),
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
    known = np.isfinite(targets).all(axis=1)
    told, true = probabilities[known].argmax(axis=1), targets[known].argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (true, told), 1)
    return Score(labels, confusion)


def per_sequence(values: Floats, sequence: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The mean of each sequence's windows (S, C), and which sequences these are (S,)."""
    known = np.unique(sequence)
    means = np.stack([values[sequence == k].mean(axis=0) for k in known])
    return means.astype(np.float32), known


def temperature(logits: Floats, targets: Floats, several: bool) -> float:
    """What logits are divided by so that probabilities are what they say on held-back data (Guo et al., ICML
    2017). Found on a grid, so that it cannot run away."""
    known = np.isfinite(targets).all(axis=1)
    if not known.any():
        return 1.0
    grid = np.geomspace(0.3, 10.0, 80)
    losses = [_log_loss(logits[known] / t, targets[known], several) for t in grid]
    return float(grid[int(np.argmin(losses))])


def _log_loss(logits: Floats, targets: Floats, several: bool) -> float:
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
    known = np.isfinite(targets).all(axis=1)
    found = []
    for p, true in zip(probabilities[known].T, targets[known].T > 0.5, strict=True):
        tried = []
        for t in np.arange(LEAST_THRESHOLD, MOST_THRESHOLD + 1e-9, 0.025):
            told = p >= t
            hits = int((told & true).sum())
            precision = hits / max(1, int(told.sum()))
            f1 = 2 * hits / max(1, int(told.sum() + true.sum()))
            enough = hits > 0 and precision >= TARGET_PRECISION
            tried.append((enough, f1 if enough else precision * (hits > 0), round(float(t), 3)))
        best = [t for *merit, t in tried if tuple(merit) == max(row[:2] for row in tried)]
        found.append(best[len(best) // 2])
    return tuple(found)


def match_events(
    found_s: Sequence[tuple[float, float]], true_s: Sequence[tuple[float, float]], slack_s: float = 0.5
) -> tuple[int, int]:
    """(true events that were found, found ones that meet no true event). Each by overlap, with `slack_s`."""

    def meet(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] <= b[1] + slack_s and b[0] <= a[1] + slack_s

    hits = sum(any(meet(f, t) for f in found_s) for t in true_s)
    return hits, sum(not any(meet(f, t) for t in true_s) for f in found_s)
