"""`streamer actions`: what it says where something is missing or wrong, in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipelines.values import Image
from streamer.cli.main import cli
from streamer.errors import Exit
from tests.clips import make_clip
from tests.pipelines.actions.test_roi_pooling import write_branching, write_features


def drawing(seed: int, jumps: bool) -> Callable[[int, int, int], Image]:
    """A square before a ground of noise: it glides along, or is now here, now there."""

    def draw(number: int, width: int, height: int) -> Image:
        ground = np.random.default_rng(seed).integers(60, 120, (height // 20, width // 20, 3), dtype=np.uint8)
        picture = ground.repeat(20, axis=0).repeat(20, axis=1)
        place = 40 + (15 * (number % 2) if jumps else 2 * number)
        picture[60:120, place : place + 80] = 220
        return picture

    return draw


DRAWN = {"glide": lambda seed: drawing(seed, jumps=False), "jump": lambda seed: drawing(seed, jumps=True)}


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


def test_inputs_that_do_not_exist_are_told_before_torch_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, said = call("train", str(tmp_path), "--out", str(tmp_path / "out"), "--inputs", "sound")
    assert code == Exit.MODEL
    assert "--inputs 'sound': give some of maps" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--inputs", "sound"), "give some of maps, moved, flow, people"),
        (("--inputs", "flow"), "was trained on maps, not on flow: leave --inputs out"),
        ((), "give that one as --detector"),
    ],
)
def test_what_a_model_was_trained_on_is_not_chosen_again(
    tmp_path: Path, given: tuple[str, ...], why: str
) -> None:
    model = write_features(tmp_path / "m.onnx", write_branching(tmp_path / "d.onnx"), whole_picture=True)
    (tmp_path / "clips.csv").write_text("file,label\nnone.mp4,rise\n")
    code, said = call("evaluate", str(model), str(tmp_path / "clips.csv"), *given)
    assert code == Exit.MODEL
    assert why in said
    assert "--backbone" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.torch
def test_an_export_writes_over_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("train", "synthetic", "--out", str(out), "--epochs", "1", "--hidden", "8")[0] == 0
    other = tmp_path / "other.onnx"
    other.write_text("mine")
    code, said = call("export", str(out), "--to", str(other))
    assert code == Exit.MODEL
    assert "is there already: give another name, or --force" in said
    assert other.read_text() == "mine"
    assert call("export", str(out), "--to", str(other), "--force")[0] == 0
    assert other.read_bytes() == (out / "model.onnx").read_bytes()


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


@pytest.mark.torch
def test_what_has_one_solution_is_not_searched_for(tmp_path: Path) -> None:
    code, said = call("train", "synthetic", "--out", str(tmp_path), "--temporal", "ridge", "--search", "3")
    assert code == Exit.MODEL
    assert "ridge has one solution" in said
    assert len(said.splitlines()) == 1


@pytest.mark.torch
@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--inputs", "flow,sound"), "--inputs 'sound': give some of maps, moved, flow, people"),
        (("--inputs", "flow,people"), "clips need something that embeds their frames: --detector"),
        (("--inputs", "flow", "--backbone", "resnet18"), "leave them out"),
    ],
)
def test_inputs_that_cannot_be_had_are_one_line(tmp_path: Path, given: tuple[str, ...], why: str) -> None:
    (tmp_path / "clips.csv").write_text("file,label,group\na.mp4,a,1\nb.mp4,b,2\n")
    code, said = call("train", str(tmp_path / "clips.csv"), "--out", str(tmp_path / "out"), *given)
    assert code == Exit.MODEL
    assert why in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
def test_optical_flow_alone_is_trained_and_evaluated_without_a_detector(tmp_path: Path) -> None:
    """Clips that jump and clips that glide."""
    for label in ("glide", "jump"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for i in range(4):
            make_clip(tmp_path / "clips" / label / f"{i}.mp4", frames=40, fps=12, draw=DRAWN[label](i))
    out = tmp_path / "out"
    asked = ("--inputs", "flow", "--apart", "--temporal", "ridge", "--rate", "12", "--window", "12")
    code, said = call("train", str(tmp_path / "clips"), "--out", str(out), *asked)
    assert code == 0, said
    code, said = call(
        "evaluate", str(out / "model.onnx"), str(tmp_path / "clips"), "--split", "all", "--json"
    )
    assert code == 0, said
    assert json.loads(said)["accuracy"] == 1


def test_a_clip_whose_classes_leave_nobody_to_look_at_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", frames=4)
    done = CliRunner().invoke(cli, ["analyze", str(clip), "--actions", "motion", "--class", "car"])
    assert done.exit_code == Exit.CONFIG
    assert "looks at person, of which the camera's classes leave nothing (they are car)" in done.output
    assert len(done.output.strip().splitlines()) == 1
