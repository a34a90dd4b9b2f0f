"""Labelled pictures of synthetic scenes: python -m streamer.sources.synthetic.stills --out DIR --count N.

DIR/images/*.jpg with DIR/labels/*.txt (YOLO text, classes of CLASSES) and DIR/ignore/*.txt, likewise, for
what is mostly hidden. Each picture is of a street of its own: seed, height of the camera, traffic, size and
noise differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from streamer.sources.synthetic.backdrop import build
from streamer.sources.synthetic.scene import Scene
from streamer.sources.synthetic.truth import Measurer, TrueBox

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
KINDS = {"person": 0, "bicycle": 1, "car": 2, "van": 2, "bus": 4, "truck": 5}
SIZES = ((640, 360), (480, 360), (480, 480), (576, 432))
WHOLE, HIDDEN = 0.5, 0.02  # visible share from which it is labelled, and to which it is nothing at all
SECONDS = 60  # of which one moment is drawn


def draw(number: int, seed: int, folder: Path) -> None:
    """Write picture `number` of a set."""
    random = np.random.default_rng((seed, number))
    width, height = SIZES[int(random.integers(len(SIZES)))]
    scene = Scene(
        seed=int(random.integers(1 << 30)),
        width=width,
        height=height,
        people=float(random.uniform(0.5, 6.0)),
        vehicles=float(random.uniform(0.3, 3.0)),
        bicycles=float(random.uniform(1.0, 10.0)),
        noise=float(random.uniform(0.0, 6.0)),
        mast=float(random.choice([0.0, random.uniform(2.5, 12.0)])),
        acts=float(random.choice([0.0, random.uniform(0.3, 1.0)])),  # who has fallen is a person too
    )
    frame = int(random.integers(1, round(SECONDS * scene.fps)))
    image = scene.picture(scene.painter(), frame)
    world = scene.world()
    measurer = Measurer(scene, world, build(world.view(width, height), scene.seed).occluders)
    boxes = measurer.boxes(frame)
    name = f"{seed}-{number:05d}"
    cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image, (cv2.IMWRITE_JPEG_QUALITY, 90))
    labelled = [row(box, width, height) for box in boxes if box.visible >= WHOLE]
    hidden = [row(box, width, height) for box in boxes if HIDDEN < box.visible < WHOLE]
    (folder / "labels" / f"{name}.txt").write_text("".join(labelled))
    (folder / "ignore" / f"{name}.txt").write_text("".join(hidden))


def row(box: TrueBox, width: int, height: int) -> str:
    """YOLO text of what lies in the picture."""
    x1, x2 = (min(1.0, max(0.0, x / width)) for x in (box.box[0], box.box[2]))
    y1, y2 = (min(1.0, max(0.0, y / height)) for y in (box.box[1], box.box[3]))
    numbers = (x1 + x2) / 2, (y1 + y2) / 2, max(1e-5, x2 - x1), max(1e-5, y2 - y1)
    return f"{KINDS[box.kind]} " + " ".join(f"{n:.6f}" for n in numbers) + "\n"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m streamer.sources.synthetic.stills", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    cv2.setNumThreads(1)
    for part in ("images", "labels", "ignore"):
        (options.out / part).mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        draw(number, options.seed, options.out)
    print(f"{options.count} pictures in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
