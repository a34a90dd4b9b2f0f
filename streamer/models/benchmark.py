"""What a model costs on this box: every engine and precision that can run it, in turns, round by round.

The machine's mood falls on all alike; medians over rounds are reported. Frames go through as in the daemon:
as many tickets open as the engine takes, preprocessing and suppression included. What a camera costs besides
is decoding, an assumption that is printed with the answer.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.letterbox import input_shape
from pipelines.registry import DETECTORS, create_detector
from streamer.errors import ModelError
from streamer.models.agreement import detect_all
from streamer.models.model_handle import ModelHandle
from streamer.models.sample_frames import SampleFrame

SPARE = 0.8  # of the cores: the rest is for tracking, delivery and whatever else happens
DECODE_CORES = 0.045  # of one for a 1280x720 stream at 25 fps (docs/operator-guide.md)


Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, slots=True)
class Timing:
    """One way to run the model. `size` is its own input; `inputs` those of the pictures' own shapes, with
    `input_shape: picture`. `cpu_ms` is the time of all cores together for one frame.
    """

    engine: str
    precision: str
    size: Size
    inputs: list[Size]
    batch: int
    ms: float
    worst_ms: float
    cpu_ms: float
    cameras: int
    note: str = ""

    @property
    def fps(self) -> float:
        return 1000.0 / self.ms


@dataclass(frozen=True, slots=True)
class Variant:
    engine: str
    card: ModelCard


def variants(model: ModelHandle, sizes: Sequence[Size], engines: Sequence[str]) -> list[Variant]:
    """Every way worth timing: each engine, and each precision and shape that may differ, at each size."""
    result: list[Variant] = []
    engines_able = ("torch",) if model.path.suffix == ".pt" else ("openvino", "onnx")
    for engine in engines or engines_able:
        if engine not in DETECTORS or engine == "motion":
            raise ModelError(f"unknown engine {engine!r}: one of {', '.join(engines_able)}")
        if engine not in engines_able:
            raise ModelError(
                f"engine {engine!r} does not run {model.path.name}: one of {', '.join(engines_able)}"
            )
        precisions = ("auto", "f32") if engine != "onnx" else ("f32",)
        shapes = ("fixed", "picture") if engine == "openvino" else ("fixed",)
        for size, shape, precision in product(sizes or (model.card.input_size,), shapes, precisions):
            ways = {"input_size": size, "input_shape": shape, "precision": precision}
            result.append(Variant(engine, model.card.model_copy(update=ways)))
    return result


def bench(
    model: ModelHandle,
    tried: Sequence[Variant],
    samples: Sequence[SampleFrame],
    *,
    rounds: int,
    threads: int,
    camera_fps: float,
    decode_cores: float = DECODE_CORES,
    progress: Callable[[int], None] | None = None,
) -> list[Timing]:
    """Timings in the order of `tried`, without what turned out to be the same. Raises ModelError."""
    opened = _opened(model, tried, threads)
    detectors = [detector for _, detector in opened]
    times: list[list[tuple[float, float]]] = [[] for _ in detectors]
    for number in range(rounds + 1):
        order = range(len(detectors)) if number % 2 else reversed(range(len(detectors)))
        for i in order:
            spent = _round(detectors[i], samples)
            if number:  # the first round warms up
                times[i].append(spent)
            if progress is not None:
                progress(1)
    cores = len(os.sched_getaffinity(0))
    sizes = {(sample.image.shape[1], sample.image.shape[0]) for sample in samples}
    return [
        _timing(detector, _inputs(variant, detector, sizes), spent, cores, camera_fps, decode_cores)
        for (variant, detector), spent in zip(opened, times, strict=True)
    ]


def _opened(model: ModelHandle, tried: Sequence[Variant], threads: int) -> list[tuple[Variant, Detector]]:
    """A detector for each variant; one that runs as another does (no bfloat16 here, or a graph whose shape
    is fixed) only once.
    """
    opened: list[tuple[Variant, Detector]] = []
    keys = set()
    for variant in tried:
        try:
            detector = create_detector(variant.engine, model.path, sidecar=variant.card, threads=threads)
        except ModelRefused as error:
            raise ModelError(str(error)) from error
        description = detector.describe()
        if variant.card.input_size and tuple(description["input"]) != variant.card.input_size:
            fixed = "x".join(map(str, description["input"]))
            raise ModelError(
                f"{model.path.name}: its input is {fixed} and cannot be changed: leave --size out"
            )
        compiled = description.get("compiled", [description["input"]])
        key = (description["engine"], description["precision"], str(description["input"]), str(compiled))
        if key not in keys:
            keys.add(key)
            opened.append((variant, detector))
    return opened


def _round(detector: Detector, samples: Sequence[SampleFrame]) -> tuple[float, float]:
    """(ms, CPU ms) a frame."""
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    detect_all(detector, samples)
    took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    return took_s / len(samples) * 1e3, cpu_s / len(samples) * 1e3


def _inputs(variant: Variant, detector: Detector, pictures: Collection[Size]) -> list[Size]:
    """Those in which pictures of these sizes are computed, where they are not the detector's own."""
    if variant.card.input_shape == "fixed":
        return []
    described = detector.describe()
    compiled = {(wide, high) for wide, high in described["compiled"]}
    return sorted({input_shape(*picture, described["input"]) for picture in pictures} & compiled)


def _timing(
    detector: Detector,
    inputs: list[Size],
    times: list[tuple[float, float]],
    cores: int,
    camera_fps: float,
    decode_cores: float,
) -> Timing:
    description: dict[str, Any] = detector.describe()
    ms = statistics.median(wall for wall, _ in times)
    cpu_ms = statistics.median(cpu for _, cpu in times)
    note = str(description.get("device", "")) if description["engine"] == "torch" else ""
    return Timing(
        description["engine"],
        description["precision"],
        (description["input"][0], description["input"][1]),
        inputs,
        description["max_batch"],
        ms,
        max(wall for wall, _ in times),
        cpu_ms,
        cameras(ms, cpu_ms, cores, camera_fps, decode_cores),
        note,
    )


def cameras(ms: float, cpu_ms: float, cores: int, fps: float, decode_cores: float) -> int:
    """How many cameras at `fps` analysed frames a second engine and cores both have room for."""
    by_engine = SPARE * 1000.0 / (ms * fps)
    by_cores = SPARE * cores / (fps * cpu_ms / 1000.0 + decode_cores)
    return int(min(by_engine, by_cores))
