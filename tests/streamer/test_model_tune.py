"""`streamer model tune`: labels are understood or refused, clips are held out whole, only a better model
stays.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.errors import Exit, ModelError
from streamer.models import fine_tune as model_tune
from streamer.models.fine_tune import hold_out
from streamer.models.label_formats import Boxes, read_labels
from streamer.models.labelled_images import LabelledPicture, clip_of, read_pictures
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
    assert set(listed) == {"default", "start", "start-tuned"}
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


# ---- the threshold of the tuned model

PLACES = [(x, y, 8, 8) for x in (10, 30, 50) for y in (14, 34)]


def lay_out(pictures: Path, cars: int) -> None:
    """As many cars in every picture."""
    rows = "".join(f"2 {x / 64} {y / 64} {w / 64} {h / 64}\n" for x, y, w, h in PLACES[:cars])
    for label in pictures.rglob("*.txt"):
        label.write_text(rows)


def seeing(path: Path, *scores: float) -> Path:
    """A detector that sees a car with each of these scores: first where cars are, then where none is."""
    places = [*PLACES, (20, 56, 8, 8), (40, 56, 8, 8)]
    found = [(*place, 2, score) for place, score in zip(places, scores, strict=False)]
    return tiny.yolov8(path, found, classes=6, metadata={"names": NAMES})


def tune_to(home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """From a model that finds one car surely, with a threshold of 0.6, to one that finds all, less surely."""
    start = seeing(tmp_path / "start.onnx", 0.9)
    (tmp_path / "start.yaml").write_text("score: 0.6\nlow_score: 0.3\n")
    model(home, "add", start, "--name", "start")
    train_to(monkeypatch, seeing(tmp_path / "tuned.onnx", *([0.5] * 6), 0.3))
    return model(home, "tune", pictures, "--labels", pictures, "--json")


def scores_of(home: Path, name: str) -> tuple[float, float]:
    card = yaml.safe_load((home / f"state/models/{name}/model.yaml").read_text())
    return card["score"], card["low_score"]


def test_the_threshold_is_chosen_anew_where_the_scores_stand_lower(
    home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(pictures, 6)
    done = tune_to(home, pictures, tmp_path, monkeypatch)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    before, after = figures["before"], figures["after"]
    assert (before["score"], before["precision"], before["recall"]) == (0.6, 1.0, pytest.approx(1 / 6))
    assert 0.3 < after["score"] <= 0.5  # at 0.6 it would see nothing
    assert (after["precision"], after["recall"]) == (1.0, 1.0)
    assert figures["before_balanced"]["recall"] == pytest.approx(1 / 6)
    assert scores_of(home, "start-tuned") == (after["score"], pytest.approx(after["score"] / 2, abs=0.01))


def test_too_few_objects_leave_the_threshold_and_say_so(
    home: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(pictures, 4)  # 48 of them in the part that is held out
    done = tune_to(home, pictures, tmp_path, monkeypatch)
    figures = json.loads(done.stdout)
    assert figures["before_balanced"] is None
    assert (figures["after"]["score"], figures["after"]["recall"]) == (0.6, 0.0)
    assert scores_of(home, "start-tuned") == (0.6, 0.3)
    done = model(home, "tune", pictures, "--labels", pictures, "--model", "start")
    assert "the threshold stays at 0.60: 48 objects are too few to choose one by" in done.output
    assert "start-tuned-2 has score 0.6, low_score 0.3\n" in done.output


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
    train_to(monkeypatch, detector(tmp_path / "good.onnx"))
    done = model(home, "tune", pictures, "--labels", pictures, "--model", "coco")
    assert done.exit_code == Exit.MODEL
    assert "only the detector of this project" in done.output
    done = model(home, "tune", pictures, "--labels", pictures)
    assert done.exit_code == 0, done.output
    assert "default (in the package) goes on: learning from" in done.output
    assert "added default-tuned" in done.output


# ---- a camera by name


@pytest.fixture
def of_camera(tmp_path: Path) -> Path:
    """Of camera door in three hours, twelve in each, as `model collect` names them; and another's."""
    folder = tmp_path / "door-pictures"
    folder.mkdir()
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    for camera in ("door", "doorway"):
        for hour in (9, 10, 11):
            for minute in range(12):
                stem = f"{camera}_20261126T{hour:02}_{minute:02}0000"
                cv2.imwrite(str(folder / f"{stem}.jpg"), np.full((64, 64, 3), 250, np.uint8))
                (folder / f"{stem}.txt").write_text(LABEL)
    return folder


def add_camera(home: Path, **more: object) -> None:
    (home / "cameras.d").mkdir(exist_ok=True)
    text = json.dumps({"name": "door", "url": "synthetic:street", **more})
    (home / "cameras.d/door.yaml").write_text(text)


