"""Heat maps over pictures: where nobody was the picture stays as it is, the hottest cell is red."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from pipelines.values import Image

MOST = 0.55  # of the colour over the picture, at the hottest cell


def draw_heat(image: Image, heat: Mapping[str, Any]) -> Image:
    """Draw the data of a `streamer.heatmap.measured.v1` on `image` (H, W, 3) BGR in place; returns it.

    Seconds are shown by their square root: a place where one stood for minutes hides no path.
    """
    grid = np.sqrt(np.array(heat["seconds"], np.float32).reshape(heat["rows"], heat["columns"]))
    if not grid.max() > 0:
        return image
    height, width = image.shape[:2]
    warmth = cv2.resize(grid / grid.max(), (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((warmth * 255).astype(np.uint8), cv2.COLORMAP_JET)
    share = (MOST * np.minimum(1.0, 2 * warmth))[..., None]
    image[:] = (image * (1 - share) + colours * share).astype(np.uint8)
    return image
