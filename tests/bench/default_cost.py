"""What the default detector costs a frame beside YOLOX-nano: same size, same run, all steps, one thread.

The default detector in the picture's shape and in its square; YOLOX-nano in the square.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector
from pipelines.registry import create_detector
from pipelines.values import Frame
from tests.bench import detection_data as data
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS, REPO

NAME = "default-cost"
DESCRIPTION = "CPU a frame of the default detector beside YOLOX-nano at the same size, with all steps"
CLIP = "videos/overpass-cars.mp4"
EVERY, FRAMES = 30, 40
SIZE = (416, 416)
RIVAL = "weights/yolox_nano.onnx"


def run(model: str = "pipelines/models/default.onnx") -> dict[str, Any]:
    """`model`: of the repository, such as pipelines/models/default-int8.onnx."""
    if not (CORPUS / RIVAL).exists():
        raise Unavailable(f"{CORPUS / RIVAL} is missing")
    frames = [data.frame(image, i) for i, image in data.images(CORPUS / CLIP, EVERY)][:FRAMES]
    return {precision: _beside(model, precision, frames) for precision in ("auto", "f32")}


def _beside(model: str, precision: str, frames: list[Frame]) -> dict[str, float]:
    """Median CPU milliseconds of each, and the medians of the ratios frame by frame."""
    ours = [_open(model, precision, shape) for shape in ("picture", "fixed")]
    each = [*ours, _open(RIVAL, precision, "fixed")]
    times = np.array([[_cpu_ms(one, frame) for one in each] for frame in frames[:3] + frames])[3:]
    middle = np.median(times, axis=0)
    return {
        "picture": float(middle[0]),
        "square": float(middle[1]),
        "yolox_nano": float(middle[2]),
        "picture_to_square": float(np.median(times[:, 0] / times[:, 1])),
        "ratio": float(np.median(times[:, 0] / times[:, 2])),
    }


def _open(name: str, precision: str, shape: str) -> Detector:
    path = REPO / name if (REPO / name).exists() else CORPUS / name
    card = read_card(path.with_suffix(".yaml")) if path.with_suffix(".yaml").exists() else ModelCard()
    fixed = {"precision": precision, "input_shape": shape, "score": 0.3}
    if path.is_relative_to(REPO):
        fixed["input_size"] = SIZE
    return create_detector("openvino", path, threads=1, sidecar=card.model_copy(update=fixed))


def _cpu_ms(detector: Detector, frame: Frame) -> float:
    before = time.process_time()
    detector.collect(detector.submit([frame]))
    return (time.process_time() - before) * 1e3


def render(result: dict[str, Any]) -> str:
    lines = ["CPU ms a frame at 416, all steps, one thread; the ratios are of the picture's shape"]
    lines.append("precision  picture  square  YOLOX-nano  to the square  to YOLOX-nano")
    for precision, row in result.items():
        lines.append(
            f"{precision:9}  {row['picture']:7.2f}  {row['square']:6.2f}  {row['yolox_nano']:10.2f}  "
            f"{row['picture_to_square']:13.2f}  {row['ratio']:13.2f}"
        )
    return "\n".join(lines)
