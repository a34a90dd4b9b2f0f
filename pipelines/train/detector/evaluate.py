"""Measures detectors side by side.

    python -m pipelines.train.detector.evaluate --corpus DIR --out FILE.json MODEL …

Still sets with labels (average precision), one clip with true boxes (precision and recall at the threshold of
the card), clips with known counts (gross error). The same code for every model; classes go by their names.
What is measured where is in VALIDATION; none of it is trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.evaluate.boxes import read_mot
from pipelines.registry import create_detector
from pipelines.train.detector.counts import CLIPS, count_clip
from pipelines.train.detector.dataset import CLASSES, DatasetError, Labelled
from pipelines.train.detector.precision import (
    SIZES,
    Matched,
    at_score,
    average_precision,
    best_score,
    interval,
    match,
)
from pipelines.train.detector.prepare import frames
from pipelines.train.detector.pseudo_labels import GROUP_OF, GROUPS
from pipelines.train.detector.yolo_text import read_stills
from pipelines.values import Floats, Frame, Image, Ints, Stamp

MIN_AP_SCORE = 0.02  # scores from which average precision is measured
SIDE_SCORE = 0.3  # threshold of models without a card
PETS, PETS_TRUTH = "videos/pets09-s2l1.avi", "mot/MOT15/PETS09-S2L1/gt.txt"
PETS_SCALE, PETS_EVERY = 0.625, 10  # of the truth to the clip; frames
VALIDATION: dict[str, tuple[str, ...]] = {  # set: the groups and classes that it labels
    "coco128_train": ("person", "vehicle", *CLASSES[1:]),
    "coco128_val": ("person", "vehicle", *CLASSES[1:]),
    "pennfudan": ("person",),
    "gdansk_walkcam": ("person",),
    "rf100_tollcam": ("vehicle", "car", "bus", "truck"),
}
POOLED = {"coco128_train": "coco128", "coco128_val": "coco128"}  # reported as one
TUNING = ("coco128_train", "coco128_val", "pennfudan")  # sets on which a threshold is chosen


class ImageDetections:
    """What a model sees in one picture: boxes (N, 4) in pixels, scores (N,), class ids of CLASSES (N,)."""

    def __init__(self, detector: Detector, image: Image) -> None:
        frame = Frame(Stamp("still", 1, 0, 0, 0, 0), np.ascontiguousarray(image))
        detections = detector.collect(detector.submit([frame]))[0]
        names = detector.labels.names
        ours = np.array([CLASSES.index(n) if n in CLASSES else -1 for n in names], np.int32)
        ids = ours[detections.class_ids] if len(detections) else np.zeros(0, np.int32)
        keep = ids >= 0
        size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        self.boxes: Floats = detections.boxes_xyxyn[keep] * size
        self.scores: Floats = detections.scores[keep]
        self.ids: Ints = ids[keep]


def rows_of(name: str, ids: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which class ids belong to the group or class `name`."""
    if name in GROUPS:
        chosen: np.ndarray[tuple[int], np.dtype[np.bool_]] = GROUP_OF[ids] == GROUPS.index(name)
        return chosen
    return np.asarray(ids == CLASSES.index(name), np.bool_)


def stills(detector: Detector, corpus: Path, show: bool) -> dict[str, dict[str, list[Matched]]]:
    """For each set: "NAME" and "NAME/SIZE" -> one Matched a picture."""
    result: dict[str, dict[str, list[Matched]]] = {}
    for set_name, names in VALIDATION.items():
        parts: dict[str, list[Matched]] = {}
        pictures = list(read_stills(corpus / "images" / set_name))
        for _, image, truth in track(pictures, set_name, disable=not show):
            detected = ImageDetections(detector, image)
            for name in names:
                spans = {name: (0.0, np.inf)}
                if name in GROUPS:
                    spans |= {f"{name}/{size}": limits for size, limits in SIZES.items()}
                for key, limits in spans.items():
                    parts.setdefault(key, []).append(one(name, detected, truth, limits))
        pool = POOLED.get(set_name, set_name)
        before = result.get(pool, {})
        result[pool] = {key: before.get(key, []) + parts.get(key, []) for key in {**before, **parts}}
    return result


def one(name: str, detected: ImageDetections, truth: Labelled, limits: tuple[float, float]) -> Matched:
    """One picture, one group or class, one span of sizes."""
    mine, true = rows_of(name, detected.ids), rows_of(name, truth.classes)
    return match(detected.boxes[mine], detected.scores[mine], truth.boxes[true], limits)


def pets(detector: Detector, corpus: Path) -> list[Matched]:
    """People of a clip that no model was trained on."""
    truth = read_mot((corpus / PETS_TRUTH).read_text(), name=PETS_TRUTH)
    parts = []
    for index, image in enumerate(frames(corpus / PETS)):
        if index % PETS_EVERY:
            continue
        detected = ImageDetections(detector, image)
        mine = detected.ids == 0
        true = (truth.boxes_xyxy[truth.frames == index + 1] * PETS_SCALE).astype(np.float32)
        parts.append(match(detected.boxes[mine], detected.scores[mine], true))
    return parts


def measure(path: Path, corpus: Path, threads: int, show: bool) -> dict[str, Any]:
    """All figures of one model. Raises ModelRefused, DatasetError."""
    card = (
        read_card(path.with_suffix(".yaml"))
        if path.with_suffix(".yaml").exists()
        else ModelCard(score=SIDE_SCORE)
    )
    detector = create_detector("openvino", path, threads=threads, score=MIN_AP_SCORE, sidecar=card)
    sets = stills(detector, corpus, show)
    tuned = {POOLED.get(s, s) for s in TUNING}
    tuning = [part for name in tuned for part in sets[name]["person"]]
    people = pets(detector, corpus)
    shipping = create_detector("openvino", path, threads=threads, score=card.score, sidecar=card)
    precision, recall = at_score(people, card.score)
    counts = {clip.name: count_clip(clip, shipping, corpus / "videos") for clip in CLIPS}
    return {
        "model": path.stem,
        "input": list(detector.describe()["input"]),
        "bytes": path.stat().st_size,
        "score": card.score,
        "best_score": best_score(tuning),
        "best_scores": {name: best_score(sets[name]["person"]) for name in sorted(tuned)},
        "pets": {
            "precision": precision,
            "recall": recall,
            "ap50": average_precision(people),
            "interval": interval(people),
            "frames": len(people),
        },
        "sets": {
            name: {
                key: {"ap50": average_precision(m), "interval": interval(m), "true": sum(p.true for p in m)}
                for key, m in sorted(parts.items())
                if sum(p.true for p in m)
            }
            for name, parts in sets.items()
        },
        "counts": counts,
    }


def measure_all(models: Sequence[Path], corpus: Path, threads: int, show: bool) -> Iterator[dict[str, Any]]:
    for path in models:
        yield measure(path, corpus, threads, show)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train.detector.evaluate", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with images/, videos/ and mot/")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.json", help="figures are added to it"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(words)
    try:
        rows = json.loads(options.out.read_text()) if options.out.exists() else []
        for row in measure_all(options.models, options.corpus, options.threads, sys.stderr.isatty()):
            rows = [old for old in rows if old["model"] != row["model"]] + [row]
            options.out.write_text(json.dumps(rows, indent=1))
            people = row["pets"]
            print(
                f"{row['model']}: PETS09 precision {people['precision']:.3f}, recall {people['recall']:.3f}"
            )
    except (ModelRefused, DatasetError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
