"""Precision and recall of every model of the corpus on persons, against the values its README states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.registry import create_detector
from tests.bench import detection_data as data
from tests.conftest import CORPUS

NAME = "detectors"
DESCRIPTION = "precision and recall of each model and engine on pedestrians with true boxes"
EVERY = 20  # frames
SCORE, NMS_IOU = 0.3, 0.5
TOLERANCE = 0.03

# (precision, recall) as the corpus's README states them.
STATED = {
    "yolov8n_640": (0.89, 0.94),
    "yolo11n_320": (0.90, 0.87),
    "yolov8n_int8_320": (0.90, 0.91),
    "yolox_nano": (0.76, 0.90),
    "nanodet_320": (0.75, 0.90),
}
ENGINES = ("openvino", "onnx")


def measure(detector: Detector, corpus: Path, every: int = EVERY) -> tuple[float, float]:
    """(precision, recall) of the class person (or object) at IoU 0.5."""
    truth = data.truth_xyxy(corpus / data.TRUTH)
    score = data.Score()
    for index, image in data.images(corpus / data.CLIP, every):
        found = detector.collect(detector.submit([data.frame(image, index)]))[0]
        people = found.take(found.class_ids == 0)
        score.add(people, truth[index], image.shape[1], image.shape[0])
    return score.precision, score.recall


def open_model(engine: str, name: str, corpus: Path, precision: str = "auto") -> Detector:
    card = ModelCard(nms_iou=NMS_IOU, precision="f32" if precision == "f32" else "auto")
    return create_detector(engine, corpus / "weights" / f"{name}.onnx", threads=2, score=SCORE, sidecar=card)


def run() -> dict[str, Any]:
    rows = []
    for engine in ENGINES:
        for name, (stated_precision, stated_recall) in STATED.items():
            detector = open_model(engine, name, CORPUS)
            precision, recall = measure(detector, CORPUS)
            rows.append(
                {
                    "engine": engine,
                    "model": name,
                    "precision": round(precision, 3),
                    "recall": round(recall, 3),
                    "stated_precision": stated_precision,
                    "stated_recall": stated_recall,
                    "worst": round(min(precision - stated_precision, recall - stated_recall), 3),
                    "reached": precision >= stated_precision - TOLERANCE
                    and recall >= stated_recall - TOLERANCE,
                    "warnings": detector.describe()["warnings"],
                }
            )
    return {"score": SCORE, "nms_iou": NMS_IOU, "match_iou": data.MATCH_IOU, "every": EVERY, "models": rows}


def render(result: dict[str, Any]) -> str:
    lines = [
        f"{'engine':10}{'model':20}{'precision':>10}{'stated':>8}{'recall':>8}{'stated':>8}  worst difference"
    ]
    for row in result["models"]:
        verdict = "ok" if row["reached"] else "BELOW"
        lines.append(
            f"{row['engine']:10}{row['model']:20}{row['precision']:10.3f}{row['stated_precision']:8.2f}"
            f"{row['recall']:8.3f}{row['stated_recall']:8.2f}  {row['worst']:+.3f} {verdict}"
        )
    return "\n".join(lines)
