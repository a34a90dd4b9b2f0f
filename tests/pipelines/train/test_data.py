"""Data of the detector's training: sets on disk, labels of stills, recipes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.train.detector.copy_paste import Cutouts, write_cutouts
from pipelines.train.detector.dataset import Dataset, DatasetError, DatasetWriter, Labelled, bits_of
from pipelines.train.detector.dataset_archive import main as pack
from pipelines.train.detector.prepare import main as prepare
from pipelines.train.detector.recipe import read_recipe
from pipelines.train.detector.yolo_text import parse_rows, read_stills
from pipelines.values import Image
from tests.conftest import REPO

RECIPE = REPO / "docs" / "models" / "recipe.yaml"


def picture(width: int, height: int, value: int = 90) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def test_a_large_picture_is_stored_smaller_with_its_boxes(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, side=240) as writer:
        writer.add(picture(480, 240, 7), Labelled.of([[48, 24, 96, 120]], [2]), "one")
        writer.add(picture(100, 60, 9), Labelled.of([[1, 2, 30, 40]], [-1], [bits_of([1, 3])]), "two", 3.0)
    data = Dataset(tmp_path)
    assert data.image(0).shape == (120, 240, 3)
    assert int(data.image(0)[60, 120, 0]) == 7
    assert data.labels(0).boxes.tolist() == [[24, 12, 48, 60]]
    assert data.image(1).shape == (60, 100, 3)
    assert data.labels(1).ignore.tolist() == [10]
    assert len(data.labels(1).objects()) == 0
    assert data.chances().tolist() == [0.25, 0.75]
    assert data.chances(["two"]).tolist() == [1.0, 0.0]
    with pytest.raises(DatasetError, match="no set 'three' in the data: there are one, two"):
        data.chances(["three"])
    with pytest.raises(DatasetError, match="keep at least one"):
        data.chances(["one", "two"])


def test_an_unfinished_set_is_refused(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path)
    writer.add(picture(64, 64), Labelled.of(), "one")
    with pytest.raises(DatasetError, match="not a whole data set"):
        Dataset(tmp_path)
    writer.close()
    assert len(Dataset(tmp_path)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 0.5 0.5 0.1", "not `class cx cy w h`"),
        ("person 0.5 0.5 0.1 0.1", "not `class cx cy w h`"),
        ("6 0.5 0.5 0.1 0.1", "class 6: there are 0 to 5"),
        ("0 1.5 0.5 0.1 0.1", "no box inside the picture"),
        ("0 nan 0.5 0.1 0.1", "no box inside the picture"),
    ],
)
def test_a_bad_row_is_named(row: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as error:
        parse_rows(f"0 0.5 0.5 0.1 0.1\n{row}\n", 100, 100, "a.txt")
    assert "a.txt:2" in str(error.value)


def test_boxes_are_clipped_to_the_picture() -> None:
    found = parse_rows("2 0.05 0.5 0.2 1.0\n", 200, 100)
    assert found.boxes.tolist() == [[0, 0, 30, 100]]


def stills(folder: Path, text: str) -> None:
    for part in ("images", "labels", "ignore"):
        (folder / part).mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "a.png"), picture(100, 50))
    (folder / "labels" / "a.txt").write_text(text)


def test_areas_to_ignore_are_read_beside_the_labels(tmp_path: Path) -> None:
    stills(tmp_path, "0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "ignore" / "a.txt").write_text("4 0.1 0.1 0.2 0.2\n")
    ((_, _, labels),) = read_stills(tmp_path)
    assert labels.classes.tolist() == [0, -1]
    assert labels.ignore.tolist() == [0, 1 << 4]


def test_labels_that_are_no_text_are_named(tmp_path: Path) -> None:
    stills(tmp_path, "")
    (tmp_path / "labels" / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"labels/a\.txt: is not UTF-8 text: expected rows"):
        list(read_stills(tmp_path))


def test_without_teachers_classes_that_a_set_does_not_label_are_ignored(tmp_path: Path) -> None:
    stills(tmp_path / "stills" / "cars", "2 0.5 0.5 0.2 0.4\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("stills: [{name: cars, labelled: [car], weight: 1, licence: MIT, source: test}]\n")
    out = tmp_path / "out"
    words = ["--recipe", str(recipe), "--stills", str(tmp_path / "stills"), "--out", str(out)]
    assert prepare(words) == 0
    labels = Dataset(out).labels(0)
    assert labels.classes.tolist() == [2, -1]
    assert labels.boxes[1].tolist() == [0, 0, 100, 50]
    assert labels.ignore[1] == bits_of([0, 1, 3, 4, 5])


def test_every_source_of_the_recipe_states_a_licence_that_allows_it() -> None:
    recipe = read_recipe(RECIPE)
    parts = [*recipe.stills, *recipe.clips, *recipe.teachers]
    assert len(recipe.stills) >= 7
    for part in parts:
        assert part.licence.startswith(("CC BY", "MIT", "Apache-2.0")), part.name
        assert "NC" not in part.licence
        assert part.source


def test_a_wrong_recipe_is_refused_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("stills: [{name: a, labelled: [dog], weight: 1, licence: MIT, source: s}]\n")
    with pytest.raises(DatasetError, match=r"stills\.0\.labelled.*unknown class 'dog'"):
        read_recipe(path)


def test_a_missing_set_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--recipe", str(RECIPE), "--stills", str(tmp_path), "--out", str(tmp_path / "out")]
    assert prepare(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no pictures" in error
    assert error.count("\n") == 1


def test_a_set_travels_as_one_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ramp = np.tile(np.arange(120, dtype=np.uint8), (80, 1))
    with DatasetWriter(tmp_path / "here", side=160) as writer:
        writer.add(np.dstack([ramp] * 3), Labelled.of([[1, 2, 30, 40]], [3]), "one", 2.0)
    piece = np.dstack([ramp[:40, :30]] * 3 + [np.full((40, 30), 255, np.uint8)])
    write_cutouts(tmp_path / "here" / "cutouts.npz", [piece], [0])
    file = tmp_path / "set.zip"
    assert pack([str(tmp_path / "here"), str(file)]) == 0
    assert pack([str(tmp_path / "there"), str(file), "--unpack"]) == 0
    one, other = Dataset(tmp_path / "here"), Dataset(tmp_path / "there")
    assert other.labels(0).boxes.tolist() == [[1, 2, 30, 40]]
    assert np.abs(one.image(0).astype(int) - other.image(0)).max() < 12
    assert Cutouts(tmp_path / "there" / "cutouts.npz").piece(0).shape == (40, 30, 4)
    assert file.stat().st_size < 12_000
    file.write_bytes(b"no archive")
    assert pack([str(tmp_path / "there"), str(file), "--unpack"]) == 1
    assert "not a packed data set" in capsys.readouterr().err
