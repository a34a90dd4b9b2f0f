"""`streamer model tune`: labels are understood or refused, clips are held out whole, only a better model
stays.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from streamer import model_tune
from streamer.cli.main import cli
from streamer.errors import Exit, ModelError
from streamer.model_labels import Boxes, LabelledPicture, clip_of, read_labels, read_pictures
from streamer.model_tune import hold_out
from tests.pipelines.detect import tiny_models as tiny

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
NAMES = str(dict(enumerate(CLASSES)))
HERE = (32, 32, 20, 20)  # where the good model of these tests sees a car, in its 64 pixels
LABEL = "2 0.5 0.5 0.3125 0.3125\n"


@pytest.fixture
def home(short_dir: Path) -> Path:
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    return short_dir


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three clips of twelve pictures each, with a car in the middle."""
    folder = tmp_path / "pictures"
    for clip in ("door", "east", "yard"):
        (folder / clip).mkdir(parents=True)
        for number in range(12):
            cv2.imwrite(str(folder / clip / f"{clip}_{number:04}.jpg"), np.full((64, 64, 3), 250, np.uint8))
            (folder / clip / f"{clip}_{number:04}.txt").write_text(LABEL)
    return folder


def detector(path: Path, x: float = HERE[0]) -> Path:
    return tiny.yolov8(path, [(x, *HERE[1:], 2, 0.9)], classes=6, metadata={"names": NAMES})


