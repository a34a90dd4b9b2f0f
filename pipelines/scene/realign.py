"""Lines, zones, masks, the region and the calibration of a camera, taken along to where its view lies now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.region.spec import Box
from pipelines.scene.view import Displacement

DRAWN = ("lines", "zones", "masks")
MARGIN = 0.02  # of the picture: a point that would lie so far outside is put on its border
DIGITS = 6


def moved_rules(rules: CameraRules, displacement: Displacement, aspect: float) -> CameraRules:
    """The rules as they must be drawn after a displacement of the view; `aspect` is height over width.

    Raises ValueError, in one line, where something would come to lie outside of the picture.
    """
    data = rules.model_dump(mode="json")
    for kind in DRAWN:
        for item in data[kind]:
            what = f"{kind[:-1]} {item['name']!r}"
            item["points"] = _moved(item["points"], displacement, aspect, what)
    if data["calibration"] is not None:
        its = data["calibration"]
        its["points"] = _moved(its["points"], displacement, aspect, "the calibration")
    if not isinstance(rules.region, str):
        data["region"] = _moved_box(rules.region, displacement, aspect)
    return CameraRules.model_validate(data)


def _moved_box(box: Box, displacement: Displacement, aspect: float) -> list[float]:
    """What holds a rectangle's corners where they lie now, as far as that is in the picture."""
    x1, y1, x2, y2 = box
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)
    moved = np.clip(displacement.apply(corners, aspect), 0.0, 1.0)
    return [round(float(edge), DIGITS) for edge in (*moved.min(axis=0), *moved.max(axis=0))]


def _moved(
    points: Sequence[Sequence[float]], displacement: Displacement, aspect: float, what: str
) -> list[list[Any]]:
    moved = displacement.apply(np.array(points, np.float64), aspect)
    if moved.min() < -MARGIN or moved.max() > 1 + MARGIN:
        raise ValueError(f"{what} would lie outside of the picture: turn the camera back, or draw it anew")
    return [[round(float(x), DIGITS), round(float(y), DIGITS)] for x, y in np.clip(moved, 0.0, 1.0)]
