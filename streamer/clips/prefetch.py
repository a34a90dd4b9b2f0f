"""The frames of a clip, decoded and scaled ahead of the detector, which so always has something to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from pipelines.pending import Pending
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Frame, FrameResult, Stamp
from streamer.errors import SourceEnded, SourceError
from streamer.sources.base import Decoded, Source

CAMERA = "clip"  # what a clip is called where a camera's name is wanted
T = TypeVar("T")
AHEAD = 4  # frames read before the detector wants them


def stamp_of(number: int, media_ns: int, start_ns: int = 0) -> Stamp:
    """In a clip this box's clock plays no part: received times are the media time, and captured ones begin at
    `start_ns`, when the clip was taken (Unix time; 0: nobody knows)."""
    return Stamp(CAMERA, 0, number, media_ns, start_ns + media_ns, media_ns)


def results(
    source: Source,
    pipeline: Pipeline,
    shape: tuple[int, int],
    *,
    low_confidence: bool = False,
    start_ns: int = 0,
) -> Iterator[tuple[Decoded, FrameResult, Detections]]:
    """Every frame in order with its result and what the detector found before any rule was applied, with the
    `low_confidence` boxes too where they are wanted."""
    detector = pipeline.detector
    waiting: deque[tuple[Decoded, Frame, Pending]] = deque()

    def scaled(number: int, decoded: Decoded) -> tuple[Decoded, Frame]:
        return decoded, Frame(stamp_of(number, decoded.media_ns, start_ns), decoded.image(shape[1]))

    with Ahead(source, scaled) as ahead:
        ended = False
        while not ended or waiting:
            while not ended and len(waiting) < detector.depth:
                item = ahead.take()
                if item is None:
                    ended = True
                else:
                    pending = pipeline.submit([item[1]])
                    pending.ticket.low_confidence |= low_confidence
                    waiting.append((*item, pending))
            if waiting:
                decoded, _, pending = waiting.popleft()
                detections = pipeline.look(pending, pipeline.detections(pending))
                yield decoded, pipeline.follow(pending, detections)[0], detections[0]


class Ahead(Generic[T]):
    """A thread that reads the next frames and has `make` of each, by its number from 0, what take() gives.
    What the source raises, take() raises."""

    def __init__(self, source: Source, make: Callable[[int, Decoded], T]) -> None:
        self._source = source
        self._make = make
        self._number = 0
        self._over = False
        self._pool = ThreadPoolExecutor(1, "decode")
        self._futures = deque(self._pool.submit(self._read) for _ in range(AHEAD))

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._pool.shutdown(cancel_futures=True)

    def take(self) -> T | None:
        """The next frame; None at the end. Raises the SourceErrors of read()."""
        future = self._futures.popleft()
        try:
            item = future.result()
        except SourceEnded:
            return None
        self._futures.append(self._pool.submit(self._read))
        return item

    def _read(self) -> T:
        if self._over:
            raise SourceEnded("the clip is over")
        try:
            decoded = self._source.read()
        except SourceError:
            self._over = True  # the reads that are queued behind this one come too late
            raise
        made = self._make(self._number, decoded)
        self._number += 1
        return made
