"""Decodes the packets of one stream; where the processor is short, without the deblocking filter.

A fifth of what H.264 and H.265 take to decode goes into smoothing the edges of blocks. Pictures that are
predicted from unsmoothed ones drift until the next key frame, so that the decoder changes at a key frame
alone; who stands in such a picture is found nearly as well, and all cameras are looked at more often.
FFmpeg takes the setting (`skip_loop_filter`) when a decoder opens, so that there are two.
"""

from __future__ import annotations

from collections.abc import Callable

from av.codec import CodecContext
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamer.sources.opening import DECODER_OPTIONS
from streamer.sources.packets import FFMPEG_ERRORS

DEBLOCKED = ("h264", "hevc")
WITHOUT_DEBLOCKING = {"skip_loop_filter": "all"}


class PictureDecoder:
    """Of `stream`, by one thread. `spares` is asked at each key frame. Methods raise what PyAV raises."""

    def __init__(self, stream: VideoStream, spares: Callable[[], bool] | None = None) -> None:
        self._full = stream.codec_context
        self._full.thread_count = 1  # one thread costs the least CPU and memory; cameras run side by side
        self._full.options = DECODER_OPTIONS
        self._spares = spares if self._full.name in DEBLOCKED else None
        self._spared: VideoCodecContext | None = None

    @property
    def spared(self) -> bool:
        """Whether pictures are decoded without the deblocking filter now."""
        return self._spared is not None

    @property
    def is_hwaccel(self) -> bool:
        return self._full.is_hwaccel

    def decode(self, packet: Packet[Stream] | None) -> list[VideoFrame]:
        """The pictures that are complete with `packet`; None: those that the decoder still has."""
        before: list[VideoFrame] = []
        if self._spares is not None and packet is not None and packet.is_keyframe:
            before = self._change(self._spares() and not self.is_hwaccel)
        return [*before, *(self._spared or self._full).decode(packet)]

    def flush(self) -> None:
        """Forget what was decoded: what comes next begins with a key frame."""
        (self._spared or self._full).flush_buffers()

    def _change(self, spared: bool) -> list[VideoFrame]:
        """Returns what the decoder that is left still has."""
        if spared == self.spared:
            return []
        try:
            left = (self._spared or self._full).decode(None)
        except FFMPEG_ERRORS:
            left = []
        self._full.flush_buffers()
        self._spared = self._without_deblocking() if spared else None
        return left

    def _without_deblocking(self) -> VideoCodecContext:
        codec = CodecContext.create(self._full.codec, "r")
        assert isinstance(codec, VideoCodecContext)
        codec.extradata = self._full.extradata
        codec.thread_count = 1
        codec.options = {**DECODER_OPTIONS, **WITHOUT_DEBLOCKING}
        return codec
