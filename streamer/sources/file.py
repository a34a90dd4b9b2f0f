"""Video files: paced by their own timestamps as if live, or as fast as they are read; looping by choice.

Paced, a frame is due at the time of the first one plus its media time, so that nothing drifts; a reader
that is late gets the next frames at once until it has caught up. A loop opens the file again: the picture
jumps, which `Decoded.loop` says, while media time goes on rising.
"""

from __future__ import annotations

import os
import stat
import time

from pipelines.frame_conversion import upright_size
from pipelines.video_streams import frames_per_second
from streamer.errors import SourceDamaged, SourceEnded, SourceError
from streamer.sources.base import Decoded, ReadOptions, Rested, SourceInfo
from streamer.sources.container import PacketSeen, VideoInput
from streamer.sources.file_kind import what_else
from streamer.sources.opening import OpenRequest
from streamer.sources.stream import WHOLE, VideoDecoded, describe, frames_stated, pts_ns, rested, unrested
from streamer.sources.times import FALLBACK_INTERVAL_NS, MediaClock
from streamer.sources.urls import path_of

# What FFmpeg may take a file for. Playlists are absent: they name other files and URLs to open.
_FORMATS = (
    "mov,mp4,m4a,3gp,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,h264,hevc,m4v,mjpeg,mxf,ogg,"
    "ivf,yuv4mpegpipe,av1,obu,gif,dv,rm,nut,wtv"
)


def create(url: str, options: ReadOptions) -> FileSource:
    return FileSource(url, options)


