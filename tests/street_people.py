"""Rendered people in a street whose places are known, and what is left where they are silhouettes."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.values import Image
from streamer.clips.people import FILL, RIM
from streamer.sources.synthetic.backdrop import build
from streamer.sources.synthetic.scene import Scene
from streamer.sources.synthetic.truth import Measurer

MIN_HEIGHT = 24  # pixels of a person who must be found
CODED = 8  # how far a video codec takes a colour away
Mask = npt.NDArray[np.bool_]


@cache  # drawn once: it takes seconds
def _street(seed: int, frame: int = 120) -> tuple[Image, list[tuple[int, int, int, int]]]:
    """A picture, and the true boxes of who is well seen in it, in pixels."""
    scene = Scene(seed=seed, width=960, height=540, people=4.0, noise=0.0)
    world = scene.world()
    measurer = Measurer(scene, world, build(world.view(scene.width, scene.height), scene.seed).occluders)
    people = [
        (max(0, round(x1)), max(0, round(y1)), min(scene.width, round(x2)), min(scene.height, round(y2)))
        for x1, y1, x2, y2 in (t.box for t in measurer.boxes(frame) if t.kind == "person" and t.visible > 0.6)
        if y2 - y1 >= MIN_HEIGHT
    ]
    return scene.picture(scene.painter(), frame), people


def street(seed: int) -> tuple[Image, list[tuple[int, int, int, int]]]:
    """The same, to be drawn on."""
    image, people = _street(seed)
    return image.copy(), people


def filled(image: Image) -> Mask:
    return np.asarray((image == FILL).all(axis=2) | (image == RIM).all(axis=2))


def grey(image: Image) -> Mask:
    """Where the colours of silhouettes are, after a codec."""
    near = [(np.abs(image.astype(int) - colour) <= CODED).all(axis=2) for colour in (FILL, RIM)]
    return np.asarray(near[0] | near[1])
