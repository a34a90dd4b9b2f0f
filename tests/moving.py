"""A clip whose counts are known by arithmetic: bright squares that cross the picture in lanes, for ever."""

from __future__ import annotations

import colorsys
import itertools
from pathlib import Path

import numpy as np

from pipelines.values import Image
from tests.clips import make_clip

WIDTH, HEIGHT, FPS = 320, 180, 25
SIDE = 26  # pixels of a square's side
LANES = 3
LEARNING_S = 0.6  # an empty picture first: a motion detector learns it
CROSS_S = 2.0  # one passage of the picture and the wait for the next
LINE = {
    "name": "middle",
    "points": [[0.5, 1.0], [0.5, 0.0]],
    "left_to_right": "right",
    "right_to_left": "left",
}


def lane_x(lane: int, t_s: float) -> float:
    """Left edge of the lane's square in pixels: it enters at the left and leaves at the right."""
    phase = (t_s / CROSS_S + lane / LANES) % 1.0
    return phase * (WIDTH + 2 * SIDE) - SIDE


def draw(number: int, width: int, height: int) -> Image:
    picture: Image = np.empty((height, width, 3), np.uint8)
    picture[:] = (60 + np.arange(height) // 4).astype(np.uint8)[:, None, None]
    for lane in range(LANES):
        x = round(lane_x(lane, number / FPS))
        y = (lane * height) // LANES + (height // LANES - SIDE) // 2
        if number / FPS >= LEARNING_S:
            picture[y : y + SIDE, max(0, x) : max(0, min(width, x + SIDE))] = _colour(lane, number / FPS)
    return picture


def _colour(lane: int, t_s: float) -> tuple[int, ...]:
    """Another hue at each passage: what repeats itself exactly is background to a motion detector."""
    passage = int(t_s / CROSS_S + lane / LANES) * LANES + lane
    red, green, blue = colorsys.hsv_to_rgb(passage * 0.618 % 1.0, 0.8, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def write_moving_clip(path: Path, seconds: float) -> Path:
    return make_clip(path, frames=int(seconds * FPS), width=WIDTH, height=HEIGHT, fps=FPS, draw=draw)


def crossings(seconds: float) -> int:
    """How often a square's centre passes the middle from left to right in that time."""
    middle = WIDTH / 2 - SIDE / 2
    count = 0
    for lane in range(LANES):
        x = [lane_x(lane, n / FPS) for n in range(int(LEARNING_S * FPS), int(seconds * FPS))]
        count += sum(1 for a, b in itertools.pairwise(x) if a < middle <= b)
    return count


def camera(name: str, clip: Path, **source: object) -> dict[str, object]:
    """The camera's file, for tests.daemon."""
    return {"name": name, "url": str(clip), "source": dict(source), "rules": {"lines": [LINE]}}
