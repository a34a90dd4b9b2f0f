"""From a net's raw answer to suppressed boxes, on the device that computed it.

The same decoding as heads/yolov8.py and the same greedy suppression as nms.py, for a whole batch at once and
without a loop over boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

# A row of a table of boxes, float32:
#
# | column | unit | meaning |
# |---|---|---|
# | 0 to 3 | pixels of the input | x1, y1, x2, y2 of the box |
# | 4 | 0 to 1 | score |
# | 5 | class id | the class of that score |
# | 6 | 0 or 1 | 1: suppression kept it |
COLUMNS = 7


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the cells of a net lie: centres (cells,) in strides, and the stride of each in pixels."""

    x: Any
    y: Any
    stride: Any

    @classmethod
    def of(cls, width: int, height: int, strides: tuple[float, ...], device: Any) -> Cells:
        xs, ys, ss = [], [], []
        for stride in strides:
            rows, columns = math.ceil(height / stride), math.ceil(width / stride)
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            xs.append(x.flatten() + 0.5)
            ys.append(y.flatten() + 0.5)
            ss.append(torch.full((rows * columns,), stride))
        x, y, s = (torch.cat(part).to(device, torch.float32) for part in (xs, ys, ss))
        return cls(x, y, s)


def best_boxes(
    sides: Any,
    logits: Any,
    cells: Cells,
    group_ids: Any,
    *,
    min_score: float,
    nms_iou: float,
    max_boxes: int,
    rounds: int | None = None,
) -> Any:
    """(B, K, COLUMNS) float32, highest score first.

    sides (B, 4 * bins, cells) and logits (B, classes, cells) as the net gives them; group_ids (classes,). K
    is the greatest number of boxes at `min_score` in a frame, at most `max_boxes`; with `rounds` it is
    `max_boxes`, and suppression takes that many rounds: nothing then waits for the device.
    """
    top, ids = logits.max(1)
    floor = math.log(min_score / (1 - min_score)) if 0 < min_score < 1 else -math.inf
    if rounds is None:
        count = int((top >= floor).sum(1).max()) if not bool(top.isnan().any()) else 1
        max_boxes = min(max_boxes, max(1, count))
    top, at = top.topk(min(max_boxes, top.shape[1]), dim=1)
    ids = ids.gather(1, at)
    boxes = _decode(sides, at, cells)
    top = top.float()
    good = top >= floor
    spread = boxes.double() if boxes.device.type != "mps" else boxes
    extent = spread.amax((1, 2), keepdim=True) - spread.amin((1, 2), keepdim=True) + 1
    shifted = spread + (group_ids[ids] * extent[..., 0])[..., None]  # boxes of two groups never overlap
    kept = suppress(shifted, good, nms_iou, rounds)
    columns = (boxes, top.sigmoid()[..., None], ids.float()[..., None], kept.float()[..., None])
    return torch.cat(columns, 2)


def _decode(sides: Any, at: Any, cells: Cells) -> Any:
    """(B, K, 4) pixels of the cells `at` (B, K): each side is the mean of a distribution over whole strides.

    A single bin is the distance itself (Ultralytics' nets without DFL).
    """
    batch, rows, _ = sides.shape
    picked = sides.gather(2, at[:, None].expand(-1, rows, -1)).float()  # (B, 4 * bins, K)
    picked = picked.view(batch, 4, rows // 4, -1)
    if rows > 4:
        bins = torch.arange(rows // 4, device=sides.device, dtype=torch.float32)
        picked = (picked.softmax(2) * bins[:, None]).sum(2, keepdim=True)
    left, top, right, bottom = picked[:, :, 0].unbind(1)
    x, y, stride = cells.x[at], cells.y[at], cells.stride[at]
    return torch.stack((x - left, y - top, x + right, y + bottom), 2) * stride[..., None]


def suppress(boxes: Any, good: Any, iou: float, rounds: int | None) -> Any:
    """(B, K) bool: greedy non-maximum suppression of (B, K, 4) boxes in falling order of score.

    Each round tells every box whether a kept one above it covers it. A box is settled one round after the
    last above it that matters, so the rounds end at what going through them one by one gives; a fixed number
    cuts chains that are longer.
    """
    x1, y1, x2, y2 = boxes.unbind(2)
    area = (x2 - x1) * (y2 - y1)
    wide = torch.minimum(x2[:, :, None], x2[:, None]) - torch.maximum(x1[:, :, None], x1[:, None])
    high = torch.minimum(y2[:, :, None], y2[:, None]) - torch.maximum(y1[:, :, None], y1[:, None])
    inner = wide.clamp_(min=0) * high.clamp_(min=0)
    over = (inner > iou * (area[:, :, None] + area[:, None] - inner)).triu(1)  # over[i, j]: i stands above j
    kept = good
    for _ in range(boxes.shape[1] if rounds is None else rounds):
        after = good & ~(over & kept[:, :, None]).any(1)
        if rounds is None and torch.equal(after, kept):
            break
        kept = after
    return kept
