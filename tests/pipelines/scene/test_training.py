"""A classifier of scenes from pictures of the synthetic street: trained, exported, evaluated, and what is
refused. Needs torch."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs torch: the extra [torch]")

from pipelines.actions.card import read_action_card  # noqa: E402
from pipelines.registry import PACKAGED_MODEL  # noqa: E402
from pipelines.scene.model import SceneModel  # noqa: E402
from pipelines.train.actions.data import DataRefused  # noqa: E402
from pipelines.train.actions.evaluate import evaluate  # noqa: E402
from pipelines.train.actions.sources import DataSource  # noqa: E402
from streamer.cli.main import cli  # noqa: E402
from streamer.errors import Exit  # noqa: E402
from tests.scenes import write_pictures  # noqa: E402


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["actions", *map(str, arguments)])
    return done.exit_code, done.output.strip()


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("scenes"), range(1, 13))


def test_scene_and_light_are_learnt_from_pictures_by_a_detectors_own_maps(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, said = call("train", pictures, "--out", out, "--detector", PACKAGED_MODEL, "--json")
    assert code == 0, said
    card = read_action_card(out / "model.yaml")
    assert card.of_pictures
    assert [(h.name, h.labels) for h in card.heads] == [
        ("scene", ("crowd", "empty", "traffic")),
        ("light", ("day", "night")),
    ]
    source = DataSource(pictures, detector=PACKAGED_MODEL)
    scores = evaluate(out / "model.onnx", source, "test", "openvino", quiet)
    assert {name: score.n for name, score in scores.items()} == {"scene": 24, "light": 24}
    assert scores["scene"].accuracy > 0.75
    assert scores["light"].accuracy > 0.7  # of two: 17 of 24 or more are chance once in thirty times
    model = SceneModel(out / "model.onnx", find_detector=lambda _: PACKAGED_MODEL)
    with pictures.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    right = 0
    for row in rows:
        _, light = model.classify(np.asarray(cv2.imread(str(pictures.parent / row["file"])), np.uint8))
        right += ("day", "night")[int(np.argmax(light))] == row["label.light"]
    assert right / len(rows) > 0.7


def test_a_backbone_is_fine_tuned_and_says_of_a_whole_picture_what_it_said_in_training(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, said = call(
        *("train", pictures, "--out", out, "--backbone", "mobilenet_v3_small", "--size", "64x48"),
        *("--epochs", 4, "--batch", 8, "--precision", "f32", "--json"),
    )
    assert code == 0, said
    card = read_action_card(out / "model.yaml")
    assert card.embedder is not None
    assert card.embedder.input_size == (64, 48)
    from pipelines.train.actions import session

    choice = session.BackboneChoice("mobilenet_v3_small", size=(64, 48))
    source = DataSource(pictures, scene=True)
    opened, trained = session.load_model(out / "model.pt")
    again = session.open_data(source, trained.settings, choice, quiet)
    trained.net.frames = torch.from_numpy(again.frames)
    told = session.test(trained, session.part(again.data, "test"))
    exported = evaluate(out / "model.onnx", source, "test", "onnx", quiet)["scene"]
    assert abs(told.confusion - exported.confusion).sum() <= 2  # two ways to scale a picture
    assert opened.embedder is not None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--backbone", "mobilenet_v3_small", "--freeze"), "random weights must learn"),
        (("--backbone", "mobilenet_v3_small", "--size", "10x10"), "32 to 1024 pixels"),
        (("--size", "64x64"), "are for a --backbone"),
        (("--detector", PACKAGED_MODEL, "--moved"), "does not move"),
        ((), "clips need something that embeds"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    pictures: Path, tmp_path: Path, options: tuple[object, ...], why: str
) -> None:
    code, said = call("train", pictures, "--out", tmp_path / "out", *options)
    assert code == Exit.MODEL
    assert why in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def write_folder(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((40, 60, 3), 128, np.uint8))
    return folder


def test_pictures_of_which_nobody_says_what_belongs_together_are_refused(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "set", [f"{kind}/{i}.png" for kind in ("road", "shop") for i in range(4)]
    )
    code, said = call("train", folder, "--out", tmp_path / "out", "--detector", PACKAGED_MODEL)
    assert code == Exit.MODEL
    assert "a random split over clips" in said


def test_a_picture_that_cannot_be_read_and_a_group_on_both_sides_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", ["road/site1-a.png", "shop/site2-a.png", "shop/site1-b.png"])
    rows = [
        "file,label,group,split",
        "road/site1-a.png,road,site1,train",
        "shop/site2-a.png,shop,site2,train",
    ]
    path = folder / "list.csv"
    path.write_text("\n".join([*rows, "shop/site1-b.png,shop,site1,test"]))
    code, said = call("train", path, "--out", tmp_path / "out", "--detector", PACKAGED_MODEL)
    assert code == Exit.MODEL
    assert "group 'site1' stands in test and train" in said
    (folder / "road/site1-a.png").write_bytes(b"no picture")
    code, said = call("train", path, "--out", tmp_path / "out", "--detector", PACKAGED_MODEL)
    assert code == Exit.MODEL
    assert "no picture that can be read" in said
    assert len(said.splitlines()) == 1


def test_a_scene_of_poses_is_refused(tmp_path: Path) -> None:
    code, said = call("train", "synthetic", "--scene", "--out", tmp_path / "out")
    assert code == Exit.MODEL
    assert "for pictures and clips" in said


def test_labels_of_data_and_model_must_be_the_same(pictures: Path, tmp_path: Path) -> None:
    from tests.scenes import write_classifier

    with pytest.raises(DataRefused, match="label 'empty' is none of day, night"):
        evaluate(write_classifier(tmp_path), DataSource(pictures), "test", "onnx", quiet)
