"""Reads labelled stills as folders: FOLDER/images/*.jpg with FOLDER/labels/*.txt in YOLO text.

A row is `class cx cy w h`, normalised to the picture; a picture without a file or rows has no object. Rows in
FOLDER/ignore/*.txt are areas about which nothing is known for their class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pipelines.train.detector.dataset import CLASSES, DatasetError, Labelled
from pipelines.values import Image

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def read_stills(folder: Path) -> Iterator[tuple[Path, Image, Labelled]]:
    """(file, picture (H, W, 3) BGR, labels in its pixels), in the order of names.

    Raises DatasetError for a folder without pictures, a picture that cannot be read, and a bad row.
    """
    files = sorted(path for path in (folder / "images").glob("*") if path.suffix.lower() in PICTURES)
    if not files:
        raise DatasetError(
            f"{folder}: no pictures in its folder images/: give a folder with images/ and labels/"
        )
    for path in files:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise DatasetError(f"{path}: cannot be read as a picture: remove or replace it")
        high, wide = image.shape[:2]
        labels = _read(folder / "labels" / f"{path.stem}.txt", wide, high)
        areas = _read(folder / "ignore" / f"{path.stem}.txt", wide, high)
        unknown = Labelled.of(areas.boxes, np.full(len(areas), -1), 1 << areas.classes)
        yield path, np.asarray(image, np.uint8), labels.joined(unknown)


def _read(path: Path, width: int, height: int) -> Labelled:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 text: expected rows `class cx cy w h`") from error
    return parse_rows(text, width, height, path)


def parse_rows(text: str, width: int, height: int, name: Path | str = "labels") -> Labelled:
    """YOLO text of a picture of `width` x `height` pixels. Raises DatasetError, with the row."""
    boxes, ids = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            kind, (cx, cy, w, h) = int(words[0]), (float(word) for word in words[1:5])
        except ValueError as error:
            raise DatasetError(f"{name}:{number}: {line[:60]!r} is not `class cx cy w h`") from error
        if not 0 <= kind < len(CLASSES):
            raise DatasetError(
                f"{name}:{number}: class {kind}: there are 0 to {len(CLASSES) - 1} ({', '.join(CLASSES)})"
            )
        if not (0.0 <= cx <= 1.0 and 0.0 <= cy <= 1.0 and 0.0 < w <= 1.01 and 0.0 < h <= 1.01):
            raise DatasetError(f"{name}:{number}: {line[:60]!r} is no box inside the picture")
        x1, y1, x2, y2 = (cx - w / 2), (cy - h / 2), (cx + w / 2), (cy + h / 2)
        boxes.append(np.clip([x1, y1, x2, y2], 0.0, 1.0) * [width, height, width, height])
        ids.append(kind)
    return Labelled.of(boxes, ids)
