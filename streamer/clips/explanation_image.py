"""The picture of an explanation: the rules, the track's way with the points it was judged by, the event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.values import Image
from streamer.api.explain import Explanation, anchors
from streamer.clips import drawing
from streamer.errors import StorageError
from streamer.ipc.atomic_write import replacing

SIZE = (1280, 720)  # a schema: the camera's own shape plays no part in normalised coordinates
BACKGROUND = (52, 46, 42)
PATH_COLOUR = (240, 240, 240)
NEAR_MISS_COLOUR = (80, 80, 255)


def draw_explanation(explanation: Explanation, path: Path) -> None:
    """Write a PNG to `path`. Raise StorageError where it cannot be written."""
    image: Image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    image[:] = BACKGROUND
    drawing.draw_rules(image, explanation.rules or CameraRules())
    points = anchors(explanation)
    if explanation.trajectory is not None and points:
        boxes = explanation.trajectory.boxes_xyxyn.tolist()
        _box(image, boxes[0], "first")
        _box(image, boxes[-1], "last")
        pixels = [_pixel(point) for point in points]
        cv2.polylines(image, [np.array(pixels, np.int32)], False, PATH_COLOUR, 2, cv2.LINE_AA)
        for pixel in pixels:
            cv2.circle(image, pixel, 4, PATH_COLOUR, -1, cv2.LINE_AA)
        if len(pixels) > 1:
            cv2.arrowedLine(image, pixels[-2], pixels[-1], PATH_COLOUR, 2, cv2.LINE_AA, tipLength=0.6)
    for moment in explanation.as_dict.get("nearly", ()):
        if "point_xyn" in moment:
            x, y = _pixel(moment["point_xyn"])
            cv2.drawMarker(image, (x, y), NEAR_MISS_COLOUR, cv2.MARKER_TILTED_CROSS, 18, 2, cv2.LINE_AA)
            drawing.write(image, moment["kind"], (x + 14, y - 8), NEAR_MISS_COLOUR, size=0.8)
    _event(image, explanation.event["data"])
    drawing.write(image, _title(explanation.as_dict), (10, SIZE[1] - 12), drawing.PAPER)
    good, data = cv2.imencode(".png", image)
    if not good:
        raise StorageError(f"{path}: cannot be written: the picture cannot be encoded")
    with replacing(path) as partial:
        partial.write_bytes(data.tobytes())


def _pixel(point: Any) -> tuple[int, int]:
    return round(point[0] * SIZE[0]), round(point[1] * SIZE[1])


def _box(image: Image, box: list[float], word: str) -> None:
    corner = _pixel(box[:2])
    cv2.rectangle(image, corner, _pixel(box[2:]), drawing.OTHER_GROUP, 1, cv2.LINE_AA)
    drawing.write(image, word, (corner[0] + 4, corner[1] - 6), drawing.OTHER_GROUP, size=0.8)


def _event(image: Image, data: dict[str, Any]) -> None:
    if "point_xyn" not in data:
        return
    colour = drawing.LEFT_TO_RIGHT if data.get("side") == "left_to_right" else drawing.RIGHT_TO_LEFT
    x, y = _pixel(data["point_xyn"])
    if "box_xyxyn" in data:
        cv2.rectangle(
            image, _pixel(data["box_xyxyn"][:2]), _pixel(data["box_xyxyn"][2:]), colour, 2, cv2.LINE_AA
        )
    cv2.circle(image, (x, y), 13, colour, 3, cv2.LINE_AA)
    text = f"{data['direction']}: margin {data.get('margin', 0):.1f}"
    drawing.write(image, text, (x, y - 70), colour, centred=True)


def _title(explanation: dict[str, Any]) -> str:
    words = [
        explanation["camera"],
        explanation["subject"],
        explanation.get("class", ""),
        explanation["time"][:19],
    ]
    if "track_id" in explanation:
        words.append(f"track {explanation['track_id']}")
    return "  ".join(word for word in words if word)
