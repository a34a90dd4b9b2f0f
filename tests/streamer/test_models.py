"""The model store: what is added is whole, checked and pinned; what is not a model leaves nothing behind."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from pipelines.detect.errors import ModelRefused
from streamer import models
from streamer.errors import Exit, ModelError, StorageError
from streamer.models import ModelStore, open_detector
from tests.pipelines.detect import tiny_models as tiny

NAMES = "{0: 'person', 1: 'car', 2: 'truck'}"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "state" / "models")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    metadata = {"names": NAMES, "license": "AGPL-3.0 License (https://ultralytics.com/license)"}
    return tiny.yolov8(tmp_path / "Tiny_v8.onnx", [(10, 10, 8, 8, 1, 0.9)], classes=3, metadata=metadata)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def left_behind(store: ModelStore) -> list[str]:
    return (
        sorted(p.name for p in store.folder.iterdir() if p.name != ".lock") if store.folder.exists() else []
    )


def test_an_added_model_is_named_pinned_described_and_the_default(store: ModelStore, weights: Path) -> None:
    model = store.add(weights)
    assert (model.name, model.default) == ("tiny-v8", True)
    assert model.card.sha256 == digest(weights) == digest(model.path)
    assert model.card.classes == {"person": "person", "car": "vehicle", "truck": "vehicle"}
    assert model.card.head == "yolov8"
    assert "AGPL-3.0" in model.notes()[0]
    weights.unlink()  # the store has its own copy
    assert open_detector("onnx", store.resolve(None)).labels.groups == ("person", "vehicle", "vehicle")


def test_the_second_model_is_not_the_default_until_it_is_made_so(store: ModelStore, weights: Path) -> None:
    store.add(weights, "one")
    store.add(weights, "two")
    assert [(m.name, m.default) for m in store.installed()] == [("one", True), ("two", False)]
    store.set_default("two")
    default = store.resolve(None)
    assert default is not None
    assert default.name == "two"
    with pytest.raises(ModelError, match="no model 'three'"):
        store.set_default("three")


def test_an_empty_store_resolves_to_nothing_and_gives_motion(store: ModelStore) -> None:
    assert store.installed() == []
    assert store.resolve(None) is None
    assert open_detector("auto", None).labels.names == ("object",)
    assert not store.folder.exists()  # looking makes nothing


def test_a_model_is_resolved_by_name_and_by_path(store: ModelStore, weights: Path) -> None:
    store.add(weights, "one")
    by_name, by_path = store.resolve("one"), store.resolve(str(weights))
    assert by_name is not None
    assert by_path is not None
    assert by_name.path.parent == store.folder / "one"
    assert (by_path.name, by_path.path) == ("", weights)
    assert open_detector("openvino", by_path).labels.names == ("person", "car", "truck")
    for unknown in ("two", "../one", "./none.onnx"):
        with pytest.raises(ModelError):
            store.resolve(unknown)


def test_a_sidecar_gives_groups_and_score(store: ModelStore, weights: Path) -> None:
    sidecar = weights.with_suffix(".yaml")
    sidecar.write_text("classes: {person: person, car: light, truck: heavy}\nscore: 0.4\n")
    for added in (store.add(weights, "beside"), store.add(weights, "named", sidecar=sidecar)):
        assert added.card.classes["truck"] == "heavy"
        assert added.card.score == 0.4


def test_groups_edited_in_the_store_are_used(store: ModelStore, weights: Path) -> None:
    model = store.add(weights)
    sidecar = model.path.with_name("model.yaml")
    sidecar.write_text(sidecar.read_text().replace("truck: vehicle", "truck: lorry"))
    assert open_detector("openvino", store.resolve(None)).labels.groups == ("person", "vehicle", "lorry")


def test_a_changed_file_is_refused(store: ModelStore, weights: Path, tmp_path: Path) -> None:
    model = store.add(weights)
    other = tiny.yolov8(tmp_path / "other.onnx", [], classes=3, metadata={"names": NAMES})
    shutil.copyfile(other, model.path)
    for engine in ("openvino", "onnx"):
        with pytest.raises(ModelError, match="changed since it was added"):
            open_detector(engine, store.resolve(None))
    (verdict,) = store.verify()
    assert "changed since it was added" in verdict.problem


def test_verify_finds_sound_and_damaged_models(store: ModelStore, weights: Path) -> None:
    store.add(weights, "sound")
    damaged = store.add(weights, "damaged")
    damaged.path.write_bytes(damaged.path.read_bytes()[:-50])
    store.add(weights, "torn").path.with_name("model.yaml").write_text("classes: [")
    problems = {verdict.name: verdict.problem for verdict in store.verify()}
    assert problems["sound"] == ""
    assert "damaged" in problems["damaged"]
    assert "not YAML" in problems["torn"]
    assert [verdict.name for verdict in store.verify("sound")] == ["sound"]
    with pytest.raises(ModelError, match="no model 'none'"):
        store.verify("none")


def test_what_is_no_usable_model_is_refused_and_leaves_nothing(
    store: ModelStore, weights: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("classes: [person]\n")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(weights.read_bytes()[:-100])
    odd = tiny.save(
        tmp_path / "odd.onnx",
        [tiny.helper.make_node("ReduceMean", ["images"], ["a"], axes=[2, 3], keepdims=0)],
        {},
        {"a": [1, 3]},
    )
    grey = tiny.save(
        tmp_path / "grey.onnx",
        [tiny.helper.make_node("ReduceMean", ["images"], ["a"], axes=[2, 3], keepdims=0)],
        {},
        {"a": [1, 1]},
        channels=1,
    )
    empty = tmp_path / "empty.onnx"
    empty.touch()
    for path, why in [
        (text, "not an ONNX model"),
        (cut, "cut"),
        (odd, r"unknown head .*\[1,3\]"),
        (grey, r"\[1,1,64,64\] is not a picture"),
        (empty, "1 byte"),
        (tmp_path / "none.onnx", "No such file"),
        (tmp_path, "directory"),
    ]:
        with pytest.raises(ModelError, match=why) as refusal:
            store.add(path, "bad")
        assert refusal.value.exit_code is Exit.MODEL
        assert "\n" not in str(refusal.value)
    assert left_behind(store) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("classes: {person: person}\n", "names 1"),
        ("score: 7\n", "score"),
        ("speed: 7\n", "speed"),
        ("head: yolo99\n", "unknown head"),
        ("classes: {person: ''}\n", "empty name"),
        ("- a\n", "expected keys"),
        ("a: &a [*a]\n", "a: Extra"),
        ("5: 6\n", "sidecar.yaml"),
        ("classes: [\n", "not YAML"),
        ("\x00", "not YAML"),
    ],
)
def test_a_sidecar_that_says_nonsense_is_refused(
    content: str, why: str, store: ModelStore, weights: Path, tmp_path: Path
) -> None:
    sidecar = tmp_path / "sidecar.yaml"
    sidecar.write_text(content)
    with pytest.raises(ModelError, match=why):
        store.add(weights, sidecar=sidecar)
    assert left_behind(store) == []


def test_a_pinned_hash_must_be_the_files(store: ModelStore, weights: Path) -> None:
    with pytest.raises(ModelError, match="expected 000000000000"):
        store.add(weights, sha256="0" * 64)
    with pytest.raises(ModelError, match="64 hex digits"):
        store.add(weights, sha256="abc")
    assert left_behind(store) == []
    assert store.add(weights, sha256=digest(weights).upper()).card.sha256 == digest(weights)


@pytest.mark.parametrize("name", ["../up", "A", "", "a b", "a\n", "x" * 64, ".partial-x", "default/x"])
def test_a_bad_name_is_refused_at_the_door(name: str, store: ModelStore, weights: Path) -> None:
    with pytest.raises(ModelError, match="model name"):
        store.add(weights, name)
    with pytest.raises(ModelError, match="model name"):
        store.remove(name)
    assert left_behind(store) == []


def test_a_name_in_use_is_refused_and_the_old_model_kept(store: ModelStore, weights: Path) -> None:
    store.add(weights, "one")
    with pytest.raises(ModelError, match="'one' exists"):
        store.add(weights, "one")
    assert [v.problem for v in store.verify()] == [""]


def test_a_removed_model_is_gone_and_a_removed_default_leaves_none(store: ModelStore, weights: Path) -> None:
    store.add(weights, "one")
    store.add(weights, "two")
    store.remove("one")
    assert store.names() == ["two"]
    with pytest.raises(ModelError, match=r"no default model is set.*two"):
        store.resolve(None)
    with pytest.raises(ModelError, match="no model 'one'"):
        store.remove("one")


def test_a_model_may_be_called_default(store: ModelStore, weights: Path) -> None:
    assert store.add(weights, "default").default
    assert [model.name for model in store.installed()] == ["default"]


def test_a_failure_while_copying_leaves_nothing(
    store: ModelStore, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models.shutil, "copyfile", full)
    with pytest.raises(StorageError, match="No space left"):
        store.add(weights)
    assert left_behind(store) == []


def test_a_file_that_changes_between_check_and_copy_is_refused(
    store: ModelStore, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.shutil, "copyfile", lambda _source, target: target.write_bytes(b"other"))
    with pytest.raises(ModelError, match="changed while it was copied"):
        store.add(weights)
    assert left_behind(store) == []


def test_what_a_killed_writer_left_is_swept_and_never_listed(store: ModelStore, weights: Path) -> None:
    left = store.folder / ".partial-killed"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    assert store.names() == []
    store.add(weights, "one")
    assert left_behind(store) == [".default", "one"]


def test_a_store_under_a_file_is_a_storage_error(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(StorageError, match="check free space and permissions"):
        ModelStore(tmp_path / "models").add(weights)


def test_the_written_sidecar_reads_back_as_it_was(store: ModelStore, weights: Path) -> None:
    model = store.add(weights)
    data = yaml.safe_load(model.path.with_name("model.yaml").read_text())
    assert data == model.card.model_dump(mode="json")
    assert list(data["classes"]) == ["person", "car", "truck"]  # the order is the class ids


def test_an_unknown_engine_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="unknown engine"):
        open_detector("tpu", None)
    assert issubclass(ModelRefused, ValueError)
