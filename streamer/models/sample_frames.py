"""Pictures of clips and cameras for measuring and calibrating models: spread over time, at analysis size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipelines.values import Frame, Image, Stamp
from streamer.errors import SourceEnded, SourceError
from streamer.sources.base import Source, create_source
from streamer.sources.urls import is_generated

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
WIDTH = 640  # pixels, as cameras are analysed unless told otherwise
LIVE_EVERY_NS = 1_000_000_000  # between two pictures of what has no end
SCENE = "synthetic:street?seconds=20&width=640&height=360"


@dataclass(frozen=True, slots=True, eq=False)
class SampleFrame:
    """A picture (H, W, 3) BGR; `clip` is what it was asked for by, `part` 0 to 1 where in it it lies."""

    image: Image
    clip: str
    part: float

    def frame(self) -> Frame:
        return Frame(Stamp(self.clip[:60] or "clip", 1, 0, 0, 0, 0), self.image)


def clip_source(clip: str, stream: int | None = None) -> Source:
    """A clip's or scene's source without pacing; `stream` as in ReadOptions.

    Raises SourceError where there is no such file.
    """
    if not is_generated(clip) and not Path(clip).is_file():
        raise SourceError(f"{clip}: no such clip: give a video file, or the name of a camera")
    url = clip if ":" in clip or "/" in clip else f"./{clip}"
    return create_source(url, realtime=False, stream=stream)


def samples(
    clips: Sequence[str],
    count: int,
    *,
    open_clip: Callable[[str], Source] = clip_source,
    width: int = WIDTH,
) -> Iterator[SampleFrame]:
    """About `count` pictures, as many of each clip, evenly over its length. Raises SourceError."""
    share = max(1, count // len(clips))
    for clip in clips:
        count_read = 0
        for sample in _of_one(clip, open_clip(clip), share, width):
            count_read += 1
            yield sample
        if not count_read:
            raise SourceError(f"{clip}: not one picture could be read")


def folder_samples(folder: Path, count: int, width: int = WIDTH) -> Iterator[SampleFrame]:
    """At most `count` still pictures of a folder and those in it, evenly over their names in order.

    Raises SourceError where there is none, and for one that cannot be read.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise SourceError(f"{folder}: no picture in it ({', '.join(sorted(PICTURES))})")
    taken = min(count, len(paths))
    for number in range(taken):
        path = paths[number * len(paths) // taken]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise SourceError(f"{path}: cannot be read as a picture: remove or replace it")
        yield SampleFrame(shrunk(np.asarray(image, np.uint8), width), str(folder), number / taken)


def _of_one(clip: str, source: Source, share: int, width: int) -> Iterator[SampleFrame]:
    with closing(source):
        info = source.open()
        total = info.frames or round((info.duration_s or 0) * info.fps)
        stride = max(1, total // share)
        number, taken, next_ns = -1, 0, 0
        while taken < share:
            try:
                decoded = source.read()
            except SourceEnded:
                return
            number += 1
            if number % stride if total else decoded.media_ns < next_ns:
                continue
            next_ns = decoded.media_ns + LIVE_EVERY_NS
            taken += 1
            part = number / total if total else (taken - 1) / share
            yield SampleFrame(decoded.image(width), clip, min(part, 1.0))


def split(samples: Sequence[SampleFrame], share: float) -> tuple[list[SampleFrame], list[SampleFrame]]:
    """The first `share` of each clip, and the rest: what is measured lies at another time than what is
    learned.
    """
    clips = dict.fromkeys(sample.clip for sample in samples)
    first: list[SampleFrame] = []
    rest: list[SampleFrame] = []
    for clip in clips:
        of_clip = [sample for sample in samples if sample.clip == clip]
        cut = max(1, round(len(of_clip) * share))
        first += of_clip[:cut]
        rest += of_clip[cut:]
    return first, rest


def shrunk(image: Image, width: int = WIDTH) -> Image:
    """A still picture as a camera of that picture would be analysed."""
    if image.shape[1] <= width:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
