"""The frames of a clip, decoded and scaled ahead of the detector, which so always has something to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.pending import Pending
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Frame, FrameResult, Stamp
from streamer.errors import SourceEnded, SourceError
from streamer.sources.base import Decoded, Source

CAMERA = "clip"  # what a clip is called where a camera's name is wanted
AHEAD = 4  # frames decoded and scaled before the detector wants them


def stamp_of(number: int, media_ns: int) -> Stamp:
    """In a clip the wall clock plays no part: captured and received times are the media time."""
    return Stamp(CAMERA, 0, number, media_ns, media_ns, media_ns)


def results(
    source: Source, pipeline: Pipeline, shape: tuple[int, int], *, low_confidence: bool = False
) -> Iterator[tuple[Decoded, FrameResult, Detections]]:
    """Every frame in order with its result and what the detector found before any rule was applied, with the
    `low_confidence` boxes too where they are wanted."""
    detector = pipeline.detector
    waiting: deque[tuple[Decoded, Frame, Pending]] = deque()
    with _Ahead(source, shape) as ahead:
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


class _Ahead:
    """A thread that reads and scales the next frames. What the source raises, take() raises."""

    def __init__(self, source: Source, shape: tuple[int, int]) -> None:
        self._source = source
        self._width = shape[1]
        self._number = 0
        self._over = False
        self._pool = ThreadPoolExecutor(1, "decode")
        self._futures = deque(self._pool.submit(self._read) for _ in range(AHEAD))

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._pool.shutdown(cancel_futures=True)

    def take(self) -> tuple[Decoded, Frame] | None:
        """The next frame; None at the end. Raises the SourceErrors of read()."""
        future = self._futures.popleft()
        try:
            item = future.result()
        except SourceEnded:
            return None
        self._futures.append(self._pool.submit(self._read))
        return item

    def _read(self) -> tuple[Decoded, Frame]:
        if self._over:
            raise SourceEnded("the clip is over")
        try:
            decoded = self._source.read()
        except SourceError:
            self._over = True  # the reads that are queued behind this one come too late
            raise
        frame = Frame(stamp_of(self._number, decoded.media_ns), decoded.image(self._width))
        self._number += 1
        return decoded, frame
