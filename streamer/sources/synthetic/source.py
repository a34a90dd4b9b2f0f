"""The synthetic scene as a camera: frames come when they are due, or as fast as they are read.

A picture is painted when it is asked for, so that a frame that nobody wants costs next to nothing.
"""

from __future__ import annotations

import threading
import time

import cv2

from pipelines.values import Image
from streamer.errors import SourceEnded, SourceError
from streamer.sources.base import Decoded, ReadOptions, SourceInfo
from streamer.sources.synthetic import scene as scenes
from streamer.sources.synthetic.painter import Painter, Picture

LATE_NS = 1_000_000_000  # a reader that is later than this misses frames, as it would those of a camera


def create(url: str, options: ReadOptions) -> SyntheticSource:
    return SyntheticSource(scenes.parse(url), options)


class SyntheticDecoded(Decoded):
    """A frame of the scene; painted once, by whoever first wants its pixels."""

    __slots__ = ("_image", "_lock", "_painter", "_picture")

    def __init__(
        self, painter: Painter, picture: Picture, *, media_ns: int, captured_ns: int, loop: int
    ) -> None:
        super().__init__(
            painter.view.width,
            painter.view.height,
            media_ns=media_ns,
            captured_ns=captured_ns,
            received_mono_ns=time.monotonic_ns(),
            loop=loop,
            key_frame=True,
        )
        self._painter = painter
        self._picture = picture
        self._image: Image | None = None
        self._lock = threading.Lock()

    def write_bgr(self, out: Image) -> None:
        with self._lock:
            if self._image is None:
                self._image = self._painter.paint(self._picture)
        height, width = out.shape[:2]
        if (height, width) == self._image.shape[:2]:
            out[:] = self._image
        else:
            cv2.resize(self._image, (width, height), dst=out, interpolation=cv2.INTER_AREA)


class SyntheticSource:
    """One scene by seed. Media time is the frame's number over the frame rate."""

    def __init__(self, scene: scenes.Scene, options: ReadOptions) -> None:
        self.scene = scene
        self._options = options
        self._closed = threading.Event()
        self._painter: Painter | None = None
        self._frame = 0  # of the whole run; a pass has scene.frames of them
        self._start_mono_ns = 0
        self._start_wall_ns = 0

    def open(self) -> SourceInfo:
        self._painter = self.scene.painter()
        self._frame = 0
        self._start_mono_ns, self._start_wall_ns = time.monotonic_ns(), time.time_ns()
        return SourceInfo(
            width=self.scene.width,
            height=self.scene.height,
            fps=self.scene.fps,
            codec="synthetic",
            clock_source="pts",
            duration_s=self.scene.seconds or None,
            frames=self.scene.frames,
            pixel_format="bgr24",
        )

    def read(self) -> Decoded:
        if self._painter is None or self._closed.is_set():
            raise SourceError(f"{self.scene.url}: closed while it was in use")
        late_ns = time.monotonic_ns() - self._start_mono_ns - self.scene.media_ns(self._frame)
        if self._options.realtime and late_ns > LATE_NS:
            self._frame += int(late_ns * self.scene.fps / 1e9)
        one_pass = self.scene.frames
        passes, frame = divmod(self._frame, one_pass) if one_pass else (0, self._frame)
        if passes and not self._options.loop:
            raise SourceEnded(f"{self.scene.url}: ended after {one_pass} frames")
        media_ns = self.scene.media_ns(self._frame)
        captured_ns = self._start_wall_ns + media_ns
        if self._options.realtime:
            captured_ns = self._wait_until_due(self._start_mono_ns + media_ns)
        picture = self.scene.snapshot(self._painter, frame)
        self._frame += 1
        return SyntheticDecoded(
            self._painter, picture, media_ns=media_ns, captured_ns=captured_ns, loop=passes
        )

    def _wait_until_due(self, due_mono_ns: int) -> int:
        """Sleep until then; returns the wall clock of the box at that moment."""
        wait_s = (due_mono_ns - time.monotonic_ns()) / 1e9
        if wait_s > 0 and self._closed.wait(wait_s):
            raise SourceError(f"{self.scene.url}: closed while it was in use")
        return time.time_ns() - (time.monotonic_ns() - due_mono_ns)

    def close(self) -> None:
        self._closed.set()
