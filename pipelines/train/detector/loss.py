"""What training lowers: quality-aware cross entropy for classes, IoU and distributions for boxes.

A teacher's answers, where there are any, are taught cell by cell beside the labels (Hinton et al., arXiv
1503.02531; Beyer et al., arXiv 2106.05237): a cell's target is the greater of its label's and its teacher's.

Class targets are the assigner's qualities (Li et al., Generalized Focal Loss, arXiv 2006.04388; Feng et al.,
TOOD). Boxes: complete IoU (Zheng et al., arXiv 1911.08287) and the distribution focal loss. Cells inside an
area to ignore teach no background for its classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from pipelines.detect.heads.base import STRIDES
from pipelines.detect.heads.yolov8 import BINS
from pipelines.train.detector.label_assignment import Targets, assign, pair_iou

CLASS_GAIN, BOX_GAIN, SHAPE_GAIN = 1.0, 7.5, 1.5
FOCUS = 1.0  # how much less an easy background counts: its weight is score^FOCUS, as in varifocal loss
TAUGHT_FROM = 0.1  # a teacher's score from which its box is taught as well
EPS = 1e-7


class BatchLabels(NamedTuple):
    """A batch's labels: boxes (B, G, 4) in pixels, classes (B, G), -1 for padding; ignored areas likewise.

    ignored_bits (B, I) is a bit mask of classes, 0 for padding. A teacher's answers: taught (B, C, A) scores
    from 0 to 1 and taught_boxes (B, A, 4) in pixels, without cells (A = 0) where there is no teacher.
    """

    boxes: Tensor
    classes: Tensor
    ignored: Tensor
    ignored_bits: Tensor
    taught: Tensor
    taught_boxes: Tensor


class Losses(NamedTuple):
    """Each already weighted: their sum is what is lowered."""

    classes: Tensor
    boxes: Tensor
    shapes: Tensor

    @property
    def total(self) -> Tensor:
        return self.classes + self.boxes + self.shapes


def cell_centres(width: int, height: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Centres (A, 2) in pixels and strides (A,) of all cells of an input of `width` x `height`."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(
            torch.arange(height // stride, device=device),
            torch.arange(width // stride, device=device),
            indexing="ij",
        )
        centres.append((torch.stack((x.flatten(), y.flatten()), 1) + 0.5) * stride)
        strides.append(torch.full((x.numel(),), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def decode(distances: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Distance logits (B, A, 4, BINS) -> boxes (B, A, 4) xyxy in pixels."""
    bins = torch.arange(BINS, dtype=distances.dtype, device=distances.device)
    sides = (distances.softmax(3) @ bins) * strides[:, None]
    return torch.cat((centres - sides[..., :2], centres + sides[..., 2:]), 2)


def detection_loss(logits: Tensor, distances: Tensor, labels: BatchLabels, size: tuple[int, int]) -> Losses:
    """`logits` (B, C, A) and `distances` (B, 4 * BINS, A) as the net gives them, `size` (width, height)."""
    logits, distances = logits.float(), distances.float()
    centres, strides = cell_centres(*size, device=logits.device)
    rows = distances.unflatten(1, (4, BINS)).permute(0, 3, 1, 2)  # (B, A, 4, BINS)
    boxes = decode(rows, centres, strides)
    targets = assign(logits.detach().sigmoid(), boxes.detach(), centres, labels.boxes, labels.classes)
    target_scores, weights = _target_scores(logits, targets, labels, centres)
    total = target_scores.sum().clamp(min=1.0)
    entropy = F.binary_cross_entropy_with_logits(logits, target_scores, reduction="none")
    classes = (entropy * weights).sum() / total * CLASS_GAIN
    b, a, target_boxes, weight = _target_boxes(targets, labels)
    if not len(b):
        nothing = distances.sum() * 0.0
        return Losses(classes, nothing, nothing)
    overlap = ((1.0 - complete_iou(boxes[b, a], target_boxes)) * weight).sum() / total * BOX_GAIN
    sides = (
        torch.cat((centres[a] - target_boxes[:, :2], target_boxes[:, 2:] - centres[a]), 1) / strides[a, None]
    )
    shape = (_distribution_loss(rows[b, a], sides) * weight).sum() / total * SHAPE_GAIN
    return Losses(classes, overlap, shape)


