"""A model of actions or scenes that is none is refused by its own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.actions.runtime import ActionModel
from pipelines.detect.errors import ModelRefused
from tests.conftest import REPO


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.onnx", "gone.onnx: no such model file"),
        ("text.txt", "text.txt: not an .onnx file"),
        ("", "no such"),
    ],
)
def test_the_file_that_was_given_is_named(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(ModelRefused, match=reason):
        ActionModel(tmp_path / name if name else Path(name))


def test_a_detector_is_no_model_of_actions() -> None:
    with pytest.raises(ModelRefused, match="of a detector: give a model that `streamer actions` wrote"):
        ActionModel(REPO / "pipelines" / "models" / "default.onnx")
