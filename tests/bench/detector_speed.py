"""What YOLOv8n at 640 costs a frame: engines and precisions, and all that we add to the bare engine.

The rounds of the rivals take turns, since other work on the machine slows all alike; medians are over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.graph import ov
from pipelines.registry import create_detector
from pipelines.values import Detections, Frame
from tests.bench import detection_data as data
from tests.bench.detectors import open_model
from tests.conftest import CORPUS

NAME = "detector-speed"
DESCRIPTION = (
    "milliseconds and CPU a frame of YOLOv8n 640: engines, precisions, and what we add to the engine"
)
MODEL = "yolov8n_640"
ROUNDS, FRAMES = 10, 20
CLIP = "videos/overpass-cars.mp4"  # 640x360: fits the model's input without a resize


def run() -> dict[str, Any]:
    frames = [data.frame(image, i) for i, image in data.images(CORPUS / CLIP, 10)][:FRAMES]
    detectors = {
        "openvino bf16/auto": open_model("openvino", MODEL, CORPUS),
        "openvino, picture shape": create_detector(
            "openvino",
            CORPUS / "weights" / f"{MODEL}.onnx",
            threads=2,
            sidecar=ModelCard(input_shape="picture"),
        ),
        "openvino f32": open_model("openvino", MODEL, CORPUS, "f32"),
        "onnx f32": open_model("onnx", MODEL, CORPUS),
    }
    loops: dict[str, Callable[[], None]] = {"bare openvino, auto": _bare_loop("")}
    for name, detector in detectors.items():
        loops[name] = lambda detector=detector: _pipelined(detector, frames)  # type: ignore[misc]
    timings: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for _ in range(ROUNDS):
        for name, loop in loops.items():
            timings[name].append(_timed(loop))
    ms = {name: np.median(values, axis=0) / FRAMES * 1e3 for name, values in timings.items()}
    return {
        "precision": detectors["openvino bf16/auto"].describe()["precision"],
        "frame": list(frames[0].image.shape),
        "ms_per_frame": {name: round(float(v[0]), 3) for name, v in ms.items()},
        "cpu_ms_per_frame": {name: round(float(v[1]), 3) for name, v in ms.items()},
        "own_cpu_ms": _own_share(detectors["openvino bf16/auto"], frames),
        "agreement_with_f32": _agreement(detectors["openvino bf16/auto"], detectors["openvino f32"], frames),
    }


def _pipelined(detector: Detector, frames: list[Frame]) -> None:
    ahead = detector.submit(frames[:1])
    for frame in frames[1:]:
        following = detector.submit([frame])
        detector.collect(ahead)
        ahead = following
    detector.collect(ahead)


def _bare_loop(precision: str) -> Callable[[], None]:
    """The engine alone: one request, float input as exported, no pre- or post-processing."""
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 2}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    request = ov.compile_model(
        str(CORPUS / "weights" / f"{MODEL}.onnx"), "CPU", settings
    ).create_infer_request()
    request.infer([np.full(tuple(request.get_input_tensor().shape), 0.4, np.float32)])

    def loop() -> None:
        for _ in range(FRAMES):
            request.infer()

    return loop


def _timed(loop: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    loop()
    return time.perf_counter() - wall, time.process_time() - cpu


def _own_share(detector: Detector, frames: list[Frame]) -> dict[str, float]:
    """CPU milliseconds a frame of this thread in submit() and collect(): the engine computes in others."""
    before, after = [], []
    for frame in frames * ROUNDS:
        start = time.thread_time()
        ticket = detector.submit([frame])
        middle = time.thread_time()
        detector.collect(ticket)
        before.append(middle - start)
        after.append(time.thread_time() - middle)
    return {
        "before": round(float(np.median(before)) * 1e3, 3),
        "after": round(float(np.median(after)) * 1e3, 3),
    }


def _agreement(one: Detector, other: Detector, frames: list[Frame]) -> dict[str, Any]:
    """Share of boxes of score 0.4 and more that the other precision finds too, and how far they differ."""
    pairs = matched = 0
    offsets, scores = [], []
    for frame in frames:
        a, b = (d.collect(d.submit([frame]))[0] for d in (one, other))
        for i in np.flatnonzero(b.scores >= 0.4):
            pairs += 1
            near = _nearest(a, b, int(i))
            if near is not None:
                matched += 1
                offsets.append(float(np.abs(a.boxes_xyxyn[near] - b.boxes_xyxyn[i]).max()))
                scores.append(abs(float(a.scores[near] - b.scores[i])))
    return {
        "boxes": pairs,
        "matched": matched,
        "median_offset_of_picture": round(float(np.median(offsets)), 5),
        "worst_offset_of_picture": round(max(offsets), 4),
        "worst_score_difference": round(max(scores), 3),
    }


def _nearest(found: Detections, wanted: Detections, i: int) -> int | None:
    same = np.flatnonzero(found.class_ids == wanted.class_ids[i])
    if not len(same):
        return None
    distance = np.abs(found.boxes_xyxyn[same] - wanted.boxes_xyxyn[i]).max(axis=1)
    return int(same[distance.argmin()]) if distance.min() < 0.05 else None


def render(result: dict[str, Any]) -> str:
    lines = [f"{'':24}{'ms/frame':>10}{'CPU ms/frame':>14}"]
    for name, ms in result["ms_per_frame"].items():
        lines.append(f"{name:24}{ms:10.2f}{result['cpu_ms_per_frame'][name]:14.2f}")
    own = result["own_cpu_ms"]
    lines.append(f"our own CPU a frame: {own['before']:.3f} ms before, {own['after']:.3f} ms after inference")
    agreement = result["agreement_with_f32"]
    lines.append(
        f"{result['precision']} finds {agreement['matched']} of {agreement['boxes']} boxes that f32 finds;"
        f" worst offset {agreement['worst_offset_of_picture']} of the picture,"
        f" worst score difference {agreement['worst_score_difference']}"
    )
    return "\n".join(lines)
