"""What files and cameras have in common once FFmpeg has them open: facts, timestamps and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from pipelines.frame_conversion import upright_size, write_bgr
from pipelines.geometry import fit
from pipelines.values import Image
from pipelines.video_streams import frames_per_second
from streamer.sources.avi_index import video_chunks
from streamer.sources.base import Decoded, Rested, SourceInfo
from streamer.sources.container import PacketSeen, VideoInput

WHOLE = 0.95  # of the frames a file states; an edit list may leave out a few


class VideoDecoded(Decoded):
    """A picture that FFmpeg decoded; it holds the decoder's own memory until it is dropped."""

    __slots__ = ("frame",)

    def __init__(self, frame: VideoFrame, **times: Any) -> None:
        width, height = upright_size(frame)
        super().__init__(width, height, key_frame=bool(frame.key_frame), **times)
        self.frame = frame

    def write_bgr(self, out: Image) -> None:
        write_bgr(self.frame, out)

    def shrink(self, max_width: int) -> None:
        if self.frame.rotation == 0 and self.frame.width > max_width > 0:
            width, height = fit(self.width, self.height, max_width)
            self.frame = self.frame.reformat(width, height)


def rested(seen: PacketSeen, media_ns: int, captured_ns: int, received_mono_ns: int) -> Rested:
    """What a source gives of a packet while it rests."""
    picture = None
    if seen.picture is not None:
        times = {"captured_ns": captured_ns, "received_mono_ns": received_mono_ns}
        picture = VideoDecoded(seen.picture, media_ns=media_ns, clock_source="arrival", **times)
    return Rested(seen.size, captured_ns, received_mono_ns, seen.let_go, seen.too_long, picture)


def unrested(seen: Decoded | Rested) -> Decoded:
    """What is read of a source that nobody lets rest."""
    assert isinstance(seen, Decoded), "it rests: follow() it"
    return seen


def pts_ns(frame: VideoFrame) -> int | None:
    """The presentation timestamp in nanoseconds, as the stream counts them; None where there is none.

    AVI has decoding timestamps only. They rise as well, and the decoder puts them out in order.
    """
    ticks, base = frame.dts if frame.pts is None else frame.pts, frame.time_base
    if ticks is None or not base:
        return None
    return int(ticks * 1_000_000_000 * base.numerator // base.denominator)


def frames_stated(video: VideoInput, path: Path | None = None) -> int:
    """How many pictures the file says it holds; 0: it does not say.

    Recorders write an empty packet where the picture is the one before, and the header counts these: the
    index knows better, where it lists about as many as the header states.
    """
    listed, empty = video.listed, video.listed_empty
    if path is not None and video.format == "avi":
        listed, empty = video_chunks(path, video.index)
    return max(0, video.stated - empty) if listed >= WHOLE * video.stated else video.stated


def describe(
    video: VideoInput, *, clock_source: str, size: tuple[int, int], path: Path | None = None
) -> SourceInfo:
    """SourceInfo of an open input with pictures of `size`; `path` where it is a file."""
    stream, codec = video.stream, video.stream.codec_context
    duration = video.container.duration
    return SourceInfo(
        width=size[0],
        height=size[1],
        fps=frames_per_second(stream),
        codec=codec.name,
        clock_source=clock_source,
        duration_s=duration / 1e6 if duration is not None and duration > 0 else None,
        frames=frames_stated(video, path) or None,
        pixel_format=codec.pix_fmt or "",
        stream=stream.index,
        videos=video.videos,
        decoder=video.decoder,
        note=video.note,
    )
