"""A short measurement of what this box takes to decode a frame, and to analyse one with a model.

The clips are rendered and encoded here, with a sensor's noise, so that they have a camera's bit rate. What is
measured is CPU time, which other work on the box changes little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.pipeline import Pipeline
from pipelines.rules import LineSpec
from pipelines.values import Frame, Image, Stamp
from streamer.api.capacity.costs import Costs, DecodeCost
from streamer.api.capacity.fits import STREAMS
from streamer.clips.video_writer import ClipWriter
from streamer.errors import SourceEnded
from streamer.models.sample_frames import SCENE
from streamer.sources.base import Decoded, Source, create_source

PICTURES = 40  # of a clip
NOISE = 3.0  # grey values, of a sensor by daylight
WARM_UP = 4  # frames that are analysed before the clock runs: the first of a shape compiles
ANALYSED = 24
LINE = LineSpec(name="measured", points=((0.5, 1.0), (0.5, 0.0)))


def measure(detector: Detector, model: str) -> Costs:
    """Decode and analyse for some seconds. Raises StorageError where there is no room for a few clips of a
    megabyte or two."""
    street = _street()
    with tempfile.TemporaryDirectory(prefix="streamer-capacity-") as folder:
        decode = tuple(
            _decoding(Path(folder) / f"{width}.mp4", street, width, height, fps)
            for _, width, height, fps in STREAMS
        )
    return Costs(decode, _analysis_ms(detector, street), model)


def _street() -> list[Image]:
    """Rendered pictures of a street, 640x360 BGR."""
    with closing(create_source(SCENE, realtime=False)) as source:
        source.open()
        return [source.read().image() for _ in range(PICTURES)]


def _decoding(path: Path, street: list[Image], width: int, height: int, fps: float) -> DecodeCost:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, NOISE, (height, width, 1))
    with ClipWriter(path, width, height, fps) as clip:
        for number, picture in enumerate(street):
            moved = np.roll(noise, 7919 * number)  # as good as new, and drawn once
            large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
            clip.add(np.clip(large + moved, 0, 255).astype(np.uint8), round(number * 1e9 / fps))
    began_ns, frames = time.thread_time_ns(), 0
    with closing(create_source(str(path), realtime=False)) as source:
        source.open()
        began_ns = time.thread_time_ns()
        frames = sum(1 for _ in _pictures(source))
    took_ms = (time.thread_time_ns() - began_ns) / 1e6
    return DecodeCost("h264", width * height, took_ms / frames, f"a rendered clip of {width}x{height}")


def _pictures(source: Source) -> Iterator[Decoded]:
    while True:
        try:
            yield source.read()
        except SourceEnded:
            return


def _analysis_ms(detector: Detector, street: list[Image]) -> float:
    """CPU time of all threads for a frame that is scaled, detected, tracked and counted."""
    pipeline = Pipeline(detector)
    pipeline.open_camera("measured", CameraRules(lines=(LINE,)))
    began_ns = time.process_time_ns()
    for number in range(WARM_UP + ANALYSED):
        if number == WARM_UP:
            began_ns = time.process_time_ns()
        picture = street[number % len(street)]
        at_ns = number * 100_000_000
        pipeline.step([Frame(Stamp("measured", 1, number, at_ns, at_ns, 0), picture)])
    return (time.process_time_ns() - began_ns) / ANALYSED / 1e6
