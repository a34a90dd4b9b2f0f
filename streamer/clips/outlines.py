"""Where somebody is in a picture, by the mask of the net that found them, ready to be hidden or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from pipelines.instance_masks import InstanceMasks
from pipelines.values import Bools, Image

MIN_SHARE = 0.15  # of its box: a mask that covers less has missed most of whom it is of
GROWN = 0.06  # of the shorter side of the box, all around the mask: a hand is half of it
MIN_GROWN = 3.0  # pixels

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """`inside` (h, w) bool, whose first pixel is at `left`, `top` of the picture; `fineness`: pixels of the
    picture that one cell of the mask has."""

    left: int
    top: int
    inside: Bools
    fineness: float


def outline_of(masks: InstanceMasks, index: int, width: int, height: int) -> Outline | None:
    """Of one object in a picture of `width` by `height` pixels; None where its mask is not to be relied on:
    the net gave none, or it is nearly empty."""
    if not masks.is_known(index):
        return None
    left, top, inside = masks.patch(index, width, height)
    if not inside.size or inside.mean() < MIN_SHARE:
        return None
    return Outline(left, top, inside, masks.cell_pixels(width, height))


def moved(outline: Outline | None, left: int, top: int) -> Outline | None:
    """Of a part of a picture in the whole one, in which the part's first pixel is at `left`, `top`."""
    if outline is None:
        return None
    return Outline(outline.left + left, outline.top + top, outline.inside, outline.fineness)


def grown_body(outlines: Sequence[Outline], xs: Span, ys: Span, shorter_side: float) -> Bools:
    """(ys, xs) bool: where any of the outlines of somebody is, and around it as far as a mask may be wrong.
    `shorter_side` of their box in pixels."""
    canvas: Image = np.zeros((ys[1] - ys[0], xs[1] - xs[0]), np.uint8)
    for each in outlines:
        _add(canvas, each, xs[0], ys[0])
    reach = max(MIN_GROWN, GROWN * shorter_side, *(each.fineness for each in outlines))
    return cv2.dilate(canvas, _disc(reach)) > 0


def rim_of(body: Bools, shorter_side: float) -> Bools:
    """The edge of a body, inside it, which tells people who overlap apart."""
    inner = cv2.erode(body.astype(np.uint8), _disc(max(2.0, GROWN * shorter_side)))
    return np.asarray(body & (inner == 0))


def _add(canvas: Image, outline: Outline, left: int, top: int) -> None:
    """Where the outline is on a canvas whose first pixel is at `left`, `top` of the picture."""
    high, wide = outline.inside.shape
    x, y = outline.left - left, outline.top - top
    x1, y1 = max(x, 0), max(y, 0)
    x2, y2 = min(x + wide, canvas.shape[1]), min(y + high, canvas.shape[0])
    if x2 > x1 and y2 > y1:
        canvas[y1:y2, x1:x2] |= outline.inside[y1 - y : y2 - y, x1 - x : x2 - x].astype(np.uint8)


def _disc(radius: float) -> Image:
    side = 2 * ceil(radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
