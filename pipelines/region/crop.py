"""A part of a frame for the detector, without a copy, and what it finds there in shares of the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipelines.region.spec import Box
from pipelines.values import Detections, FeatureMaps, Floats, Frame, Image


class PictureShape(NamedTuple):
    """Pixels of a picture, or of a part of a `whole` one whose scale it keeps."""

    width: int
    height: int
    whole: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels `left` to `right` and `top` to `bottom` of a picture of `width` by `height`.

    `zoom`: the detector may enlarge it to its usual input; else it keeps the scale that it has in the whole.
    """

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int
    zoom: bool = False

    @classmethod
    def of(cls, box: Box, image: Image, zoom: bool = False) -> Crop:
        """The whole pixels that a rectangle (shares of the picture) touches."""
        return cls.sized(box, image.shape[1], image.shape[0], zoom)

    @classmethod
    def sized(cls, box: Box, width: int, height: int, zoom: bool = False) -> Crop:
        """Likewise, of a picture of so many pixels."""
        left, top = math.floor(box[0] * width + _SLIP), math.floor(box[1] * height + _SLIP)
        right, bottom = math.ceil(box[2] * width - _SLIP), math.ceil(box[3] * height - _SLIP)
        return cls(left, top, max(right, left + 1), max(bottom, top + 1), width, height, zoom)

    def cut(self, frame: Frame) -> Frame:
        """The frame of this part alone: a view of its picture."""
        part = frame.image[self.top : self.bottom, self.left : self.right]
        return Frame(frame.stamp, part, self.shape.whole)

    @property
    def shape(self) -> PictureShape:
        whole = None if self.zoom else (self.width, self.height)
        return PictureShape(self.right - self.left, self.bottom - self.top, whole)

    def place(self, found: Detections) -> Detections:
        """What was found in the part, in shares of the whole picture."""
        if not len(found) and found.low_confidence is None and found.maps is None:
            return found
        scale, offset = self._scale, self._offset
        joints = found.keypoints
        if joints is not None:
            joints = joints.copy()
            joints[..., :2] = joints[..., :2] * scale + offset
        return replace(
            found,
            boxes_xyxyn=found.boxes_xyxyn * np.tile(scale, 2) + np.tile(offset, 2),
            keypoints=joints,
            masks=None if found.masks is None else found.masks.placed(scale, offset),
            maps=None if found.maps is None else self._place_maps(found.maps),
            low_confidence=None if found.low_confidence is None else self.place(found.low_confidence),
        )

    def _place_maps(self, maps: FeatureMaps) -> FeatureMaps:
        """The whole picture's corners in the detector's input; they lie outside of it."""
        scale_x, scale_y = (maps.scale[i] / float(self._scale[i]) for i in (0, 1))
        return replace(
            maps,
            offset=(
                maps.offset[0] - scale_x * float(self._offset[0]),
                maps.offset[1] - scale_y * float(self._offset[1]),
            ),
            scale=(scale_x, scale_y),
        )

    @property
    def _scale(self) -> Floats:
        size = ((self.right - self.left) / self.width, (self.bottom - self.top) / self.height)
        return np.array(size, np.float32)

    @property
    def _offset(self) -> Floats:
        return np.array((self.left / self.width, self.top / self.height), np.float32)


_SLIP = 1e-6  # of a pixel: 0.1 * 640 is 64 pixels, whatever floats make of it
