"""The region of one camera that is in force: what its rules say of it, and what `auto` makes of its tracks.

`auto` looks at the whole picture until enough objects have come by its lines and zones to know how large and
how fast they are there. Then it is the bounding box of what is drawn, of the boxes of objects that stand on
it (by its anchor), and of a margin about these: so many of their sizes, and so far as they move in a time.
A mask at the edge cuts it further. What the margins rest on: docs/decisions/025-region-of-interest.md.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules, zone_names
from pipelines.region.approach import MIN_TRACKS, Approach, ObjectScale
from pipelines.region.crop import Crop
from pipelines.region.spec import WHOLE, Box, around, overhangs, share
from pipelines.rules import Anchor, LineSpec, ZoneSpec
from pipelines.values import Bools, Image, Stamp, Tracks

MARGIN = 0.0  # about objects on a line or zone, in their own sizes,
MARGIN_S = 1.0  # and as far as they move in so many seconds
MIN_SIDE = 0.3  # of the picture, along each side: less would gain little, and miss the unforeseen
MAX_SHARE = 0.8  # of the picture: from here on all of it is looked at
SHRINKS = 0.8  # of its area: it grows at once, and becomes less only where that saves something
RENEW_S = 60.0  # media time between two looks at what came by
GRID = 32  # steps along each side that the edges lie on, so that the region does not change for a trifle
MASK_SIDE = 256  # cells of the raster in which masks are looked at
ABOVE: dict[Anchor, float] = {"foot": 1.0, "auto": 1.0, "center": 0.5, "top": 0.0}  # of a box, its anchor
BELOW: dict[Anchor, float] = {"foot": 0.0, "auto": 0.5, "center": 0.5, "top": 1.0}
RESTS_ON = ("region", "region_zoom", "lines", "zones", "masks", "classes")  # of the rules
EVERYWHERE = ("heatmaps", "uniques")  # rules that may look at the whole picture
ACTIONS = "actions are told of the whole picture"


class CameraRegion:
    """`box` is in force, WHOLE where nothing is left out, and `why` says in a few words how that came.

    `actions`: whether the camera tells what people do.
    """

    def __init__(self, rules: CameraRules, actions: bool = False) -> None:
        self._rules = rules
        self._approach = Approach([around(item.points) for item in _drawn(rules)])
        self._renewed_s: float | None = None
        self._learns = False
        self.box: Box = WHOLE
        self.why = "" if rules.region == "off" else "as configured"
        if rules.region != "off" and actions:
            self.why = ACTIONS
        elif rules.region == "auto":
            self._begin()
        elif rules.region != "off":
            self.box = rules.region

    def _begin(self) -> None:
        self.why = _whole_picture(self._rules)
        self._learns = not self.why
        if self._learns:
            self.why = f"learning: 0 of {MIN_TRACKS} objects came by"

    def like(self, other: CameraRegion) -> bool:
        """Whether what `other` has learnt holds here as well."""
        mine, its = self._rules, other._rules
        same = all(getattr(mine, key) == getattr(its, key) for key in RESTS_ON)
        return same and self._learns == other._learns

    def crop(self, image: Image) -> Crop | None:
        """The part of this picture that is to be inferred; None: all of it."""
        return self.crop_of(image.shape[1], image.shape[0])

    def crop_of(self, width: int, height: int) -> Crop | None:
        """Likewise, of a picture of so many pixels."""
        return None if self.box == WHOLE else Crop.sized(self.box, width, height, self._rules.region_zoom)

    def learn(self, stamp: Stamp, tracks: Tracks) -> None:
        """Take a frame's tracks into account."""
        if not self._learns:
            return
        now_s = stamp.media_ns / 1e9
        before = self._approach.count
        self._approach.follow(stamp.epoch, now_s, tracks)
        waits = before < min(MIN_TRACKS, self._approach.count)
        if waits or self._renewed_s is None or not 0 <= now_s - self._renewed_s < RENEW_S:
            self._renewed_s = now_s
            self._renew()

    def end_tracks(self) -> None:
        """The camera has closed: nobody who was there comes on."""
        self._approach.end()

    def _renew(self) -> None:
        scale = self._approach.scale()
        if scale is None:
            self.why = f"learning: {self._approach.count} of {MIN_TRACKS} objects came by"
            return
        box = auto_region(self._rules, scale)
        if overhangs(box, self.box) or share(box) < SHRINKS * share(self.box):
            self.box = box
        seen = f"{self._approach.count} objects that came by"
        self.why = f"by {seen}" if self.box != WHOLE else f"no smaller one holds what is drawn, by {seen}"

    def describe(self) -> dict[str, Any] | None:
        """Plain JSON; None where no region is asked for."""
        if self._rules.region == "off":
            return None
        return {
            "asked": self._rules.region if self._rules.region == "auto" else "fixed",
            "box": [round(number, 4) for number in self.box],
            "share": round(share(self.box), 3),
            "zoom": self._rules.region_zoom,
            "why": self.why,
        }

    def save(self) -> dict[str, Any] | None:
        """Plain data for restore(); None where nothing is learnt."""
        return {"box": list(self.box), "approach": self._approach.save()} if self._learns else None

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Raises KeyError, TypeError or ValueError where `saved` is not from save()."""
        if saved is None or not self._learns:
            return
        self._approach.restore(saved["approach"])
        self._renew()


def _drawn(rules: CameraRules) -> list[LineSpec | ZoneSpec]:
    return [*rules.lines, *rules.zones]


def _whole_picture(rules: CameraRules) -> str:
    """Why `auto` leaves nothing out with these rules; "" where it may."""
    for field in EVERYWHERE:
        if item := next((item for item in rules.of(field) if not zone_names(item)), None):
            return f"{item.name} looks at the whole picture"
    if not (rules.lines or rules.zones or rules.masks):
        return "neither lines nor zones are drawn"
    return ""


def auto_region(
    rules: CameraRules, scale: ObjectScale, margin: float = MARGIN, margin_s: float = MARGIN_S
) -> Box:
    """Where to look for objects of this scale, so that they are followed before they reach a line or zone of
    `rules`, and for a while behind it; WHOLE where that is (almost) all."""
    reach_x = (0.5 + margin) * scale.width + margin_s * scale.speed_x
    reach_y = margin * scale.height + margin_s * scale.speed_y
    boxes = []
    for item in _drawn(rules):
        x1, y1, x2, y2 = around(item.points)
        above, below = (side[item.anchor] * scale.height for side in (ABOVE, BELOW))
        boxes.append((x1 - reach_x, y1 - reach_y - above, x2 + reach_x, y2 + reach_y + below))
    box = _union(boxes) if boxes else WHOLE
    box = _without_masks(box, rules, scale)
    box = _on_grid(_at_least(box))
    return WHOLE if share(box) > MAX_SHARE else box


def _union(boxes: list[Box]) -> Box:
    low, high = np.array(boxes)[:, :2].min(axis=0), np.array(boxes)[:, 2:].max(axis=0)
    x1, y1 = np.clip(low, 0.0, 1.0).tolist()
    x2, y2 = np.clip(high, 0.0, 1.0).tolist()
    return x1, y1, x2, y2


def _without_masks(box: Box, rules: CameraRules, scale: ObjectScale) -> Box:
    """Cut off strips that masks for all classes cover: half an object reaches out of them."""
    open_cells = _open_cells(rules)
    x1, y1, x2, y2 = (round(edge * MASK_SIDE) for edge in box)
    part = open_cells[y1:y2, x1:x2]
    columns, rows = np.flatnonzero(part.any(axis=0)), np.flatnonzero(part.any(axis=1))
    if not len(columns) or part.all():
        return box
    wide, high = 0.5 * scale.width, 0.5 * scale.height
    return (
        max(box[0], (x1 + int(columns[0])) / MASK_SIDE - wide),
        max(box[1], (y1 + int(rows[0])) / MASK_SIDE - high),
        min(box[2], (x1 + int(columns[-1]) + 1) / MASK_SIDE + wide),
        min(box[3], (y1 + int(rows[-1]) + 1) / MASK_SIDE + high),
    )


def _open_cells(rules: CameraRules) -> Bools:
    """(MASK_SIDE, MASK_SIDE) where something may be detected."""
    canvas = np.ones((MASK_SIDE, MASK_SIDE), np.uint8)
    for mask in rules.masks:
        if not mask.classes:
            cv2.fillPoly(canvas, [np.round(np.array(mask.points) * (MASK_SIDE - 1)).astype(np.int32)], 0)
    return canvas.astype(np.bool_)


def _at_least(box: Box) -> Box:
    """Grown about its middle to MIN_SIDE along each side, within the picture."""
    x1, x2 = _grown(box[0], box[2])
    y1, y2 = _grown(box[1], box[3])
    return x1, y1, x2, y2


def _grown(low: float, high: float) -> tuple[float, float]:
    lacks = max(0.0, MIN_SIDE - (high - low)) / 2
    low, high = low - lacks, high + lacks
    shift = max(0.0, -low) - max(0.0, high - 1.0)
    return max(0.0, low + shift), min(1.0, high + shift)


def _on_grid(box: Box) -> Box:
    x1, y1 = (np.floor(edge * GRID + 1e-6) / GRID for edge in box[:2])
    x2, y2 = (np.ceil(edge * GRID - 1e-6) / GRID for edge in box[2:])
    return float(x1), float(y1), float(x2), float(y2)
