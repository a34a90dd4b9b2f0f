"""Precision and recall of the default detector at other shapes and sizes of input, on what no training saw.

Pedestrians of PETS09-S2L1 with true boxes, and the labelled stills that no training saw. By the height that
an object has in the input, in pixels, too: what a smaller input may not go below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.detect.card import read_card
from pipelines.detect.detector import Detector
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.values import Bools, Detections, Floats, Image
from tests.bench import detection_data as data
from tests.bench.counting.data import corpus
from tests.bench.default_counts import as_input
from tests.bench.registry import Unavailable

NAME = "default-recall"
DESCRIPTION = (
    "precision and recall of the default detector, by set and by height, at other shapes and sizes of input"
)
STILLS = {
    "coco128_train": ("person", "vehicle"),
    "coco128_val": ("person", "vehicle"),
    "pennfudan": ("person",),
    "gdansk_walkcam": ("person",),
    "rf100_tollcam": ("vehicle",),
}
GROUPS = ("person", "bicycle", "vehicle", "vehicle", "vehicle", "vehicle")  # of the labels' classes
HEIGHTS = (0, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 4096)  # pixels of the input
INPUTS = "fixed:416,picture:416,picture:320,picture:256"
MIN_ASPECT = 1.2  # of a still: narrower ones lie square in the input whatever its shape

Example = tuple[str, str, Image, Floats]  # set, group, picture, (N, 4) true boxes in its pixels


def run(
    model: str = str(PACKAGED_MODEL), inputs: str = INPUTS, every: int = 10, wide: bool = True
) -> dict[str, Any]:
    """`inputs`: SHAPE:SIZE by commas; `every`: how many frames of PETS one is looked at; `wide`: stills at
    least MIN_ASPECT as wide as high alone, and no portraits."""
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is missing: set STREAMER_CORPUS")
    path = Path(model)
    card = read_card(path.with_suffix(".yaml"))
    tables = {}
    for name in inputs.split(","):
        shape, _, size = name.partition(":")
        chosen = as_input(card, shape, int(size))
        detector = create_detector("openvino", path, threads=1, sidecar=chosen)
        tables[name] = measure(detector, examples(root, every, wide), int(size))
    return {"model": path.name, "inputs": tables}


def examples(root: Path, every: int, wide: bool) -> Iterator[Example]:
    truth = data.truth_xyxy(root / data.TRUTH)
    for index, image in data.images(root / data.CLIP, every):
        yield "pets09", "person", image, truth.get(index, np.zeros((0, 4), np.float32))
    for name, groups in STILLS.items():
        for image, boxes, ids in _stills(root / "images" / name):
            if wide and image.shape[1] < MIN_ASPECT * image.shape[0]:
                continue
            for group in groups:
                yield name, group, image, boxes[[GROUPS[i] == group for i in ids]]


def _stills(folder: Path) -> Iterator[tuple[Image, Floats, list[int]]]:
    import cv2

    for path in sorted((folder / "images").iterdir()):
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        labels = folder / "labels" / f"{path.stem}.txt"
        rows = [line.split() for line in labels.read_text().splitlines()] if labels.exists() else []
        middle = np.array([row[1:5] for row in rows if row], np.float32).reshape(-1, 4)
        corners = np.concatenate(
            [middle[:, :2] - middle[:, 2:] / 2, middle[:, :2] + middle[:, 2:] / 2], axis=1
        )
        wide, high = image.shape[1], image.shape[0]
        yield image, corners * np.array([wide, high, wide, high], np.float32), [int(r[0]) for r in rows if r]


def measure(detector: Detector, pictures: Iterator[Example], size: int) -> dict[str, Any]:
    """Hits, false boxes and misses by "set group", and found and true objects by height in the input."""
    scores: dict[str, data.Score] = {}
    true: dict[str, Counter[int]] = {}
    found: dict[str, Counter[int]] = {}
    for name, group, image, boxes in pictures:
        seen = _of_group(detector, image, group)
        high, wide = image.shape[:2]
        score = scores.setdefault(f"{name} {group}", data.Score())
        score.add(seen, boxes, wide, high)
        heights = (boxes[:, 3] - boxes[:, 1]) * size / max(high, wide)
        bins = (np.digitize(heights, HEIGHTS) - 1).tolist()
        true.setdefault(group, Counter()).update(bins)
        hit = _hit(seen, boxes, wide, high)
        found.setdefault(group, Counter()).update(b for b, good in zip(bins, hit, strict=True) if good)
    sets = {
        name: {
            "true": each.hits + each.missed,
            "precision": round(each.precision, 3),
            "recall": round(each.recall, 3),
        }
        for name, each in scores.items()
    }
    by_height = {
        group: {f"{HEIGHTS[b]}-{HEIGHTS[b + 1]}": (found[group][b], n) for b, n in sorted(bins_of.items())}
        for group, bins_of in true.items()
    }
    return {"sets": sets, "by_height": by_height}


def _of_group(detector: Detector, image: Image, group: str) -> Detections:
    """The believed boxes of a group."""
    seen = detector.collect(detector.submit([data.frame(image)]))[0]
    seen = seen.take(seen.scores >= seen.high_threshold)
    return seen.take(np.array([detector.labels.groups[i] == group for i in seen.class_ids], np.bool_))


def _hit(seen: Detections, boxes: Floats, wide: int, high: int) -> list[bool]:
    """Which of the true boxes are found, each box for one of them."""
    hits: Bools = np.zeros(len(boxes), np.bool_)
    for i, box in enumerate(boxes):
        one = data.Score()
        one.add(seen, box[None], wide, high)
        hits[i] = one.hits > 0
    return [bool(hit) for hit in hits]


def render(result: dict[str, Any]) -> str:
    inputs = result["inputs"]
    names = list(next(iter(inputs.values()))["sets"])
    lines = [f"{result['model']}: precision, recall", "| set | true | " + " | ".join(inputs) + " |"]
    lines.append("|---" * (len(inputs) + 2) + "|")
    for name in names:
        rows = [table["sets"][name] for table in inputs.values()]
        cells = [f"{row['precision']:.3f}, {row['recall']:.3f}" for row in rows]
        lines.append(f"| {name} | {rows[0]['true']} | " + " | ".join(cells) + " |")
    lines += ["", "found of true, by height in pixels of the input"]
    for name, table in inputs.items():
        for group, bins in table["by_height"].items():
            cells = [f"{span}: {hit / n:.2f} of {n}" for span, (hit, n) in bins.items()]
            lines.append(f"{name} {group}: " + ", ".join(cells))
    return "\n".join(lines)
