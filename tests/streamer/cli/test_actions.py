"""`streamer actions`: what it says where something is missing or wrong, in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.errors import Exit
from tests.pipelines.actions.test_maps import write_branching, write_features


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["actions", *arguments])
    return done.exit_code, done.output.strip()


def test_training_without_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, said = call("train", "synthetic", "--out", str(tmp_path / "out"))
    assert code == Exit.MODEL
    assert "make install EXTRAS=torch" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "data", "why"),
    [
        ("none.onnx", "synthetic", "none.onnx: no such model file"),
        ("", "/no/such/folder", "no such file or folder"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(repo: Path, model: str, data: str, why: str) -> None:
    path = model or str(repo / "pipelines/actions/models/motion.onnx")
    code, said = call("evaluate", path, data, "--json")
    assert code == Exit.MODEL
    assert why in said
    assert len(said.splitlines()) == 1


def test_maps_of_another_detector_are_refused_before_a_clip_is_embedded(tmp_path: Path) -> None:
    detector = write_branching(tmp_path / "d.onnx")
    other = write_branching(tmp_path / "other.onnx", strides=(16,))
    model = write_features(tmp_path / "m.onnx", detector, whole_picture=True)
    (tmp_path / "clips.csv").write_text("file,label\nnone.mp4,rise\n")
    code, said = call("evaluate", str(model), str(tmp_path / "clips.csv"), "--detector", str(other))
    assert code == Exit.MODEL
    assert "another detector" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("name", "why"), [("motion", "no feature maps"), ("nobody", "no model 'nobody'")])
def test_a_detector_is_named_as_elsewhere(tmp_path: Path, name: str, why: str) -> None:
    code, said = call("train", "synthetic", "--out", str(tmp_path), "--detector", name)
    assert code == Exit.MODEL
    assert why in said
    assert len(said.splitlines()) == 1


def test_what_has_one_solution_is_not_searched_for(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch: the extra [torch]")
    code, said = call("train", "synthetic", "--out", str(tmp_path), "--temporal", "ridge", "--search", "3")
    assert code == Exit.MODEL
    assert "ridge has one solution" in said
    assert len(said.splitlines()) == 1
