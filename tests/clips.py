"""Video clips that tests encode for themselves: small, and every picture tells its own number.

The upper half is a row of 12 black or white cells, the frame's number in binary, highest bit first; the
lower half a grey that moves, so that the encoder has something to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from pipelines.values import Image
from streamer.setup.real_time import end_real_time

BITS = 12


def numbered_picture(number: int, width: int, height: int) -> Image:
    """(height, width, 3) uint8 BGR."""
    picture = np.empty((height, width, 3), np.uint8)
    shade = (np.arange(width) + 4 * number) % 160 + 40
    picture[:] = shade[None, :, None]
    for bit in range(BITS):
        left, right = width * bit // BITS, width * (bit + 1) // BITS
        picture[: height // 2, left:right] = 235 if number >> (BITS - 1 - bit) & 1 else 16
    return picture


def number_of(picture: Image) -> int:
    """The number that numbered_picture() drew, read back from a decoded and scaled picture."""
    height, width = picture.shape[:2]
    row = picture[height // 8 : height * 3 // 8, :, 1].mean(axis=0)
    cells = [
        row[int(width * (bit + 0.3) / BITS) : int(width * (bit + 0.7) / BITS)].mean() for bit in range(BITS)
    ]
    return sum(1 << (BITS - 1 - bit) for bit, cell in enumerate(cells) if cell > 126)


def make_clip(
    path: Path,
    *,
    frames: int = 50,
    width: int = 320,
    height: int = 180,
    fps: int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    draw: Callable[[int, int, int], Image] = numbered_picture,
    pts: Iterable[int] | None = None,
    key_frame_gap: int = 25,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode `frames` pictures to `path`; `pts`, in frames, where they shall not rise by one."""
    with av.open(str(path), "w", options=dict(container_options or {})) as output:
        stream = output.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.gop_size = key_frame_gap
        stream.codec_context.thread_count = 1
        stream.codec_context.open()
        end_real_time()  # of the encoder of AV1
        for number, ticks in zip(range(frames), pts or range(frames), strict=False):
            frame = av.VideoFrame.from_ndarray(draw(number, width, height), format="bgr24")
            frame.pts, frame.time_base = ticks, Fraction(1, fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def repeat_clip(clip: Path, path: Path, times: int) -> Path:
    """The packets of `clip`, `times` over, without encoding again."""
    with av.open(str(path), "w") as output:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                end = 0
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    end = max(end, (packet.pts or 0) + (packet.duration or 0))
                    packet.pts = (packet.pts or 0) + offset
                    packet.dts += offset
                    packet.stream = stream
                    output.mux(packet)
                offset += end
    return path


def make_audio(path: Path, seconds: float = 1.0) -> Path:
    """A sound and no picture."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        samples = np.zeros((1, 1024), np.float32)
        for start in range(0, int(48000 * seconds), 1024):
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def put_together(path: Path, *parts: tuple[Path, Disposition]) -> Path:
    """One file with the streams of several, in this order, their packets side by side in time."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(av.open(str(path), "w"))
        sources, packets = [], []
        for part, flags in parts:
            source = stack.enter_context(av.open(str(part)))
            stream = output.add_stream_from_template(source.streams[0])
            stream.disposition = flags
            sources.append((source, stream))
        for source, stream in sources:
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    time_s = float(packet.dts * packet.time_base)
                    packet.stream = stream
                    packets.append((time_s, stream.index, packet))
        for _, _, packet in sorted(packets, key=lambda each: each[:2]):
            output.mux(packet)
    return path


def write_playlist(clip: Path, folder: Path, segment_s: float) -> list[Path]:
    """The clip as an HLS recording, a.m3u8 in `folder`; returns its segments in order."""
    segment = {"hls_segment_filename": str(folder / "s%d.ts")}
    options = {"hls_time": f"{segment_s:g}", "hls_list_size": "0", **segment}
    with av.open(str(clip)) as source, av.open(str(folder / "a.m3u8"), "w", "hls", options=options) as out:
        video = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
    return sorted(folder.glob("s*.ts"), key=lambda path: int(path.stem[1:]))
