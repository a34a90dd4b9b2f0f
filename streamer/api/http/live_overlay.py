"""What is drawn on a live picture for who looks at it: the tracks' boxes, where they have just been, and the
camera's lines and zones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.camera_rules import CameraRules
from pipelines.values import Image

TRAIL_S = 5.0
MAX_TRAIL = 32  # places of one track
MAX_TRACKS = 200
JPEG_QUALITY = 80
LINE, ZONE, BOX, TRAIL = (0, 200, 255), (230, 170, 40), (90, 220, 90), (255, 150, 70)  # B, G, R
Point = tuple[float, float]


class Trails:
    """Where the tracks of one camera were in the last seconds, as far as somebody has looked."""

    def __init__(self) -> None:
        self._trails: dict[int, deque[tuple[float, Point]]] = {}

    def add(self, tracks: Sequence[Mapping[str, Any]]) -> list[list[Point]]:
        """Take the tracks that are there; returns the trails of all."""
        now_s = time.monotonic()
        for track in tracks[:MAX_TRACKS]:
            trail = self._trails.setdefault(track["track_id"], deque(maxlen=MAX_TRAIL))
            trail.append((now_s, ((track["x1"] + track["x2"]) / 2, track["y2"])))
        kept = {key: trail for key, trail in self._trails.items() if now_s - trail[-1][0] < TRAIL_S}
        self._trails = kept
        return [[point for at_s, point in trail if now_s - at_s < TRAIL_S] for trail in kept.values()]


def drawn(
    jpeg: bytes,
    rules: CameraRules | None,
    tracks: Sequence[Mapping[str, Any]],
    trails: Sequence[Sequence[Point]],
) -> bytes:
    """The picture with these on it. Raises ValueError for what is no picture."""
    picture = decoded(jpeg)
    if rules is not None:
        draw_rules(picture, rules)
    for trail in trails:
        draw_way(picture, trail, TRAIL, False)
    for track in tracks[:MAX_TRACKS]:
        _draw_box(picture, track)
    return encoded(picture)


def decoded(jpeg: bytes) -> Image:
    """Raises ValueError for what is no picture."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ValueError("the daemon sent a damaged picture")
    return np.asarray(image, np.uint8)


def encoded(picture: Image) -> bytes:
    _, raw = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return raw.tobytes()


def draw_rules(image: Image, rules: CameraRules) -> None:
    for zone in rules.zones:
        draw_way(image, zone.points, ZONE, True)
        write(image, zone.name, zone.points[0], ZONE)
    for line in rules.lines:
        draw_way(image, line.points, LINE, False)
        write(image, line.name, line.points[0], LINE)


def _draw_box(image: Image, track: Mapping[str, Any]) -> None:
    corners = pixels(image, [(track["x1"], track["y1"]), (track["x2"], track["y2"])])
    (x1, y1), (x2, y2) = corners.tolist()
    cv2.rectangle(image, (x1, y1), (x2, y2), BOX, 1)
    write(image, f"{track['class']} {track['track_id']}", (track["x1"], track["y1"]), BOX)


def draw_way(
    image: Image, points: Sequence[Point], colour: tuple[int, int, int], closed: bool, thickness: int = 2
) -> None:
    """`points` are shares of the picture, as everywhere here."""
    cv2.polylines(image, [pixels(image, points)], closed, colour, thickness, cv2.LINE_AA)


def write(image: Image, text: str, at: Point, colour: tuple[int, int, int]) -> None:
    x, y = pixels(image, [at])[0].tolist()
    cv2.putText(image, text, (x, max(10, y - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


def pixels(image: Image, points: Sequence[Point]) -> npt.NDArray[np.int32]:
    height, width = image.shape[:2]
    return np.round(np.array(points, np.float64) * (width, height)).astype(np.int32)
