"""What decoding costs on this box: CPU seconds per second of video, by codec and by way of decoding.

Each codec that this build of FFmpeg can write is rendered as a synthetic street, a few seconds
long, and read as a camera's stream is: by the processor, by each device that can be opened, and of its key
frames alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import av
import numpy as np
from av.codec import codecs_available
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.values import Image
from streamer.errors import SourceEnded, SourceError
from streamer.ipc.choices import Decode, Frames
from streamer.setup.real_time import end_real_time
from streamer.sources.base import create_source
from streamer.sources.hardware import DEVICES, why_not

FPS = 15
SECONDS = 4
WIDTH, HEIGHT = 640, 360
KEY_FRAME_GAP_S = 2
NOISE = 3.0  # grey values
# Codec as it is called, FFmpeg's encoder, its options: quick to write, as a camera's own encoder is.
ENCODERS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("H.264", "libx264", {"preset": "veryfast", "crf": "26"}),
    ("H.265", "libx265", {"preset": "ultrafast", "crf": "28", "x265-params": "log-level=none"}),
    ("MPEG-4", "mpeg4", {"b": "2000000"}),
    ("MJPEG", "mjpeg", {"q": "5"}),
    ("AV1", "libsvtav1", {"preset": "12", "crf": "40"}),
    ("VP9", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "1500000"}),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_s`: CPU seconds per second of video; None where it could not be decoded, for `problem`."""

    codec: str
    way: str  # "none" (the processor), a device's name, or "key": key frames alone
    cpu_s: float | None
    problem: str = ""


def decode_costs() -> Iterator[Cost]:
    """One after the other, as they are measured."""
    street = _street()
    with TemporaryDirectory(prefix="streamer-bench-") as folder:
        for codec, encoder, options in ENCODERS:
            if encoder not in codecs_available:
                yield Cost(codec, "none", None, f"this build of FFmpeg cannot write it ({encoder})")
                continue
            clip = Path(folder) / f"{encoder}.mkv"
            _write(clip, encoder, options, street)
            yield from _of_clip(codec, clip)


def _of_clip(codec: str, clip: Path) -> Iterator[Cost]:
    yield _measured(codec, "none", clip, "none", "all")
    yield _measured(codec, "key", clip, "none", "key")
    for device in DEVICES:
        reason = why_not(device)
        yield Cost(codec, device, None, reason) if reason else _on_device(codec, clip, device)


def _on_device(codec: str, clip: Path, device: str) -> Cost:
    decode: Decode = next(each for each in ("cuda", "qsv", "vaapi") if each == device)
    return _measured(codec, device, clip, decode, "all")


def _measured(codec: str, way: str, clip: Path, decode: Decode, frames: Frames) -> Cost:
    with closing(create_source(str(clip), realtime=False, decode=decode, frames=frames)) as source:
        try:
            info = source.open()
            if info.note:
                return Cost(codec, way, None, info.note)
            begun = time.process_time()
            while True:
                source.read()
        except SourceEnded:
            return Cost(codec, way, (time.process_time() - begun) / SECONDS)
        except SourceError as error:
            return Cost(codec, way, None, str(error))


def _street() -> list[Image]:
    """Rendered pictures, (H, W, 3) uint8 BGR."""
    url = f"synthetic:street?seed=1&width={WIDTH}&height={HEIGHT}&fps={FPS}&seconds={SECONDS}"
    with closing(create_source(url, realtime=False)) as scene:
        scene.open()
        rng = np.random.default_rng(1)
        return [_noisy(scene.read().image(), rng) for _ in range(FPS * SECONDS)]


def _noisy(picture: Image, rng: np.random.Generator) -> Image:
    """As a sensor by daylight has it: without it the encoder would have nothing to do."""
    noise = rng.normal(0, NOISE, (*picture.shape[:2], 1))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _write(clip: Path, encoder: str, options: dict[str, str], street: list[Image]) -> None:
    os.environ.setdefault("SVT_LOG", "1")  # errors alone: this encoder of AV1 talks a lot
    with av.open(str(clip), "w") as output:
        stream = cast(VideoStream, output.add_stream(encoder, rate=FPS, options=options))
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = FPS * KEY_FRAME_GAP_S
        stream.codec_context.open()
        end_real_time()  # of the encoder of AV1
        for picture in street:
            output.mux(stream.encode(VideoFrame.from_ndarray(picture, format="bgr24")))
        output.mux(stream.encode(None))