class FileSource:
    """One video file. Reads raise SourceEnded after its last frame, unless it loops."""

    def __init__(self, url: str, options: ReadOptions) -> None:
        self._path = path_of(url)
        self._found = self._path  # where it really lies, once it is open
        self._options = options
        self._input = self._new_input()
        self._closed = False
        self._clock = MediaClock(0, live=False)
        self._interval_ns = FALLBACK_INTERVAL_NS
        self._media_ns = 0  # of the last frame, over all passes
        self._pass_start_ns = 0
        self._pts_ns: int | None = None  # of the last frame
        self._rested_ns = 0  # media time up to which it has rested
        self._start_mono_ns = 0
        self._start_wall_ns = 0
        self.loop_count = 0

    def _new_input(self) -> VideoInput:
        return VideoInput(
            OpenRequest(
                url="file:" + os.path.abspath(self._found),
                shown=str(self._path),
                format=None,
                options={"protocol_whitelist": "file", "format_whitelist": _FORMATS},
                open_timeout_s=self._options.open_timeout_s,
                read_timeout_s=self._options.read_timeout_s,
                stream=self._options.stream,
                look_ahead=True,
                decode=self._options.decode,
                key_frames_only=self._options.frames == "key",
            ),
            buffer=self._options.buffer,
            spares=self._options.spares,
        )

    def open(self) -> SourceInfo:
        self._check_place()
        self._check_file()
        try:
            self._input.open()
        except SourceDamaged:
            what = what_else(self._path)
            if what:
                raise SourceDamaged(f"{self._path}: {what}") from None
            raise
        stream = self._input.stream
        fps = frames_per_second(stream)
        self._interval_ns = round(1e9 / fps) if fps else FALLBACK_INTERVAL_NS
        self._clock = MediaClock(self._interval_ns, live=False)
        frame = self._input.peek_frame(self._options.open_timeout_s)
        if frame is None:
            raise SourceDamaged(f"{self._path}: not one picture could be decoded: it is damaged")
        return describe(self._input, clock_source="pts", size=upright_size(frame), path=self._path)

    def _check_place(self) -> None:
        """Where links are followed to decides, and that file is the one that is opened."""
        found = self._options.limits.check_file(self._path)
        if self._options.limits.files is not None and found != self._found:
            self._found = found
            self._input = self._new_input()
            if self._closed:  # close() may have met the old input
                raise SourceError(f"{self._path}: closed while it was in use")

    def _check_file(self) -> None:
        """What FFmpeg would say less clearly, or wait for: a pipe or device may never answer."""
        try:
            status = self._found.stat()
        except FileNotFoundError:
            raise SourceError(f"{self._path}: no such file: check the path") from None
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be opened ({error.strerror})") from None
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"{self._path}: is a folder: give one video file")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{self._path}: is no regular file: give a video file")
        if status.st_size == 0:
            raise SourceDamaged(f"{self._path}: is empty (0 bytes): copy it again")
        if not os.access(self._path, os.R_OK, effective_ids=True):
            raise SourceError(f"{self._path}: may not be read: check the file's permissions and owner")

    def read(self) -> Decoded:
        return unrested(self.follow())

    def follow(self) -> Decoded | Rested:
        seen = self._input.next_seen(self._options.read_timeout_s)
        if seen is None:
            self._end_of_pass()
            return self.follow()
        if isinstance(seen, PacketSeen):
            return self._rested(seen)
        now_ns = time.monotonic_ns()
        came = self._input.came(seen)
        media_ns, used = self._clock.next(pts_ns(seen), now_ns)
        self._pts_ns = pts_ns(seen)
        self._media_ns = self._pass_start_ns + media_ns
        if self._start_mono_ns == 0:
            self._start_mono_ns, self._start_wall_ns = now_ns, time.time_ns()
        captured_ns = self._start_wall_ns + self._media_ns
        if self._options.realtime:
            captured_ns = self._wait_until_due(self._start_mono_ns + self._media_ns)
        return VideoDecoded(
            seen,
            media_ns=self._media_ns,
            captured_ns=captured_ns,
            received_mono_ns=came.received_mono_ns if came else time.monotonic_ns(),
            clock_source="pts" if used else "arrival",
            loop=self.loop_count,
            kept=came is not None,
        )

    def _rested(self, seen: PacketSeen) -> Rested:
        """A packet when it is due; one that does not say when, an interval after the one before."""
        if seen.dts_ns is not None and self._pts_ns is not None:
            self._rested_ns = max(self._rested_ns, self._media_ns + seen.dts_ns - self._pts_ns)
        else:
            self._rested_ns = max(self._rested_ns, self._media_ns) + self._interval_ns
        captured_ns = self._wait_until_due(self._start_mono_ns + self._rested_ns)
        return rested(seen, self._rested_ns, captured_ns, time.monotonic_ns())

    def rest(self, keys_every_s: float = 0.0) -> bool:
        if self._options.realtime:
            self._input.rest(keys_every_s)
        return self._options.realtime

    def packet_sizes(self) -> list[int]:
        return self._input.packet_sizes()

    @property
    def spared(self) -> bool:
        return self._input.spared

    def glance(self) -> None:
        self._input.glance()

    def wake(self, groups: int) -> int:
        return self._input.wake(groups)

    def _wait_until_due(self, due_mono_ns: int) -> int:
        """Sleep until then; returns the wall clock of the box at that moment."""
        wait_s = (due_mono_ns - time.monotonic_ns()) / 1e9
        if wait_s > 0 and self._input.closed.wait(wait_s):
            raise SourceError(f"{self._path}: closed while it was in use")
        return time.time_ns() - (time.monotonic_ns() - due_mono_ns)

    def _end_of_pass(self) -> None:
        """Begin the next pass. Raise SourceEnded without one."""
        frames = self._input.frames
        if not self._options.loop:
            raise SourceEnded(f"{self._path}: ended after {frames} frames{self._cut_short(frames)}")
        self._input.close()
        self._input = self._new_input()
        if self._closed:  # close() may have met the old input
            raise SourceError(f"{self._path}: closed while it was in use")
        self._pass_start_ns = self._media_ns + self._interval_ns
        self.loop_count += 1
        self.open()

    def _cut_short(self, frames: int) -> str:
        stated = frames_stated(self._input, self._path)
        if frames >= WHOLE * stated:
            return ""
        return f" of the {stated} it states: it is cut short or damaged"

    @property
    def video_bytes(self) -> int:
        """Encoded bytes read so far."""
        return self._input.video_bytes

    def close(self) -> None:
        self._closed = True
        self._input.close()
