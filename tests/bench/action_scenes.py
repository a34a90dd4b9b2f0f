"""Classifiers of scenes: pictures of the synthetic street, and stills of the corpus, whole sets left out."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.registry import PACKAGED_MODEL
from pipelines.train.actions import session
from pipelines.train.actions.score import Score
from pipelines.train.actions.settings import usual_settings
from pipelines.train.actions.sources import DataSource
from tests.scenes import write_pictures

# What the corpus's sets of stills show. A set is one place or a few: it is held back as a whole.
SETS = {
    "road": ("atl_highway", "highway_tidar", "rf100_tollcam", "sahrul_ferryport"),
    "pavement": ("gdansk_walkcam", "pennfudan"),
    "indoors": ("bg_indoorlab", "cafe_overhead"),
}
MAX_PICTURES = 60  # pictures of a set, evenly taken
STREETS, FOLDS = range(1, 31), 5


def scenes(corpus: Path, cache: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row a set of pictures and detector."""
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / "streets"
    shutil.rmtree(made, ignore_errors=True)
    lists = [("made streets: empty, traffic, crowd; by street", write_pictures(made, STREETS), FOLDS)]
    if corpus.is_dir():
        lists.append(("stills: road, pavement, indoors; by set", _list_stills(corpus, cache), 2))
    detectors = [("the detector in the package", PACKAGED_MODEL)]
    if (corpus / "weights/yolov8n_640.onnx").is_file():
        detectors.append(("YOLOv8n", corpus / "weights/yolov8n_640.onnx"))
    rows = []
    for what, path, folds in lists:
        for name, detector in detectors:
            found = _cross_validate(path, detector, cache, folds)
            say(f"{what}, {name}: {found.accuracy:.3f}")
            rows.append({"name": what, "detector": name, "folds": folds, **found.to_json()})
    return rows


def _cross_validate(path: Path, detector: Path, cache: Path, folds: int) -> Score:
    settings = usual_settings("features", scene=True)
    source = DataSource(path, detector=detector, cache=cache, scene=True)
    opened = session.open_data(source, settings, None, lambda *_: None)
    return session.cross_validate(opened, settings, folds)


def _list_stills(corpus: Path, folder: Path) -> Path:
    path = folder / "stills.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "group"])
        writer.writerows(_stills(corpus))
    return path


def _stills(corpus: Path) -> Iterator[list[str]]:
    for label, names in SETS.items():
        for name in names:
            every = sorted((corpus / "images" / name / "images").iterdir())
            step = max(1, len(every) // MAX_PICTURES)
            for picture in every[::step][:MAX_PICTURES]:
                yield [str(picture), label, name]
