"""Masks of a frame's objects as nets give them: a few coefficients an object, and prototypes that all share.

A mask is where the object's coefficients times the prototypes are above 0 (their sigmoid above a half),
within its box; it becomes a picture only when it is asked for. Source: Bolya et al., "YOLACT: Real-time
Instance Segmentation", arXiv 1904.02689; enlarged before it is cut, as Ultralytics' `process_mask_native`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Pair = tuple[float, float]


class MaskPatch(NamedTuple):
    """The part of a mask that may hold anything: `inside` (h, w) bool, whose first pixel is at `left`, `top`
    of the picture. h and w are 0 where the box touches no pixel."""

    left: int
    top: int
    inside: Bools


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMasks:
    """The masks of the N objects of a frame, in the order of their boxes.

    coefficients (N, M) float32, all finite; all 0: the net gave no mask of this object. prototypes (M, h, w)
    float32, all finite. boxes_xyxyn (N, 4) float32, normalised to the picture: a mask ends at its box. The
    picture's corners 0 and 1 lie in the prototypes at `offset` and `offset + scale` (x, y), in cells.

    Raises ValueError at birth where the shapes do not fit.
    """

    coefficients: Floats
    prototypes: Floats
    boxes_xyxyn: Floats
    offset: Pair
    scale: Pair

    def __post_init__(self) -> None:
        count, numbers = self.coefficients.shape if self.coefficients.ndim == 2 else (-1, -1)
        if self.prototypes.ndim != 3 or len(self.prototypes) != numbers or not self.prototypes[:1].size:
            shapes = f"coefficients {self.coefficients.shape} and prototypes {self.prototypes.shape}"
            raise ValueError(f"masks: {shapes}, where (N, M) and (M, h, w) are expected")
        if self.boxes_xyxyn.shape != (count, 4):
            raise ValueError(f"masks: {count} of them, but boxes {self.boxes_xyxyn.shape}")
        if min(self.scale) <= 0:
            raise ValueError(f"masks: a picture of {self.scale} cells")

    def __len__(self) -> int:
        return len(self.coefficients)

    def take(self, index: npt.NDArray[Any]) -> InstanceMasks:
        """Those that `index` (a mask or positions) names, in its order; the prototypes are shared."""
        return replace(self, coefficients=self.coefficients[index], boxes_xyxyn=self.boxes_xyxyn[index])

    def is_known(self, index: int) -> bool:
        """Whether the net gave a mask of this object."""
        return bool(self.coefficients[index].any())

    def placed(self, scale: Floats, offset: Floats) -> InstanceMasks:
        """The same in a larger picture, in which this one's corners lie at `offset` and `offset + scale`,
        (2,) each, in shares of the larger one."""
        cells = [mine / float(its) for mine, its in zip(self.scale, scale, strict=True)]
        first = [o - c * float(its) for o, c, its in zip(self.offset, cells, offset, strict=True)]
        boxes = self.boxes_xyxyn * np.tile(scale, 2) + np.tile(offset, 2)
        return replace(self, boxes_xyxyn=boxes, offset=(first[0], first[1]), scale=(cells[0], cells[1]))

    def cell_pixels(self, width: int, height: int) -> float:
        """The longer side of a cell, in pixels of a picture of this size: how fine the masks are."""
        return max(width / self.scale[0], height / self.scale[1])

    def raster(self, index: int, width: int, height: int) -> Bools:
        """(height, width) bool: the mask of one object in a picture of this size."""
        picture = np.zeros((height, width), np.bool_)
        left, top, inside = self.patch(index, width, height)
        picture[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return picture

    def patch(self, index: int, width: int, height: int) -> MaskPatch:
        """The same within the object's box alone, which costs far less."""
        size = np.array([width, height] * 2)
        edges = np.ceil(self.boxes_xyxyn[index] * size).clip(0, size).astype(int)
        left, top, right, bottom = edges.tolist()
        if right <= left or bottom <= top:
            return MaskPatch(left, top, np.zeros((0, 0), np.bool_))
        rows = self._samples(1, top, bottom, height)
        columns = self._samples(0, left, right, width)
        return MaskPatch(left, top, self._evidence(index, rows, columns) > 0)

    def _samples(self, axis: int, first: int, last: int, size: int) -> _Samples:
        """Between which cells pixels `first` to `last` of `size` lie along x (0) or y (1)."""
        cells = self.prototypes.shape[2 - axis]
        places = (np.arange(first, last) + 0.5) / size
        at = (self.offset[axis] + self.scale[axis] * places - 0.5).clip(0, cells - 1)
        low = np.floor(at).astype(int)
        return _Samples(low, np.minimum(low + 1, cells - 1), (at - low).astype(np.float32))

    def _evidence(self, index: int, rows: _Samples, columns: _Samples) -> Floats:
        """(rows, columns) of the sum of prototypes, bilinear between the cells."""
        top, left = rows.low[0], columns.low[0]
        near = self.prototypes[:, top : rows.high[-1] + 1, left : columns.high[-1] + 1]
        with np.errstate(over="ignore", invalid="ignore"):  # of absurd weights: NaN is not above 0
            coarse = np.tensordot(self.coefficients[index], near, 1)
            across = columns.between(coarse, left, 1)
            return np.asarray(rows.between(across, top, 0), np.float32)


class _Samples(NamedTuple):
    """Of each pixel along an axis the cell before it, the one behind it, and how far it lies between them."""

    low: npt.NDArray[np.int_]
    high: npt.NDArray[np.int_]
    share: Floats

    def between(self, values: Floats, first: int, axis: int) -> Floats:
        """`values` begin with cell `first` along `axis`."""
        share = self.share[:, None] if axis == 0 else self.share
        low, high = values.take(self.low - first, axis), values.take(self.high - first, axis)
        return np.asarray(low * (1 - share) + high * share)