def test_a_camera_s_pictures_are_found_beside_the_labels_and_hours_are_held_out(
    home: Path, of_camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", detector(tmp_path / "off.onnx", x=44), "--name", "start")
    add_camera(home, model="start")
    train_to(monkeypatch, detector(tmp_path / "good.onnx"))
    for name in ("door-tuned", "door-tuned-2"):
        done = model(home, "tune", "door", "--labels", of_camera)
        assert done.exit_code == 0, done.output
        assert "start goes on: learning from 24 pictures; 12 are held out, of door_20261126T" in done.output
        assert f"use it: streamer camera set door model={name}" in done.output


def test_what_is_no_better_than_what_the_camera_uses_now_is_not_installed(
    home: Path, of_camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", detector(tmp_path / "good.onnx"), "--name", "better")
    model(home, "add", detector(tmp_path / "off.onnx", x=44), "--name", "start")
    add_camera(home, model="better")
    train_to(monkeypatch, detector(tmp_path / "good2.onnx", x=33))
    words = ("tune", "door", "--labels", of_camera, "--model", "start")
    done = model(home, *words)
    assert done.exit_code == Exit.GATE
    assert "better, in use now: AP50 1.000" in done.output
    add_camera(home, model="start")
    assert model(home, *words).exit_code == 0
    assert model(home, *words, "--default").exit_code == Exit.GATE  # it would take the place of the default


def test_a_model_with_more_classes_is_measured_by_those_that_are_labelled(
    home: Path, of_camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [(*HERE, 2, 0.9), (8, 8, 6, 6, 16, 0.9)]  # in COCO 2 is a car, 16 a dog
    model(home, "add", tiny.yolov8(tmp_path / "coco.onnx", seen))
    add_camera(home, model="coco")
    train_to(monkeypatch, detector(tmp_path / "off.onnx", x=44))
    done = model(home, "tune", "door", "--labels", of_camera)
    wanted = "coco, in use now: AP50 1.000 (95 % 1.000 to 1.000), at its threshold of 0.25 precision 1.000"
    assert wanted in done.output
    assert done.exit_code == Exit.GATE


def test_what_names_nothing_and_a_camera_without_pictures_are_one_line(
    home: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_camera(home)
    done = model(home, "tune", "gate", "--labels", pictures)
    assert (done.exit_code, "no camera (cameras: door)" in done.output) == (Exit.MODEL, True)
    monkeypatch.chdir(home)
    for folder in (pictures / "door").glob("door_*.txt"):
        folder.unlink()
    done = model(home, "tune", "door", "--labels", pictures)
    assert (done.exit_code, "`streamer model collect door`" in done.output) == (Exit.MODEL, True)


def test_drafts_are_no_labels_until_their_folder_is_given(tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    (tmp_path / "a.txt").write_text(LABEL)
    (tmp_path / "drafts/a.txt").write_text("")
    (tmp_path / "drafts/b.txt").write_text(LABEL)
    assert {s: len(b) for s, b in read_labels(tmp_path, CLASSES).by_stem.items()} == {"a": 1}
    assert set(read_labels(tmp_path / "drafts", CLASSES).by_stem) == {"a", "b"}


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


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("a.txt", b"\xff\xfe\x00", r"a\.txt: is not UTF-8 text: expected rows `class cx cy w h`"),
        ("classes.txt", b"\xff\xfe\x00", r"classes\.txt: is not UTF-8 text: expected a class name a line"),
        ("data.yaml", b"\xff\xfe\x00", r"data\.yaml: is not UTF-8 text: expected `names: "),
        ("data.yaml", b"names: [", r"data\.yaml: not YAML"),
        ("data.yaml", b"- car", r"data\.yaml: expected `names: "),
        ("data.yaml", b"names: {a: b}", r"data\.yaml: names: expected `names: .*, not \"{'a': 'b'}\""),
        ("data.yaml", b"names: {99999999999: b}", r"data\.yaml: names: expected `names: "),
        ("data.yaml", b"names: 5", r"data\.yaml: names: expected `names: .*, not '5'"),
    ],
)
def test_a_file_of_labels_or_names_that_cannot_be_read_is_named(
    file: str, content: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(LABEL)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelError, match=why):
        read_labels(tmp_path, CLASSES)


IMAGE = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}
BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}
CAR = {"id": 1, "name": "car"}


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "why"),
    [
        ([{"id": 1, "file_name": "a.jpg"}], [BOX], [CAR], r"images\[0\] is not an object with .* width"),
        ([IMAGE | {"width": 0}], [BOX], [CAR], r"annotations\[0\] is not"),
        ([IMAGE], [BOX, BOX | {"bbox": 3}], [CAR], r"annotations\[1\] is not .* bbox: \[left, top"),
        ([IMAGE], [BOX | {"image_id": 7}], [CAR], r"annotations\[0\] is not .*of one of its images"),
        ([IMAGE], [BOX | {"category_id": 7}], [CAR], "category_id 7: none of its categories"),
        ([IMAGE], [BOX], ["car"], "the lists images, annotations and categories"),
        ([IMAGE], 5, [CAR], "the lists images, annotations and categories"),
    ],
)
def test_what_is_wrong_in_a_coco_file_is_said(
    images: object, annotations: object, categories: object, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    with pytest.raises(ModelError, match=rf"coco\.json: .*{why}") as refused:
        read_labels(path, CLASSES)
    assert not re.search(r"[A-Z]\w+Error|indices|None", str(refused.value))


@pytest.mark.parametrize("content", [b"[]", b"5", b"\xff\xfe", b'{"images": ['])
def test_what_is_no_coco_file_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"coco\.json: .*the lists images, annotations and categories"):
        read_labels(path, CLASSES)


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
