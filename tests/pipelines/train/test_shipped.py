"""The detector in the package: its file, its card, and what it finds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.detect.card import read_card
from pipelines.registry import create_detector
from pipelines.train.detector.dataset import CLASSES
from pipelines.train.detector.evaluate import pets
from pipelines.train.detector.precision import at_score, average_precision
from pipelines.values import Frame, Stamp
from tests.conftest import CORPUS, REPO

MODEL = REPO / "pipelines" / "models" / "default.onnx"
CARD = REPO / "docs" / "models" / "default.md"


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_file_is_small_and_loads_with_its_card(engine: str) -> None:
    card = read_card(MODEL.with_suffix(".yaml"))
    detector = create_detector(engine, MODEL, threads=1, sidecar=card)  # refused where the SHA-256 differs
    assert MODEL.stat().st_size <= 6_000_000
    assert detector.labels.names == CLASSES
    assert detector.describe()["input"] == [416, 416]
    assert detector.describe()["licence"] == "Apache-2.0"
    grey = np.full((360, 640, 3), 114, np.uint8)
    assert len(detector.collect(detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), grey)]))[0]) == 0


def test_the_card_is_of_this_file() -> None:
    text = CARD.read_text()
    score = read_card(MODEL.with_suffix(".yaml")).score
    assert f"threshold {score:g}." in text
    assert re.search(rf"\| default \| 416 \| {score:g} \|", text)


@pytest.mark.corpus
def test_people_seen_from_above_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.train.detector.evaluate.PETS_EVERY", 40)
    card = read_card(MODEL.with_suffix(".yaml"))
    found = pets(create_detector("openvino", MODEL, threads=1, score=0.02, sidecar=card), Path(CORPUS))
    precision, recall = at_score(found, card.score)
    assert precision > 0.75
    assert recall > 0.65
    assert average_precision(found) > 0.7
