"""The models of the corpus reach the precision and recall that its README states."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.registry import create_detector
from tests.bench import detection_data as data
from tests.bench import detectors as bench

pytestmark = [pytest.mark.corpus, pytest.mark.slow]


@pytest.mark.parametrize("engine", bench.ENGINES)
@pytest.mark.parametrize("name", bench.STATED)
def test_each_model_finds_people_as_well_as_stated(name: str, engine: str, corpus: Path) -> None:
    detector = bench.open_model(engine, name, corpus)
    precision, recall = bench.measure(detector, corpus)
    stated_precision, stated_recall = bench.STATED[name]
    assert precision >= stated_precision - bench.TOLERANCE
    assert recall >= stated_recall - bench.TOLERANCE
    assert detector.labels.names[:3] == ("person", "bicycle", "car")
    assert bool(detector.describe()["warnings"]) == ("int8" in name)


def test_motion_finds_most_of_the_people_who_walk_apart(corpus: Path) -> None:
    precision, recall = bench.measure(create_detector("motion"), corpus, every=1)
    assert precision > 0.7
    assert recall > 0.55


def test_bfloat16_finds_what_float32_finds(corpus: Path) -> None:
    fast, exact = (bench.open_model("openvino", "yolov8n_640", corpus, p) for p in ("auto", "f32"))
    pairs = 0
    for index, image in data.images(corpus / data.CLIP, 100):
        one, other = (d.collect(d.submit([data.frame(image, index)]))[0] for d in (fast, exact))
        sure = other.take(other.scores >= 0.4)
        for box, score in zip(sure.boxes_xyxyn, sure.scores, strict=True):
            distance = abs(one.boxes_xyxyn - box).max(axis=1)
            assert distance.min() < 0.005
            assert abs(one.scores[distance.argmin()] - score) < 0.05
            pairs += 1
    assert pairs > 20
