"""Average precision at IoU 0.5, by class, group and size, with intervals of the bootstrap over pictures.

Detections are matched to true boxes as in COCO (Lin et al., 2014): by falling score, each to the free true
box that it overlaps most; the area under the precision curve, made monotonous, at 101 recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.values import Bools, Floats

MATCH_IOU = 0.5
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}  # pixels, as COCO
RECALLS = np.linspace(0, 1, 101)
ROUNDS = 300

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """One picture and one class: scores (N,), hits (N,), counted (N,) and how many true boxes there are."""

    scores: Floats
    hits: Bools
    counted: Bools
    true: int


def match(
    boxes: Floats, scores: Floats, true: Floats, limits: tuple[float, float] = (0.0, np.inf)
) -> Matched:
    """boxes (N, 4), true (M, 4) xyxy in pixels. True boxes outside the `limits` of area do not count.

    A detection without a partner counts as false only if its own area lies within the limits.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    area = (true[:, 2:] - true[:, :2]).prod(axis=1)
    in_range = (area >= limits[0]) & (area < limits[1])
    own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    counted: Bools = (own >= limits[0]) & (own < limits[1])
    hits = np.zeros(len(boxes), np.bool_)
    free = np.ones(len(true), np.bool_)
    for i, box in enumerate(boxes):
        if not len(true):
            break
        low, high = np.maximum(box[:2], true[:, :2]), np.minimum(box[2:], true[:, 2:])
        inner = (high - low).clip(0).prod(axis=1)
        overlap = np.where(free, inner / (own[i] + area - inner + 1e-9), 0.0)
        # A wanted partner before an unwanted one, as COCO does.
        best = int((overlap + (in_range & (overlap >= MATCH_IOU))).argmax())
        if overlap[best] >= MATCH_IOU:
            free[best] = False
            hits[i], counted[i] = in_range[best], in_range[best]
    return Matched(scores.astype(np.float32), hits, counted, int(in_range.sum()))


def average_precision(parts: Sequence[Matched]) -> float:
    """Over all pictures; not a number where there is no true box."""
    true = sum(part.true for part in parts)
    if not true:
        return float("nan")
    scores = np.concatenate([part.scores[part.counted] for part in parts])
    hits = np.concatenate([part.hits[part.counted] for part in parts])
    if not len(scores):
        return 0.0
    hits = hits[np.argsort(-scores, kind="stable")]
    true_positives = np.cumsum(hits)
    precision = np.maximum.accumulate((true_positives / np.arange(1, len(hits) + 1))[::-1])[::-1]
    where = np.searchsorted(true_positives / true, RECALLS, side="left")
    return float(np.where(where < len(hits), precision[np.minimum(where, len(hits) - 1)], 0.0).mean())


def interval(parts: Sequence[Matched], seed: int = 0, rounds: int = ROUNDS) -> tuple[float, float]:
    """95 % interval of average_precision: pictures drawn with replacement."""
    random = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        chosen = random.integers(0, len(parts), len(parts))
        values.append(average_precision([parts[i] for i in chosen]))
    low, high = np.nanpercentile(values, (2.5, 97.5)) if not np.isnan(values).all() else (np.nan, np.nan)
    return float(low), float(high)


def at_score(parts: Sequence[Matched], score: float) -> tuple[float, float]:
    """(precision, recall) of all detections from `score` on."""
    hits = sum(int((part.hits & (part.scores >= score)).sum()) for part in parts)
    reported = sum(int((part.counted & (part.scores >= score)).sum()) for part in parts)
    true = sum(part.true for part in parts)
    return hits / max(1, reported), hits / max(1, true)


def best_score(parts: Sequence[Matched]) -> float:
    """The score at which the harmonic mean of precision and recall is highest."""
    values = []
    for score in np.arange(0.05, 0.8, 0.01):
        precision, recall = at_score(parts, float(score))
        values.append((2 * precision * recall / max(1e-9, precision + recall), float(score)))
    return round(max(values)[1], 2)
