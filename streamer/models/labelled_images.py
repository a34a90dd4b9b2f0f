"""Labelled pictures of a user: folders of pictures or clips, their labels (label_formats.py) beside them.

A label's STEM is the picture's file name, or `CLIP_NUMBER` for frame NUMBER (from 0) of the clip CLIP.*.
Pictures belong to the clip before their last number, else to their folder: what is validated on comes from
other clips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipelines.values import Image
from streamer.errors import ModelError, SourceEnded
from streamer.models.label_formats import Boxes, Labelling
from streamer.models.sample_frames import PICTURES, clip_source

CLIPS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".ts"})
MAX_WIDTH = 1280  # pixels of a picture that is kept
_NUMBERED = re.compile(r"(.*?)[_\-. ]?(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    image: Image
    boxes: Boxes
    clip: str
    name: str


def pictures_of_camera(camera: str, folders: Sequence[Path], labels: Labelling) -> list[LabelledPicture]:
    """The labelled pictures that `model collect` or `camera snapshot` took of a camera, by their names.

    Raises ModelError where there is none.
    """
    pattern = re.compile(re.escape(camera) + r"([_\-. ].*)?")
    own = {stem: boxes for stem, boxes in labels.by_stem.items() if pattern.fullmatch(stem)}
    by_stem: dict[str, LabelledPicture] = {}
    for folder in folders:
        if folder.is_dir():
            for picture in _of_folder(folder, Labelling(labels.names, own)):
                by_stem.setdefault(Path(picture.name).stem, picture)
    if not by_stem:
        searched = ", ".join(str(folder) for folder in folders)
        raise ModelError(
            f"camera {camera}: no labelled picture in {searched}: their names begin with {camera}_, as "
            f"`streamer model collect {camera}` writes them, and their labels have the same name"
        )
    return list(by_stem.values())


def read_pictures(
    sources: Sequence[Path], labels: Labelling, stream: int | None = None
) -> Iterator[LabelledPicture]:
    """The pictures that have labels, of folders and of clips (`stream` as in ReadOptions).

    Raises ModelError or SourceError.
    """
    for source in sources:
        if source.is_dir():
            yield from _of_folder(source, labels)
        elif source.is_file() and source.suffix.lower() in CLIPS:
            yield from _of_clip(source, labels, stream)
        else:
            raise ModelError(
                f"{source}: neither a folder of pictures nor a clip ({', '.join(sorted(CLIPS))})"
            )


def clip_of(path: Path) -> str:
    """Which clip a picture was taken from: door_000120.jpg -> door; 17.jpg in east/ -> east."""
    match = _NUMBERED.fullmatch(path.stem)
    return match[1] if match is not None and match[1] else path.parent.name


def _of_folder(folder: Path, labels: Labelling) -> Iterator[LabelledPicture]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES):
        boxes = labels.by_stem.get(path.stem)
        if boxes is None:
            continue
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ModelError(f"{path}: cannot be read as a picture: remove or replace it")
        yield LabelledPicture(_limited(np.asarray(image, np.uint8)), boxes, clip_of(path), path.name)


def _of_clip(clip: Path, labels: Labelling, stream: int | None) -> Iterator[LabelledPicture]:
    boxes_of_frame = {}
    for stem, boxes in labels.by_stem.items():
        match = _NUMBERED.fullmatch(stem)
        if match is not None and match[1] == clip.stem:
            boxes_of_frame[int(match[2])] = boxes
    with closing(clip_source(str(clip), stream)) as source:
        source.open()
        number = 0
        while boxes_of_frame:
            try:
                decoded = source.read()
            except SourceEnded as error:
                raise ModelError(
                    f"{clip}: ends at frame {number - 1}, but there are labels for {max(boxes_of_frame)}"
                ) from error
            if number in boxes_of_frame:
                name = f"{clip.name} frame {number}"
                yield LabelledPicture(decoded.image(MAX_WIDTH), boxes_of_frame.pop(number), clip.stem, name)
            number += 1


def _limited(image: Image) -> Image:
    factor = MAX_WIDTH / image.shape[1]
    if factor >= 1:
        return image
    size = (MAX_WIDTH, max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
