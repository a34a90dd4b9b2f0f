"""Two clips of one site for a motion detector: the same figure in the upper lane of both, others below.

Each figure has a head, a top, trousers and shoes of its own; one camera is darker than the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.values import Image
from tests.clips import make_clip

WIDTH, HEIGHT, FPS = 480, 270, 10
TALL, WIDE = 50, 30  # of a figure, in pixels: it stays over itself where a busy machine drops two frames
PASSAGE_S = 5.0  # from one side to the other
UPPER, LOWER = 8, (76, 142, 208)  # where lanes begin, in pixels; UPPER: of the one who comes to both
SHINE = {"gate": 1.0, "yard": 0.8}
CAME_S = {"gate": 4.0, "yard": 11.0}  # when that one comes
OTHERS_FROM_S, OTHERS_EVERY_S, OTHERS = 3.0, 0.6, 12
SECONDS = 30.0  # he is decided upon 15 s after he was known
WITHIN_S = (
    30.0  # where clips begin again, nobody is remembered from the time before: he would stand against himself
)
HIS_CLOTHES = ((60, 60, 60), (30, 30, 220), (200, 60, 30), (20, 20, 20))
CLOTHES = ((0.0, 0.17), (0.17, 0.52), (0.52, 0.88), (0.88, 1.0))  # from where to where of the height


@dataclass(frozen=True, slots=True)
class Figure:
    """Comes in at the left at `at_s`; `colours` (4, 3) from head to feet."""

    at_s: float
    y: int
    colours: Image


def figures(camera: str) -> list[Figure]:
    """Who passes there: first the one who comes to both."""
    one = Figure(CAME_S[camera], UPPER, np.array(HIS_CLOTHES, np.uint8))
    dice = np.random.default_rng(list(SHINE).index(camera))
    others = [
        Figure(OTHERS_FROM_S + OTHERS_EVERY_S * number, LOWER[number % len(LOWER)], _clothes(dice))
        for number in range(OTHERS)
    ]
    return [one, *others]


def _clothes(dice: np.random.Generator) -> Image:
    return dice.integers(30, 200, (len(CLOTHES), 3)).astype(np.uint8)


def write_clips(folder: Path) -> dict[str, Path]:
    """By camera its clip."""
    return {camera: _write(folder / f"{camera}.mp4", camera) for camera in SHINE}


def _write(path: Path, camera: str) -> Path:
    passing = figures(camera)

    def draw(number: int, width: int, height: int) -> Image:
        picture: Image = np.full((height, width, 3), 110, np.uint8)
        for figure in passing:
            _paint(picture, figure, number / FPS)
        return np.asarray((picture * SHINE[camera]).astype(np.uint8))

    size = {"width": WIDTH, "height": HEIGHT, "fps": FPS}
    return make_clip(path, frames=round(SECONDS * FPS), draw=draw, pixel_format="yuv444p", **size)


def _paint(picture: Image, figure: Figure, t_s: float) -> None:
    left = round((t_s - figure.at_s) / PASSAGE_S * (WIDTH + WIDE)) - WIDE
    if t_s < figure.at_s or left >= WIDTH:
        return
    for (begin, end), colour in zip(CLOTHES, figure.colours, strict=True):
        rows = slice(figure.y + round(begin * TALL), figure.y + round(end * TALL))
        picture[rows, max(left, 0) : left + WIDE] = colour