def _target_scores(
    logits: Tensor, targets: Targets, labels: BatchLabels, centres: Tensor
) -> tuple[Tensor, Tensor]:
    """(B, C, A) each: the scores to be given and how much each counts."""
    target_scores = torch.zeros_like(logits)
    b, a = (targets.box >= 0).nonzero(as_tuple=True)
    target_scores[b, labels.classes[b, targets.box[b, a]], a] = targets.quality[b, a]
    labelled = target_scores > 0
    if labels.taught.shape[2]:
        target_scores = torch.maximum(target_scores, labels.taught.to(target_scores.dtype))
    with torch.no_grad():
        error = (logits.sigmoid() - target_scores).abs()
        weights = torch.where(labelled, 1.0, torch.maximum(target_scores, error.pow(FOCUS)))
        unknown = ignored_cells(labels, centres, logits.shape[1]) & (target_scores < TAUGHT_FROM)
        weights = weights.masked_fill_(unknown, 0.0)
    return target_scores, weights


def _target_boxes(targets: Targets, labels: BatchLabels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Picture and cell of each box to be taught, the boxes (N, 4), and their weights (N,)."""
    b, a = (targets.box >= 0).nonzero(as_tuple=True)
    boxes, weight = labels.boxes[b, targets.box[b, a]], targets.quality[b, a]
    if not labels.taught.shape[2]:
        return b, a, boxes, weight
    scores = labels.taught.amax(1)
    more_b, more_a = ((scores >= TAUGHT_FROM) & (targets.box < 0)).nonzero(as_tuple=True)
    return (
        torch.cat((b, more_b)),
        torch.cat((a, more_a)),
        torch.cat((boxes, labels.taught_boxes[more_b, more_a].to(boxes.dtype))),
        torch.cat((weight, scores[more_b, more_a].to(weight.dtype))),
    )


def ignored_cells(labels: BatchLabels, centres: Tensor, classes: int) -> Tensor:
    """(B, C, A) bool: where the centre lies in an area to ignore for this class."""
    batch, count = labels.ignored_bits.shape
    result = torch.zeros(batch, classes, len(centres), dtype=torch.bool, device=centres.device)
    if count == 0:
        return result
    x, y = centres[:, 0], centres[:, 1]
    area = labels.ignored
    inside = (
        (x > area[..., 0:1]) & (x < area[..., 2:3]) & (y > area[..., 1:2]) & (y < area[..., 3:4])
    )  # (B, I, A)
    for c in range(classes):
        meant = (labels.ignored_bits >> c & 1).bool()
        result[:, c] = (inside & meant[..., None]).any(1)
    return result


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """(N,) CIoU of boxes a and b (N, 4) xyxy."""
    iou = pair_iou(a, b)
    low, high = torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])
    diagonal = (high - low).square().sum(1) + EPS
    apart = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).square().sum(1)
    size_a, size_b = (a[:, 2:] - a[:, :2]).clamp(min=EPS), (b[:, 2:] - b[:, :2]).clamp(min=EPS)
    turn = torch.atan(size_b[:, 0] / size_b[:, 1]) - torch.atan(size_a[:, 0] / size_a[:, 1])
    aspect = (4 / math.pi**2) * turn.square()
    with torch.no_grad():
        share = aspect / (1 - iou + aspect + EPS)
    return iou - apart / diagonal - share * aspect


def _distribution_loss(rows: Tensor, sides: Tensor) -> Tensor:
    """rows (N, 4, BINS) logits, sides (N, 4) in strides -> (N,)."""
    sides = sides.clamp(0, BINS - 1.01)
    low = sides.long()
    share = sides - low
    flat = rows.flatten(0, 1)
    left = F.cross_entropy(flat, low.flatten(), reduction="none").view(sides.shape)
    right = F.cross_entropy(flat, (low + 1).flatten(), reduction="none").view(sides.shape)
    return (left * (1 - share) + right * share).mean(1)
