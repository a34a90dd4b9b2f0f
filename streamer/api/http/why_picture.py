"""An explanation drawn on a picture: the rules as they were, the track's way, its box, and where it happened.

The ground is the camera's picture of now, since those of then are not kept, or a plain one.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.values import Image
from streamer.api.explain import Explanation, anchors
from streamer.api.http import live_overlay as overlay

PLAIN_SIZE = (1280, 720)
PLAIN = (52, 46, 42)  # B, G, R, as all
WAY, NEAR, EVENT, INK = (240, 240, 240), (80, 80, 255), (90, 220, 90), (20, 20, 20)
CAPTION_PX = 30  # below the picture, so that it covers nothing


def drawn(found: Explanation, jpeg: bytes) -> bytes:
    """A JPEG of `found` on the picture `jpeg`, on a plain ground for none. Raises ValueError for what is no
    picture."""
    picture = overlay.decoded(jpeg) if jpeg else _plain()
    overlay.draw_rules(picture, found.rules or CameraRules())
    _draw_way(picture, found)
    for moment in found.as_dict.get("nearly", ()):
        if "point_xyn" in moment:
            _dot(picture, moment["point_xyn"], 5, NEAR, -1)
            overlay.write(picture, moment["kind"], moment["point_xyn"], NEAR)
    _draw_event(picture, found.event["data"])
    return overlay.encoded(_captioned(picture, found))


def _plain() -> Image:
    width, height = PLAIN_SIZE
    return np.full((height, width, 3), PLAIN, np.uint8)


def _draw_way(picture: Image, found: Explanation) -> None:
    points = anchors(found)
    if points:
        overlay.draw_way(picture, points, INK, False, 4)
        overlay.draw_way(picture, points, WAY, False)
        for point in points:
            _dot(picture, point, 3, WAY, -1)


def _draw_event(picture: Image, data: dict[str, Any]) -> None:
    if "box_xyxyn" in data:
        x1, y1, x2, y2 = data["box_xyxyn"]
        overlay.draw_way(picture, [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], EVENT, True)
    if "point_xyn" in data:
        _dot(picture, data["point_xyn"], 12, EVENT, 3)


def _dot(picture: Image, at: Any, radius: int, colour: tuple[int, int, int], thickness: int) -> None:
    x, y = overlay.pixels(picture, [at])[0].tolist()
    cv2.circle(picture, (x, y), radius, colour, thickness, cv2.LINE_AA)


def _captioned(picture: Image, found: Explanation) -> Image:
    told = found.as_dict
    words = (told["camera"], told["subject"], told.get("class", ""), told["time"][:19])
    strip = np.full((CAPTION_PX, picture.shape[1], 3), PLAIN, np.uint8)
    text = "  ".join(word for word in words if word)
    cv2.putText(strip, text, (8, CAPTION_PX - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WAY, 1, cv2.LINE_AA)
    return np.vstack([picture, strip])
