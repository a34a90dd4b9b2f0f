"""Which cells answer for which true box: task-aligned assignment (Feng et al., TOOD, arXiv 2108.07755).

A cell is a candidate for a box when its centre lies in it (small boxes are widened to two cells of the
finest grid, else they might hold no centre at all). Of the candidates the TOP_K with the highest
score^ALPHA * IoU^BETA answer for it; a cell claimed by several boxes takes the one it overlaps most.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TOP_K, ALPHA, BETA = 10, 0.5, 6.0
MIN_SIDE = 16.0  # pixels of the input
EPS = 1e-9


class Targets(NamedTuple):
    """For each cell: `box` (B, A) index of its true box or -1; `quality` (B, A) its soft target, 0 to 1."""

    box: Tensor
    quality: Tensor


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes a (..., 4) and b (..., 4), xyxy, pair by pair."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inner = (high - low).clamp_(min=0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return inner / (area - inner + EPS)


@torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
def assign(scores: Tensor, boxes: Tensor, centres: Tensor, true: Tensor, classes: Tensor) -> Targets:
    """scores (B, C, A) from 0 to 1; boxes (B, A, 4) and centres (A, 2) in pixels of the input.

    true (B, G, 4) and classes (B, G) int64, padded with class -1.
    """
    batch, cells = boxes.shape[:2]
    count = true.shape[1]
    if count == 0:
        empty = torch.full((batch, cells), -1, dtype=torch.int64, device=boxes.device)
        return Targets(empty, torch.zeros(batch, cells, device=boxes.device))
    b, g, a = _candidates(centres, true, classes)
    iou = pair_iou(boxes[b, a], true[b, g])
    score = scores[b, classes[b, g], a]
    metric = torch.zeros(batch, count, cells, device=boxes.device)
    overlap = torch.zeros_like(metric)
    metric[b, g, a] = score.clamp(min=0).pow(ALPHA) * iou.pow(BETA) + EPS  # EPS: a candidate, if a bad one
    overlap[b, g, a] = iou
    chosen = _top(metric)
    return _resolve(chosen, metric, overlap)


def _candidates(centres: Tensor, true: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    middle, half = (true[..., :2] + true[..., 2:]) / 2, (true[..., 2:] - true[..., :2]) / 2
    half = half.clamp(min=MIN_SIDE / 2)
    x, y = centres[:, 0], centres[:, 1]
    inside = (x - middle[..., 0:1]).abs() < half[..., 0:1]
    inside &= (y - middle[..., 1:2]).abs() < half[..., 1:2]
    inside &= (classes >= 0)[..., None]
    b, g, a = inside.nonzero(as_tuple=True)
    return b, g, a


def _top(metric: Tensor) -> Tensor:
    """(B, G, A) bool: the TOP_K best candidates of each box."""
    best, where = metric.topk(min(TOP_K, metric.shape[2]), dim=2)
    return torch.zeros_like(metric, dtype=torch.bool).scatter_(2, where, best > 0)


def _resolve(chosen: Tensor, metric: Tensor, overlap: Tensor) -> Targets:
    value, owner = torch.where(chosen, overlap, -1.0).max(dim=1)  # (B, A)
    owner = torch.where(value >= 0, owner, -1)
    held = torch.zeros_like(chosen).scatter_(1, owner.clamp(min=0)[:, None], (owner >= 0)[:, None])
    metric = metric * held
    best_metric = metric.amax(2, keepdim=True)
    best_overlap = (overlap * held).amax(2, keepdim=True)
    quality = (metric / (best_metric + EPS) * best_overlap).amax(1)
    return Targets(owner, quality)