def model(home: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--config", str(home), "model", *map(str, words)])


def train_to(monkeypatch: pytest.MonkeyPatch, result: Path) -> None:
    """In place of an hour of training: this model comes out of it."""

    def trained(words: list[str]) -> None:
        out = Path(words[words.index("--out") + 1])
        out.mkdir(parents=True)
        shutil.copyfile(result, out / "model.onnx")

    monkeypatch.setattr(model_tune, "_train", trained)
    monkeypatch.setattr(model_tune, "has_torch", lambda: True)


def test_a_better_model_is_installed_with_its_figures(
    home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", detector(tmp_path / "off.onnx", x=44), "--name", "start")
    train_to(monkeypatch, detector(tmp_path / "good.onnx"))
    done = model(home, "tune", pictures, "--labels", pictures)
    assert done.exit_code == 0, done.output
    assert "learning from 24 pictures; 12 are held out, of door" in done.output
    assert "before: AP50 0.000" in done.output
    assert "after: AP50 1.000" in done.output
    listed = {item["name"]: item for item in json.loads(model(home, "list", "--json").output)}
    assert set(listed) == {"start", "start-tuned"}
    assert listed["start"]["default"] is True


@pytest.mark.parametrize("x", [HERE[0], 44])
def test_a_model_that_is_no_better_is_not_installed(
    x: float, home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", detector(tmp_path / "good.onnx"), "--name", "start")
    train_to(monkeypatch, detector(tmp_path / "other.onnx", x))
    done = model(home, "tune", pictures, "--labels", pictures, "--as", "worse")
    assert done.exit_code == Exit.GATE
    assert "not better" in done.output
    assert "worse" not in model(home, "list", "--json").output


def test_without_torch_it_says_how_to_install_it(
    home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", detector(tmp_path / "good.onnx"))
    monkeypatch.setattr(model_tune, "has_torch", lambda: False)
    done = model(home, "tune", pictures, "--labels", pictures)
    assert done.exit_code == Exit.MODEL
    assert "make install EXTRAS=torch" in done.output


def test_another_project_s_model_cannot_be_tuned(
    home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", tiny.yolov8(tmp_path / "coco.onnx", [(*HERE, 2, 0.9)]))
    monkeypatch.setattr(model_tune, "has_torch", lambda: True)
    done = model(home, "tune", pictures, "--labels", pictures)
    assert done.exit_code == Exit.MODEL
    assert "only the detector of this project" in done.output


# ---- labels


def test_coco_and_yolo_say_the_same(pictures: Path, tmp_path: Path) -> None:
    document = {
        "images": [{"id": 7, "file_name": "door/door_0003.jpg", "width": 64, "height": 64}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [22, 22, 20, 20]}],
        "categories": [{"id": 3, "name": "Car"}, {"id": 9, "name": "giraffe"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    coco = read_labels(tmp_path / "coco.json", CLASSES).by_stem["door_0003"]
    yolo = read_labels(pictures, CLASSES).by_stem["door_0003"]
    assert np.allclose(coco.boxes_xyxyn, yolo.boxes_xyxyn)
    assert coco.class_ids.tolist() == yolo.class_ids.tolist() == [2]
    (found,) = read_pictures([pictures], read_labels(tmp_path / "coco.json", CLASSES))
    assert (found.clip, found.name) == ("door", "door_0003.jpg")


@pytest.mark.parametrize(
    ("file", "text"), [("classes.txt", "bus\ncar\n"), ("data.yaml", "names: {0: bus, 1: car}")]
)
def test_class_numbers_go_by_the_names_that_lie_beside(file: str, text: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.1 0.1\n0 0.2 0.2 0.1 0.1\n\n")
    assert read_labels(tmp_path, CLASSES).by_stem["a"].class_ids.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2 0.5 0.5 0.1", r"a\.txt:1: .* is not"),
        ("car 0.5 0.5 0.1 0.1", "is not `class"),
        ("6 0.5 0.5 0.1 0.1", "class 6: known are 0, 1"),
        ("2 120 80 30 30", "are the numbers normalised"),
        ("2 0.5 0.5 0 0.1", "without size"),
        ("2 nan 0.5 0.1 0.1", "without size"),
    ],
)
def test_a_row_that_is_no_label_is_named(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ModelError, match=why):
        read_labels(tmp_path, CLASSES)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[", "not COCO"),
        ('{"images": []}', "not COCO"),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}], "annotations": '
            '[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}], "categories": '
            '[{"id": 1, "name": "giraffe"}]}',
            "'giraffe' is none of the model's",
        ),
    ],
)
def test_a_coco_file_that_cannot_be_used_is_refused(content: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(content)
    with pytest.raises(ModelError, match=why):
        read_labels(tmp_path / "coco.json", CLASSES)
    with pytest.raises(ModelError, match="neither a folder"):
        read_labels(tmp_path / "none.json", CLASSES)


@pytest.mark.corpus
def test_frames_of_a_clip_are_found_by_their_number(corpus: Path, tmp_path: Path) -> None:
    for number in (3, 11):
        (tmp_path / f"pets09-s2l1_{number:05}.txt").write_text(LABEL)
    labels = read_labels(tmp_path, CLASSES)
    clip = corpus / "videos/pets09-s2l1.avi"
    found = list(read_pictures([clip], labels))
    assert [p.name for p in found] == ["pets09-s2l1.avi frame 3", "pets09-s2l1.avi frame 11"]
    capture = cv2.VideoCapture(str(clip))
    for number in range(12):
        _, image = capture.read()
        if number == 11:
            assert np.abs(found[1].image.astype(int) - image).mean() < 4
    capture.release()


# ---- holding out


def labelled(clips: dict[str, int]) -> list[LabelledPicture]:
    box = Boxes(np.array([[0.1, 0.1, 0.2, 0.2]], np.float32), np.zeros(1, np.int32))
    image = np.zeros((8, 8, 3), np.uint8)
    return [
        LabelledPicture(image, box, clip, f"{clip}{n}") for clip, count in clips.items() for n in range(count)
    ]


def test_whole_clips_are_held_out_about_a_quarter() -> None:
    split = hold_out(labelled({"a": 40, "b": 30, "c": 12, "d": 14}))
    assert split.by_clip
    assert {p.clip for p in split.held} == {"c", "d"}
    assert {p.clip for p in split.learned} == {"a", "b"}


def test_of_two_clips_one_is_held_out_however_long() -> None:
    split = hold_out(labelled({"a": 100, "b": 90}))
    assert {p.clip for p in split.held} == {"b"}


def test_a_single_clip_is_cut_at_its_end() -> None:
    split = hold_out(labelled({"a": 80}))
    assert not split.by_clip
    assert (split.learned[-1].name, split.held[0].name) == ("a59", "a60")


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ModelError, match="label more"):
        hold_out(labelled({"a": 9, "b": 4}))
    with pytest.raises(ModelError, match="label more"):
        hold_out([])


@pytest.mark.parametrize(
    ("name", "clip"), [("east/door_000120.jpg", "door"), ("east/17.jpg", "east"), ("east/door-3.png", "door")]
)
def test_pictures_belong_to_the_clip_before_their_number(name: str, clip: str) -> None:
    assert clip_of(Path(name)) == clip
