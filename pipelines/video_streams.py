"""Which video of a file is meant, where it holds several: that which FFmpeg would take.

As the `ffmpeg` command chooses (map_auto_video in fftools/ffmpeg_mux_init.c, and av_find_best_stream):
attached pictures and stills only where there is nothing else, then the default flag, then the largest
picture, then the first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from pipelines.video_facts import VideoFacts

_SANE_FPS = (0.05, 300.0)  # a container may claim anything, for example its time base
_STILLS = (
    (Disposition.attached_pic, "attached picture"),
    (Disposition.timed_thumbnails, "thumbnails"),
    (Disposition.still_image, "still picture"),
)


def frames_per_second(stream: VideoStream) -> float:
    """As the stream states it; 0 where it states nothing that can be."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and _SANE_FPS[0] <= float(rate) <= _SANE_FPS[1]:
            return float(rate)
    return 0.0


def decodable(stream: VideoStream) -> bool:
    """Whether there is a decoder for it: PyAV gives a stream without one no codec context."""
    return getattr(stream, "codec_context", None) is not None


def facts_of(stream: VideoStream, single: Collection[int] = ()) -> VideoFacts:
    """`single`: the indexes of streams in which no second picture was seen."""
    flags = stream.disposition
    still = next((name for flag, name in _STILLS if flags & flag), "")
    if not still and (stream.frames == 1 or stream.index in single):
        still = "still picture"
    known = decodable(stream)
    return VideoFacts(
        index=stream.index,
        codec=stream.codec_context.name if known else "",
        width=stream.codec_context.width if known else 0,
        height=stream.codec_context.height if known else 0,
        fps=frames_per_second(stream) if known else 0.0,
        default=bool(flags & Disposition.default),
        still=still,
    )


def best_of(found: Sequence[VideoFacts]) -> VideoFacts | None:
    """The one that is meant; an attached picture never is, unless it is asked for by its number."""
    usable = [each for each in found if each.codec and each.still not in ("attached picture", "thumbnails")]
    ranked = sorted(
        usable, key=lambda each: (bool(each.still), not each.default, -each.width * each.height, each.index)
    )
    return ranked[0] if ranked else None


def best_video(container: InputContainer) -> VideoStream | None:
    """The stream that is meant, as far as the file's header tells; None where there is no video."""
    best = best_of([facts_of(stream) for stream in container.streams.video])
    return next((s for s in container.streams.video if best is not None and s.index == best.index), None)
