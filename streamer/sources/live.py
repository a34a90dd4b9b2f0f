"""What all cameras have in common once FFmpeg has them open: pictures with times, rests, and one way to end.

Media time follows the stream's own timestamps where it has any that are worth it; the wall clock is the
box's own at arrival, since a camera's clock is evidence and not authority. A stream that ends is an error
here: cameras do not end.
"""

from __future__ import annotations

import time
from dataclasses import replace

from av.video.frame import VideoFrame

from pipelines.video_streams import frames_per_second
from streamer.errors import SourceDamaged, SourceError, SourceStalled
from streamer.sources.base import Decoded, ReadOptions, Rested, SourceInfo
from streamer.sources.container import PacketSeen, VideoInput
from streamer.sources.opening import OpenRequest
from streamer.sources.read_deadline import rounded
from streamer.sources.stream import VideoDecoded, describe, pts_ns, rested, unrested
from streamer.sources.times import FALLBACK_INTERVAL_NS, MediaClock


class LiveSource:
    """One camera's stream. Its first picture may take as long as an open: it begins with a key frame.

    The `request` says how it is opened; what `options` choose of it is filled in here. `clock_source` says
    whose time the stream's timestamps are; "arrival": they mean nothing.
    """

    clock_source = "pts"

    def __init__(self, request: OpenRequest, options: ReadOptions) -> None:
        self.shown = request.shown
        self._options = options
        self._clock = MediaClock(0, live=True)
        chosen = replace(
            request,
            open_timeout_s=options.open_timeout_s,
            stream=options.stream,
            decode=options.decode,
            key_frames_only=options.frames == "key",
        )
        self._input = VideoInput(chosen, buffer=options.buffer, spares=options.spares)

    def open(self) -> SourceInfo:
        try:
            return self._open()
        except SourceError as error:
            raise self._failed(error) from None

    def _open(self) -> SourceInfo:
        self._input.open()
        codec = self._input.stream.codec_context
        if codec.width <= 0 or codec.height <= 0:
            raise SourceStalled(
                f"{self.shown}: no picture size and no key frame within "
                f"{rounded(self._options.open_timeout_s)}: set a shorter key frame gap in the camera"
            )
        fps = frames_per_second(self._input.stream)
        self._clock = MediaClock(round(1e9 / fps) if fps else FALLBACK_INTERVAL_NS, live=True)
        return describe(self._input, clock_source=self.clock_source, size=(codec.width, codec.height))

    def _failed(self, error: SourceError) -> SourceError:
        """What `error`, of an open or a read, is told as."""
        return error

    def read(self) -> Decoded:
        return unrested(self.follow())

    def follow(self) -> Decoded | Rested:
        try:
            return self._follow()
        except SourceError as error:
            raise self._failed(error) from None

    def _follow(self) -> Decoded | Rested:
        first = self._input.frames == 0
        timeout_s = self._options.read_timeout_s
        seen = self._input.next_seen(max(timeout_s, self._options.open_timeout_s) if first else timeout_s)
        if seen is None:
            raise self._ended(first)
        now_ns = time.monotonic_ns()
        if isinstance(seen, PacketSeen):
            return rested(seen, self._clock.passed_ns(now_ns), time.time_ns(), now_ns)
        return self._decoded(seen, now_ns)

    def _ended(self, first: bool) -> SourceError:
        if first:
            return SourceDamaged(f"{self.shown}: the camera ended the stream before its first picture")
        return SourceError(f"{self.shown}: the camera ended the stream")

    def _decoded(self, frame: VideoFrame, now_ns: int) -> Decoded:
        timed = self.clock_source != "arrival"
        media_ns, used = self._clock.next(pts_ns(frame) if timed else None, now_ns)
        came = self._input.came(frame)
        return VideoDecoded(
            frame,
            media_ns=media_ns,
            captured_ns=came.captured_ns if came else time.time_ns(),
            received_mono_ns=came.received_mono_ns if came else now_ns,
            clock_source=self.clock_source if used else "arrival",
            kept=came is not None,
        )

    def rest(self, keys_every_s: float = 0.0) -> bool:
        self._input.rest(keys_every_s)
        return True

    def packet_sizes(self) -> list[int]:
        return self._input.packet_sizes()

    @property
    def spared(self) -> bool:
        return self._input.spared

    def glance(self) -> None:
        self._input.glance()

    def wake(self, groups: int) -> int:
        return self._input.wake(groups)

    @property
    def video_bytes(self) -> int:
        """Encoded bytes read so far."""
        return self._input.video_bytes

    def close(self) -> None:
        self._input.close()
