"""A model runs without torch on both engines, or is refused in one line that says what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.actions.runtime import ENGINES, ActionModel
from pipelines.detect.errors import ModelRefused
from tests.pipelines.actions.tiny_graph import write_tiny


def edit(model: Path, **changes: object) -> None:
    path = model.with_suffix(".yaml")
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**data, **changes}))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "m.onnx")


def windows(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.3 + 0.05 * rng.random((n, 8, 4))).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 5, 200])
def test_both_engines_say_the_same_of_any_number_of_windows(model: Path, n: int) -> None:
    first, second = (ActionModel(model, engine=engine).classify(windows(n)) for engine in ENGINES)
    assert first[0][0].shape == (n, 2)
    assert first[1].shape == (n, 8)
    assert np.allclose(first[0][0], second[0][0], atol=1e-3)


def test_a_window_says_the_same_alone_and_among_others(model: Path) -> None:
    runner = ActionModel(model)
    many, _ = runner.classify(windows(5))
    one, _ = runner.classify(windows(5)[2:3])
    assert np.allclose(many[0][2], one[0][0], atol=1e-6)


def test_a_graph_that_was_edited_by_hand_is_refused(model: Path) -> None:
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    with pytest.raises(ModelRefused, match=r"not the file that its sidecar|not an ONNX model"):
        ActionModel(model)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"heads": [{"name": "action", "labels": ["a", "b", "c"]}]}, "labels or window were changed"),
        ({"window": 9}, "cannot run it on"),
        ({"size": 5}, "a box has 4 values"),
        ({"sha256": ""}, "not the file that its sidecar"),
        ({"heads": [{"name": "action", "labels": ["a", "a"]}]}, "names a label twice"),
        ({"heads": [{"name": "action", "labels": ["a", "b"], "thresholds": [0.5]}]}, "1 thresholds"),
        ({"heads": [{"name": "action", "labels": ["a", "b"], "silent": ["x"]}]}, "silent label 'x'"),
        ({"kind": "features"}, "needs an embedder"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(model: Path, changes: dict[str, object], why: str) -> None:
    edit(model, **changes)
    with pytest.raises(ModelRefused, match=why) as refused:
        ActionModel(model)
    assert "\n" not in str(refused.value)


def test_what_is_no_model_is_refused(tmp_path: Path, model: Path) -> None:
    disguised = tmp_path / "p.onnx"
    disguised.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    with pytest.raises(ModelRefused, match=r"\.yaml"):
        ActionModel(disguised)  # no sidecar
    disguised.with_suffix(".yaml").write_text(model.with_suffix(".yaml").read_text())
    with pytest.raises(ModelRefused, match="not an ONNX model"):
        ActionModel(disguised)


def test_an_unknown_engine_is_refused(model: Path) -> None:
    with pytest.raises(ModelRefused, match="onnx"):
        ActionModel(model, engine="abacus")
