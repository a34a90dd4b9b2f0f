"""Writes H.264 clips (PyAV), complete or not at all: the file appears under its name when it is finished."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.video.stream import VideoStream

from pipelines.values import Image
from streamer.errors import ConfigError, StorageError

TIME_BASE = Fraction(1, 90_000)
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts", ".avi": "avi"}


class ClipWriter:
    """A context manager. Left by an error it leaves no file; `add` takes frames in order of media time."""

    def __init__(self, path: Path, width: int, height: int, fps: float, *, crf: int = 23, gop_s: float = 2.0):
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._size = (width - width % 2, height - height % 2)  # 4:2:0 needs even sides
        fps = fps if 0 < fps <= 240 else 25.0
        try:
            self._container = av.open(str(self._partial), "w", format=format_of(path))
        except (OSError, av.FFmpegError) as error:
            self._drop()
            raise StorageError(f"{path}: cannot be written: {_why(error)}") from error
        self._stream: VideoStream = self._container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001)
        )
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": str(crf), "g": str(max(1, round(gop_s * fps)))}
        self._stream.codec_context.time_base = TIME_BASE
        self._last_pts = -1

    def add(self, image: Image, media_ns: int) -> None:
        """Encode one picture, (H, W, 3) uint8 BGR. Raises StorageError when the disk does not take it."""
        width, height = self._size
        frame = av.VideoFrame.from_ndarray(image[:height, :width], format="bgr24")
        self._last_pts = max(self._last_pts + 1, round(media_ns * 9 / 100_000))
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        self._mux(frame)

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._container.close()
            self._drop()
            return
        try:
            self._mux(None)
            self._container.close()
            self._partial.replace(self.path)
        except (OSError, av.FFmpegError) as failure:
            self._drop()
            raise StorageError(f"{self.path}: cannot be written: {_why(failure)}") from failure

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (OSError, av.FFmpegError) as error:
            raise StorageError(f"{self.path}: cannot be written: {_why(error)}") from error

    def _drop(self) -> None:
        self._partial.unlink(missing_ok=True)


def format_of(path: Path) -> str:
    """The container that a clip's name asks for. Raises ConfigError for a name that is no clip's."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise ConfigError(f"{path}: a clip is written as {', '.join(FORMATS)}: give such a name") from None


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
