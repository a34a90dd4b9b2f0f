"""From a head's coefficients and prototypes to masks in the picture's places."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from pipelines.detect.letterbox import LetterboxPlacement
from pipelines.instance_masks import InstanceMasks
from pipelines.values import Floats


def masks_in_picture(
    coefficients: Floats,
    prototypes: Floats,
    boxes_xyxyn: Floats,
    placement: LetterboxPlacement,
    size: tuple[int, int],
) -> InstanceMasks:
    """Of coefficients (N, M) and prototypes (M, h, w), which cover an input of `size` (width, height) in
    pixels, and boxes in shares of the picture, which lies at `placement` in it.

    The prototypes are copied, since engines use their memory again, and without the border around the
    picture. An object whose coefficients are not all finite has no mask; nobody has one where a prototype is
    not.
    """
    wide, high = prototypes.shape[2] / size[0], prototypes.shape[1] / size[1]  # cells a pixel
    left, top = floor(placement.left * wide), floor(placement.top * high)
    right = ceil((placement.left + placement.width) * wide)
    bottom = ceil((placement.top + placement.height) * high)
    shown = np.array(prototypes[:, top : max(bottom, top + 1), left : max(right, left + 1)], np.float32)
    kept = np.array(coefficients, np.float32)
    kept[~np.isfinite(kept).all(axis=1)] = 0.0
    if not np.isfinite(shown).all():
        kept[:], shown[:] = 0.0, 0.0
    return InstanceMasks(
        kept,
        shown,
        boxes_xyxyn,
        (placement.left * wide - left, placement.top * high - top),
        (placement.width * wide, placement.height * high),
    )
