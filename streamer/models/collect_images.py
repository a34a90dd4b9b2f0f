"""Pictures of a camera or clip to be labelled: taken now and then, named so that tuning knows when each was.

    FOLDER/
        classes.txt                     the model's classes, in its order: what the numbers in labels mean
        door_20261126T11_304512.jpg     of camera door, in the hour 11 (UTC) of that day, at 30:45.12
        clip_120.jpg                    frame 120 of clip.mp4
        drafts/*.txt                    YOLO text of what the model sees, to be corrected; where asked for

Whoever labels writes STEM.txt beside the pictures, or one COCO .json. Pictures of one hour are held out
together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2

from pipelines.class_names import find
from pipelines.values import Detections, Image, Labels
from streamer.errors import SourceEnded, SourceError, StorageError
from streamer.ipc.atomic_write import replacing
from streamer.sources.base import Source

MAX_WIDTH = 1280  # pixels of a picture that is kept
QUALITY = 95  # of JPEG: what is labelled is not worn down
MAX_MISSES = 5  # pictures in a row that may fail before it ends


@dataclass(frozen=True, slots=True, eq=False)
class CollectedImage:
    image: Image
    stem: str


def from_source(source: Source, name: str, every_s: float, *, numbered: bool) -> Iterator[CollectedImage]:
    """A picture each `every_s` of the source's own time, until it ends. Raises SourceError.

    `numbered`: a clip's frame number makes the name, else the wall clock.
    """
    with closing(source):
        source.open()
        number, next_ns = -1, None
        while True:
            try:
                decoded = source.read()
            except SourceEnded:
                return
            number += 1
            if next_ns is not None and decoded.media_ns < next_ns:
                continue
            next_ns = (decoded.media_ns if next_ns is None else next_ns) + round(every_s * 1e9)
            stem = f"{name}_{number}" if numbered else stem_at(name, decoded.captured_ns)
            yield CollectedImage(decoded.image(MAX_WIDTH), stem)


def from_snapshots(
    take: Callable[[], Image],
    name: str,
    every_s: float,
    missed: Callable[[str], None],
    *,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[CollectedImage]:
    """A picture each `every_s` from a running daemon. One that fails is told by `missed`; raises SourceError
    after several in a row.
    """
    next_s, failed = time.monotonic(), 0
    while True:
        try:
            image = take()
        except SourceError as error:
            failed += 1
            if failed == MAX_MISSES:
                raise
            missed(str(error))
        else:
            failed = 0
            yield CollectedImage(image, stem_at(name, time.time_ns()))
        next_s += every_s
        wait(max(0.0, next_s - time.monotonic()))


def stem_at(name: str, wall_ns: int) -> str:
    """The file name of a camera's picture at a time: hours are what is held out together."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return time.strftime(f"{name}_%Y%m%dT%H_%M%S", time.gmtime(seconds)) + f"{rest_ns // 10_000_000:02}"


def write_picture(folder: Path, collected: CollectedImage) -> Path:
    """Raises StorageError."""
    path = folder / f"{collected.stem}.jpg"
    _, raw = cv2.imencode(".jpg", collected.image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(raw.tobytes())
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def write_classes(folder: Path, classes: Sequence[str]) -> None:
    """What labelling programs read the classes from. Raises StorageError, also where others are there."""
    path, text = folder / "classes.txt", "".join(f"{name}\n" for name in classes)
    if path.exists() and path.read_text(encoding="utf-8", errors="replace").split() != text.split():
        raise StorageError(
            f"{path}: names other classes, and labels beside it mean those: give another --out"
        )
    _write(path, text)


def write_draft(
    folder: Path, stem: str, detections: Detections, labels: Labels, classes: Sequence[str]
) -> None:
    """What the model sees as YOLO text; of other classes than `classes` nothing. A draft that is there stays:
    somebody may have corrected it. Raises StorageError.
    """
    path = folder / "drafts" / f"{stem}.txt"
    if path.exists():
        return
    rows = []
    for box, class_id in zip(detections.boxes_xyxyn.tolist(), detections.class_ids.tolist(), strict=True):
        name = find(labels.names[class_id], classes)
        if name is not None:
            x1, y1, x2, y2 = box
            numbers = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
            rows.append(f"{list(classes).index(name)} " + " ".join(f"{n:.6f}" for n in numbers) + "\n")
    _write(path, "".join(rows))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
