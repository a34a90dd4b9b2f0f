"""RTSP cameras over TCP: H.264, H.265 and whatever else FFmpeg decodes.

Times: media time follows the camera's RTP timestamps, the wall clock is the box's own at arrival, since a
camera's clock is evidence and not authority. A stream that ends is an error here: cameras do not end.
"""

from __future__ import annotations

import socket
import time

from streamer.errors import SourceDamaged, SourceError, SourceStalled
from streamer.sources.base import Decoded, ReadOptions, SourceInfo
from streamer.sources.container import OpenRequest, VideoInput
from streamer.sources.stream import VideoDecoded, describe, frames_per_second, pts_ns
from streamer.sources.times import FALLBACK_INTERVAL_NS, MediaClock
from streamer.urls import host_and_port, join_credentials, redact, split_credentials

# Where the SDP does not hold the picture's size, FFmpeg reads on for the first key frame: this part of the
# open timeout.
_ANALYZE_SHARE = 0.8


def create(url: str, options: ReadOptions) -> RtspSource:
    return RtspSource(url, options)


class RtspSource:
    """One RTSP stream. Its first picture may take as long as an open: it begins with a key frame."""

    def __init__(self, url: str, options: ReadOptions) -> None:
        clean, user, password = split_credentials(url)
        self.shown = redact(clean)
        self._host, self._port = host_and_port(clean)
        self._options = options
        self._clock = MediaClock(0, live=True)
        self._input = VideoInput(
            OpenRequest(
                url=join_credentials(clean, user, password),
                shown=self.shown,
                format="rtsp",
                options=_ffmpeg_options(options),
                open_timeout_s=options.open_timeout_s,
                read_timeout_s=options.read_timeout_s,
                prepare=self._resolve,
            )
        )

    def _resolve(self) -> None:
        """FFmpeg would call an unknown host an input/output error."""
        try:
            socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise SourceError(
                f"{self.shown}: no host of the name {self._host}: check it, or use its address"
            ) from None

    def open(self) -> SourceInfo:
        self._input.open()
        codec = self._input.stream.codec_context
        if codec.width <= 0 or codec.height <= 0:
            raise SourceStalled(
                f"{self.shown}: no picture size and no key frame within {self._options.open_timeout_s:g} s: "
                "set a shorter key frame gap in the camera"
            )
        fps = frames_per_second(self._input.stream)
        self._clock = MediaClock(round(1e9 / fps) if fps else FALLBACK_INTERVAL_NS, live=True)
        return describe(self._input, clock_source="rtp", size=(codec.width, codec.height))

    def read(self) -> Decoded:
        first = self._input.frames == 0
        timeout_s = self._options.read_timeout_s
        frame = self._input.next_frame(max(timeout_s, self._options.open_timeout_s) if first else timeout_s)
        if frame is None:
            if first:
                raise SourceDamaged(f"{self.shown}: the camera ended the stream before its first picture")
            raise SourceError(f"{self.shown}: the camera ended the stream")
        now_ns = time.monotonic_ns()
        media_ns, used = self._clock.next(pts_ns(frame), now_ns)
        return VideoDecoded(
            frame,
            media_ns=media_ns,
            captured_ns=time.time_ns(),
            received_mono_ns=now_ns,
            clock_source="rtp" if used else "arrival",
        )

    @property
    def video_bytes(self) -> int:
        """Encoded bytes read so far."""
        return self._input.video_bytes

    def close(self) -> None:
        self._input.close()


def _ffmpeg_options(options: ReadOptions) -> dict[str, str]:
    """Options of FFmpeg's RTSP demuxer (ffmpeg.org/ffmpeg-protocols.html#rtsp)."""
    return {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",  # no audio: less to carry, and FFmpeg need not align the two clocks
        # µs, of one wait on the socket; the default is none. Longer than our own deadlines, which say more.
        "timeout": str(round((options.open_timeout_s + options.read_timeout_s) * 1e6)),
        "analyzeduration": str(round(options.open_timeout_s * _ANALYZE_SHARE * 1e6)),
        "fpsprobesize": "0",  # else an open waits for 20 pictures, which then come in one late burst
        "protocol_whitelist": "rtsp,rtp,tcp,tls,crypto",
    }
