"""Which of the two detectors in the package serves: what decides, what is kept, and what goes before it."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_INT8, PACKAGED_MODEL
from pipelines.spec import ActionsSpec, PipelineSpec
from streamer.models import auto_tune
from streamer.models.agreement import Agreement
from streamer.models.auto_tune import FILE, Outcome, alike, fitting, key_of, measure, packaged_int8
from streamer.models.model_handle import ModelHandle, display_name_of, open_detector, packaged
from streamer.workers.infer.loader import PipelineLoader
from tests.pipelines.actions.test_roi_pooling import write_features
from tests.pipelines.detect import tiny_models as tiny


class Measuring:
    """Stands for measure(): says that int8 is to serve, or not, and counts how often it was asked."""

    def __init__(self, int8: bool = True) -> None:
        self.int8, self.calls = int8, 0

    def __call__(self, model: ModelHandle, small: ModelHandle) -> Outcome:
        self.calls += 1
        return Outcome(key_of(model, small), self.int8, 20.0, 8.0, 0.4, 50, 50, 50)


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    stand_in = Measuring()
    monkeypatch.setattr(auto_tune, "measure", stand_in)
    return stand_in


def test_a_chip_is_measured_once_and_what_was_measured_holds_from_then_on(
    measuring: Measuring, tmp_path: Path
) -> None:
    for _ in range(3):
        chosen = fitting("auto-int8", packaged(), tmp_path)
        assert chosen is not None
        assert chosen.path == PACKAGED_INT8
    assert measuring.calls == 1
    assert chosen.card.score == packaged().card.score
    assert display_name_of(chosen.path) == "default (in the package, int8)"


@pytest.mark.parametrize("what", ["torn", "another key", "no object", "no truth value"])
def test_what_was_kept_of_another_chip_or_is_damaged_is_measured_anew(
    what: str, measuring: Measuring, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fitting("auto-int8", packaged(), tmp_path)
    kept = (tmp_path / FILE).read_text()
    damaged = {
        "torn": kept[: len(kept) // 2],
        "another key": kept.replace(key_of(packaged(), packaged_int8()), "0" * 32),
        "no object": "[1]",
        "no truth value": kept.replace("true", '"yes"'),
    }
    (tmp_path / FILE).write_text(damaged[what])
    assert fitting("auto-int8", packaged(), tmp_path) is not None
    assert measuring.calls == 2
    assert (tmp_path / FILE).read_text() == kept
    assert ("of no use" in caplog.text) is (what in ("torn", "no object"))


def test_the_key_is_another_where_the_instructions_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)  # `make test-lowered` sets it
    before = key_of(packaged(), packaged_int8())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert key_of(packaged(), packaged_int8()) != before


def test_an_engine_or_model_that_was_named_is_what_runs(measuring: Measuring, tmp_path: Path) -> None:
    other = ModelHandle("own", tiny.yolov8(tmp_path / "own.onnx", [(10, 10, 8, 8, 0, 0.9)]), packaged().card)
    for engine, model, cache in (
        ("openvino", packaged(), tmp_path),
        ("onnx", packaged(), tmp_path),
        ("auto", packaged(), tmp_path),
        ("auto-int8", other, tmp_path),
        ("auto-int8", None, tmp_path),
        ("auto-int8", packaged(), None),
    ):
        assert fitting(engine, model, cache) is model
    assert measuring.calls == 0


def test_without_a_sound_int8_file_the_float_one_serves_and_the_log_says_so(
    measuring: Measuring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "default-int8.onnx"
    damaged.write_bytes(PACKAGED_INT8.read_bytes()[:-100])
    damaged.with_suffix(".yaml").write_bytes(PACKAGED_INT8.with_suffix(".yaml").read_bytes())
    for path, why in ((damaged, "changed since"), (tmp_path / "gone.onnx", "cannot be read")):
        monkeypatch.setattr(auto_tune, "PACKAGED_INT8", path)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            chosen = fitting("auto-int8", packaged(), tmp_path)
        assert chosen is not None
        assert chosen.path == PACKAGED_MODEL
        assert why in caplog.text
    assert measuring.calls == 0


def test_int8_that_finds_less_or_more_than_the_float_one_is_not_alike() -> None:
    same = Agreement(50, 0.99, 0.98, 1.0, 1.0, 1.0, 6, 0.61)
    assert alike(same)
    assert not alike(dataclasses.replace(same, recall=0.85))
    assert not alike(dataclasses.replace(same, precision=0.85))
    assert not alike(dataclasses.replace(same, boxes=5))


def test_cheap_int8_that_sees_nothing_is_not_taken(tmp_path: Path) -> None:
    blind = tiny.yolov8(tmp_path / "blind.onnx", [(10, 10, 8, 8, 0, 0.9)])
    card = packaged().card.model_copy(update={"sha256": "", "classes": {}, "input_size": None})
    outcome = measure(packaged(), ModelHandle("", blind, card))
    assert outcome.boxes >= auto_tune.MIN_BOXES
    assert outcome.cost < auto_tune.MAX_COST
    assert outcome.found < outcome.boxes / 2
    assert not outcome.int8


def test_the_int8_detector_in_the_package_finds_what_the_float_one_finds() -> None:
    outcome = measure(packaged(), packaged_int8())
    assert outcome.boxes >= auto_tune.MIN_BOXES
    assert outcome.found >= 0.95 * outcome.boxes
    assert outcome.given <= outcome.boxes / 0.95
    record = packaged_int8().card.quantized
    assert record is not None
    assert record.of == packaged().card.sha256


def test_the_daemon_loads_the_one_that_was_chosen_and_the_float_one_where_its_engine_is_named(
    measuring: Measuring, tmp_path: Path
) -> None:
    loader = PipelineLoader(tmp_path, "auto-int8", 1, lambda: None)
    auto = PipelineSpec(name="default")
    named = auto.model_copy(update={"detector": "openvino"})
    chosen, pinned = (loader._load(s.model_dump_json()).detector.describe() for s in (auto, named))
    assert chosen["sha256"] == packaged_int8().card.sha256
    assert pinned["sha256"] == packaged().card.sha256
    assert measuring.calls == 1


def test_a_camera_that_tells_actions_of_maps_has_a_square_of_its_own_and_others_keep_their_shape(
    tmp_path: Path,
) -> None:
    loader = PipelineLoader(tmp_path, "auto", 1, lambda: None, cache=False)
    channels = open_detector("auto", packaged(), threads=1).enable_feature_maps((16, 32))
    model = write_features(tmp_path / "m.onnx", PACKAGED_MODEL, size=2 * channels)
    specs = [PipelineSpec(name="a"), PipelineSpec(name="b", actions=ActionsSpec(model=str(model)))]
    plain, acting = (loader.attempt(spec.model_dump_json()) for spec in specs)
    assert isinstance(plain, Pipeline)
    assert isinstance(acting, Pipeline)
    assert plain.detector.describe()["compiled"] == [[416, 256]]
    assert acting.detector.describe()["compiled"] == [[416, 416]]


def test_another_shape_of_input_is_measured_anew() -> None:
    square = dataclasses.replace(packaged(), card=packaged().card.model_copy(update={"input_shape": "fixed"}))
    assert key_of(square, packaged_int8()) != key_of(packaged(), packaged_int8())
