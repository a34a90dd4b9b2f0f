"""An int8 model made of a float one with pictures of the user's own, and how much it lost on others of them.

The first part of every clip calibrates, the rest measures. What the float model sees there (in float32) is
taken for the truth: no labels are needed, and what is measured is what quantising changes, not how good the
model is. An int8 model that loses more than the limit is not installed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.detect.card import ModelCard, Quantization
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.detect.quantize import RANGES, Quantizer, quantisation_needs
from pipelines.registry import create_detector
from pipelines.values import Detections
from streamer.errors import ModelError
from streamer.models.agreement import MIN_AP_SCORE, Agreement, agreement, detect_all
from streamer.models.model_handle import ModelHandle
from streamer.models.sample_frames import SampleFrame, split

CALIBRATION_SHARE = 0.6
MIN_PICTURES = 8  # pictures to calibrate with, and as many to measure by
MIN_BOXES = 20  # of the float model in the measured part: fewer say nothing
TIMED_ROUNDS = 5
TIMED_PICTURES = 16

Step = Callable[[str, int | None], Callable[[int], None]]


@dataclass(frozen=True, slots=True)
class Quantized:
    """`usual` is what the float model loses as it runs here (bfloat16 where the chip has it); ms a frame."""

    path: Path
    card: ModelCard
    ranges: str
    int8: Agreement
    usual: Agreement
    usual_precision: str
    float_ms: float
    int8_ms: float
    float_bytes: int
    int8_bytes: int


def quantize(
    model: ModelHandle, samples: Sequence[SampleFrame], target: Path, *, threads: int, step: Step
) -> Quantized:
    """Write the int8 model to `target`. Raises ModelError where it cannot be made or measured.

    `step(what, total)` begins a part of the work and returns what counts it on.
    """
    missing = quantisation_needs()
    if missing:
        raise ModelError(missing)
    first, rest = split(samples, CALIBRATION_SHARE)
    if len(first) < MIN_PICTURES or len(rest) < MIN_PICTURES:
        raise ModelError(
            f"{len(samples)} pictures are too few to calibrate and measure: longer or more clips"
        )
    try:
        return _quantize(model, first, rest, target, threads, step)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def _quantize(
    model: ModelHandle,
    first: list[SampleFrame],
    rest: list[SampleFrame],
    target: Path,
    threads: int,
    step: Step,
) -> Quantized:
    exact = _open(model.path, model.card.model_copy(update={"precision": "f32"}), threads)
    truth = {id(part): detect_all(exact, part, step("float model", len(part))) for part in (first, rest)}
    boxes = sum(int((d.scores >= model.card.score).sum()) for d in truth[id(rest)])
    if boxes < MIN_BOXES:
        raise ModelError(
            f"the float model finds {boxes} objects in the pictures to measure by: clips with more in them"
        )
    quantizer = Quantizer(model.path, model.card, threads=threads)
    counted = step("calibration", len(first))
    for _ in quantizer.watch(sample.image for sample in first):
        counted(1)
    spans = quantizer.spans()
    card = model.card.model_copy(update={"sha256": ""})

    def made(ranges: str) -> Path:
        path = target.with_name(f"{target.stem}-{ranges}.onnx")
        quantizer.write(path, spans, ranges)
        return path

    def lost(detector: Detector, part: list[SampleFrame], what: str) -> Agreement:
        return _agreement(
            truth[id(part)], detect_all(detector, part, step(what, len(part))), detector, part, model
        )

    scores = {
        ranges: lost(_open(made(ranges), card, threads), first, f"{ranges} ranges").ap50 for ranges in RANGES
    }
    best = max(scores, key=lambda ranges: scores[ranges])
    made(best).replace(target)
    for other in set(RANGES) - {best}:
        target.with_name(f"{target.stem}-{other}.onnx").unlink()
    small, usual = _open(target, card, threads), _open(model.path, model.card, threads)
    float_ms, int8_ms = _timed(usual, small, rest[:TIMED_PICTURES])
    kept = lost(small, rest, "int8 model")
    return Quantized(
        target,
        card.model_copy(update={"quantized": _record(model, best, kept)}),
        best,
        kept,
        lost(usual, rest, "float model as it runs"),
        str(usual.describe()["precision"]),
        float_ms,
        int8_ms,
        model.path.stat().st_size,
        target.stat().st_size,
    )


def _record(model: ModelHandle, ranges: str, kept: Agreement) -> Quantization:
    return Quantization(
        of=sha256_of(model.path),
        ranges=ranges,
        pictures=kept.pictures,
        boxes=kept.boxes,
        found=kept.found,
        given=kept.given,
        ap50=round(kept.ap50, 4),
    )


def _open(path: Path, card: ModelCard, threads: int) -> Detector:
    return create_detector("openvino", path, sidecar=card, threads=threads, score=MIN_AP_SCORE)


def _agreement(
    truth: list[Detections],
    detected: list[Detections],
    detector: Detector,
    part: list[SampleFrame],
    model: ModelHandle,
) -> Agreement:
    sizes = [(sample.image.shape[1], sample.image.shape[0]) for sample in part]
    return agreement(truth, detected, detector.labels, sizes, model.card.score)


def _timed(one: Detector, other: Detector, samples: list[SampleFrame]) -> tuple[float, float]:
    """Milliseconds a frame of both, in turns, by medians."""
    both: tuple[list[float], list[float]] = ([], [])
    for _ in range(TIMED_ROUNDS):
        for detector, times in zip((one, other), both, strict=True):
            begun_s = time.perf_counter()
            detect_all(detector, samples)
            times.append((time.perf_counter() - begun_s) / len(samples) * 1e3)
    return statistics.median(both[0]), statistics.median(both[1])
