"""A folder of clips, played in the order of their names as one source.

What a recorder adds later is taken up when it is whole: once a later clip has begun, or nothing was written
to it for SETTLED_S. A clip that cannot be read is left out with a line in the log; a folder of which none can
be read is an error. Media time rises over all of them; each clip is a pass of its own (`Decoded.loop`), since
the picture jumps. With `realtime` the source waits for the next clip and has no end; without it ends after
the last one, and `loop` begins with the first again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from streamer.errors import SourceDamaged, SourceEnded, SourceError
from streamer.sources.base import Decoded, ReadOptions, SourceInfo
from streamer.sources.file import FileSource
from streamer.sources.file_kind import MAKERS, MAKERS_SUFFIXES, what_else
from streamer.sources.urls import path_of

log = logging.getLogger(__name__)

SUFFIXES = (
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".3gp",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".flv",
    ),
    *(".asf", ".wmv", ".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg", ".ogv", ".ivf"),
    ".mxf",
)
SETTLED_S = 10.0
LOOK_EVERY_S = 1.0  # for new clips
BETWEEN_NS = 40_000_000  # of media time, from the last picture of a clip to the first of the next


def create(url: str, options: ReadOptions) -> FolderSource:
    return FolderSource(url, options)


class FolderSource:
    """Reads raise SourceEnded after the last clip, unless it waits for more."""

    def __init__(self, url: str, options: ReadOptions) -> None:
        self._path = path_of(url)
        self._options = options
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._clip: FileSource | None = None
        self._played = ""  # the name of the last one that was begun
        self._read_any = False
        self._number = -1
        self._shift_ns = 0  # of media time, for the clip that plays
        self._last_ns = -BETWEEN_NS
        self._bytes = 0

    def open(self) -> SourceInfo:
        found = self._options.limits.check_file(self._path)
        if not found.is_dir():
            raise SourceError(f"{self._path}: no such folder: check the path")
        self._tell_passed_over()
        info = self._next_clip()
        if info is None:
            makers = self._makers_own()
            instead = f"; {makers[0].name} is {what_else(makers[0]) or MAKERS}" if makers else ""
            raise SourceError(
                f"{self._path}: no clip in it can be read: it takes {_some_suffixes()}{instead}"
            )
        return replace(info, duration_s=None, frames=None)

    def read(self) -> Decoded:
        while True:
            clip = self._clip
            if clip is None:
                self._wait_for_next()
                continue
            try:
                return self._placed(clip.read())
            except SourceEnded:
                self._leave(clip)
            except SourceDamaged as error:
                log.warning("%s: left out from here on: %s", self._path, error)
                self._leave(clip)

    def _placed(self, decoded: Decoded) -> Decoded:
        decoded.media_ns += self._shift_ns
        decoded.loop = self._number
        self._last_ns = decoded.media_ns
        return decoded

    def _leave(self, clip: FileSource) -> None:
        self._bytes += clip.video_bytes
        clip.close()
        self._clip = None

    def _wait_for_next(self) -> None:
        """Until there is one that plays. Raise SourceEnded where none comes."""
        while self._next_clip() is None:
            if self._options.loop and self._read_any:
                self._played = ""
                self._read_any = False
                continue
            if not self._options.realtime or self._options.loop:
                raise SourceEnded(f"{self._path}: ended after {self._number + 1} clips")
            if self._closed.wait(LOOK_EVERY_S):
                raise SourceError(f"{self._path}: closed while it was in use")

    def _next_clip(self) -> SourceInfo | None:
        """Open the next one that can be read; None where there is none yet."""
        for path in self._whole_ones():
            self._raise_if_closed()
            self._played = path.name
            clip = FileSource(str(path), replace(self._options, loop=False))
            try:
                info = clip.open()
            except SourceError as error:
                clip.close()
                log.warning("%s: left out: %s", self._path, error)
                continue
            self._begin(clip)
            return info
        return None

    def _begin(self, clip: FileSource) -> None:
        with self._lock:
            self._clip = clip
        self._read_any = True
        self._number += 1
        self._shift_ns = self._last_ns + BETWEEN_NS
        self._raise_if_closed()

    def _raise_if_closed(self) -> None:
        if self._closed.is_set():
            self._close_clip()
            raise SourceError(f"{self._path}: closed while it was in use")

    def _whole_ones(self) -> list[Path]:
        """The clips after the last one, in order, without one that is still being written."""
        try:
            names = sorted(each.name for each in self._path.iterdir() if each.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read ({error.strerror}): check its rights") from None
        later = [self._path / name for name in names if name > self._played and not name.startswith(".")]
        if later and self._options.realtime and not self._options.loop and _is_written(later[-1]):
            later.pop()
        return later

    def _tell_passed_over(self) -> None:
        """Once an opening, however many there are."""
        makers = self._makers_own()
        if makers:
            log.warning(
                "%s: %d recordings in it are passed over; %s is %s",
                *(self._path, len(makers), makers[0].name, what_else(makers[0]) or MAKERS),
            )

    def _makers_own(self) -> list[Path]:
        """Recordings in containers that no player but their maker's reads, in the order of their names."""
        try:
            files = sorted(each for each in self._path.iterdir() if each.suffix.lower() in MAKERS_SUFFIXES)
        except OSError:
            return []  # what hinders is said of the clips
        return [each for each in files if not each.name.startswith(".")]

    @property
    def video_bytes(self) -> int:
        """Encoded bytes read so far."""
        clip = self._clip
        return self._bytes + (clip.video_bytes if clip is not None else 0)

    def close(self) -> None:
        self._closed.set()
        self._close_clip()

    def _close_clip(self) -> None:
        with self._lock:
            clip = self._clip
        if clip is not None:
            clip.close()


def _is_written(path: Path) -> bool:
    """Whether somebody wrote to it a moment ago, by the wall clock that file times are of."""
    try:
        return abs(time.time() - path.stat().st_mtime) < SETTLED_S
    except OSError:
        return True  # gone, or being moved


def _some_suffixes() -> str:
    return "video files such as .mp4, .mkv, .avi, .ts"
