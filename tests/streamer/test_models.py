"""The model store: what is added is whole, checked and pinned; what is not a model leaves nothing behind."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from pipelines.actions.card import BUNDLED
from pipelines.detect.errors import ModelRefused
from pipelines.registry import PACKAGED_MODEL
from streamer.errors import Exit, ModelError, StorageError
from streamer.models import store as models
from streamer.models.model_handle import open_detector
from streamer.models.store import ModelStore
from tests.pipelines.detect import tiny_models as tiny
from tests.pipelines.detect.mask_models import seg_model

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


def test_an_empty_store_gives_the_detector_in_the_package_and_motion_by_its_name(store: ModelStore) -> None:
    assert store.installed() == []
    found = store.resolve(None)
    assert found is not None
    assert (found.name, found.packaged, found.default) == ("default", True, True)
    assert found.display_name == "default (in the package)"
    assert "person" in open_detector("auto", found).labels.names
    assert store.resolve("motion") is None
    assert open_detector("auto", None).labels.names == ("object",)
    assert [(v.name, v.problem, v.in_package) for v in store.verify()] == [("default", "", True)]
    assert not store.folder.exists()  # looking makes nothing


@pytest.mark.parametrize(
    ("engine", "which", "chosen"),
    [
        ("auto", None, ("auto", "default")),
        ("onnx", None, ("onnx", "default")),
        ("motion", None, ("motion", None)),
        ("auto", "motion", ("motion", None)),
        ("openvino", "motion", ("motion", None)),
        ("auto", "default", ("auto", "default")),
    ],
)
def test_the_engine_or_the_model_chooses_motion(
    engine: str, which: str | None, chosen: tuple[str, str | None], store: ModelStore
) -> None:
    found, model = store.choose(engine, which)
    assert (found, model.name if model is not None else None) == chosen


def test_a_model_beside_the_engine_motion_is_a_contradiction(store: ModelStore, weights: Path) -> None:
    with pytest.raises(ModelError, match="takes no model: leave default out"):
        store.choose("motion", "default")
    store.add(weights, "one")
    assert store.choose("motion", None) == ("motion", None)


def test_what_comes_with_the_package_is_chosen_but_neither_replaced_nor_removed(
    store: ModelStore, weights: Path
) -> None:
    store.add(weights, "one")
    store.set_default("default")
    assert store.resolve(None) == store.resolve("default")
    store.add(weights, "two")  # also where another was chosen on purpose, the first added changes nothing
    assert store.default_name() == "default"
    store.set_default("motion")
    assert store.resolve(None) is None
    for name in ("default", "motion"):
        with pytest.raises(ModelError, match="is taken"):
            store.add(weights, name)
        with pytest.raises(ModelError, match="comes with the package"):
            store.remove(name)


def test_a_model_of_an_older_installation_that_is_called_default_is_kept(
    store: ModelStore, weights: Path
) -> None:
    store.add(weights, "one")
    (store.folder / "one").rename(store.folder / "default")
    (store.folder / ".default").write_text("default\n")
    found = store.resolve(None)
    assert found is not None
    assert (found.packaged, found.default) == (False, True)
    assert [v.in_package for v in store.verify()] == [False]
    store.remove("default")
    again = store.resolve(None)
    assert again is not None
    assert again.packaged


def test_a_missing_or_damaged_detector_in_the_package_is_one_line(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "default.onnx"
    monkeypatch.setattr("streamer.models.model_handle.PACKAGED_MODEL", fake)
    with pytest.raises(ModelError, match=r"default\.onnx: this part .* is missing: install streamer again"):
        store.resolve(None)
    fake.write_bytes(PACKAGED_MODEL.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"default\.yaml: this part .* is missing"):
        store.resolve(None)
    shutil.copy(PACKAGED_MODEL.with_suffix(".yaml"), tmp_path)
    with pytest.raises(ModelError, match=r"is damaged \(SHA-256 .*install streamer again") as refusal:
        store.choose("auto", None)
    assert "\n" not in str(refusal.value)
    assert [(v.name, "damaged" in v.problem) for v in store.verify()] == [("default", True)]
    assert store.choose("motion", None) == ("motion", None)  # which needs none of it


def test_what_is_damaged_is_listed_with_all_the_others(
    store: ModelStore, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One damaged file, and nothing was listed."""
    for name in ("sound", "changed", "nonsense"):
        store.add(weights, name)
    assert [(item.name, item.problem) for item in store.listed()] == [
        ("default", ""), ("changed", ""), ("nonsense", ""), ("sound", ""),
    ]  # fmt: skip
    with (store.folder / "changed/model.onnx").open("ab") as file:
        file.write(b"x")
    (store.folder / "nonsense/model.yaml").write_text("head: [\n")
    monkeypatch.setattr("streamer.models.model_handle.PACKAGED_MODEL", tmp_path / "default.onnx")
    problems = {item.name: item.problem for item in store.listed()}
    assert list(problems) == ["default", "changed", "nonsense", "sound"]
    assert problems["sound"] == ""
    assert "is missing: install streamer again" in problems["default"]
    assert "changed since it was added" in problems["changed"]
    assert "nonsense/model.yaml" in problems["nonsense"]
    digest = store.get("sound").card.sha256
    assert store.find(digest) == store.get("sound").path, "what is damaged hides no other model"
    (store.folder / "sound/model.onnx").unlink()
    assert store.find(digest) is None


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
    (verdict,) = store.verify(model.name)
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


@pytest.mark.parametrize(("window", "key"), [(18, "actions"), (1, "scene")])
def test_a_model_of_actions_or_scenes_is_told_apart_with_where_it_goes(
    window: int, key: str, store: ModelStore, tmp_path: Path
) -> None:
    path = tmp_path / "motion.onnx"
    shutil.copy(BUNDLED / "motion.onnx", path)
    card = yaml.safe_load((BUNDLED / "motion.yaml").read_text())
    path.with_suffix(".yaml").write_text(yaml.safe_dump({**card, "window": window}))
    for refused in (store.add, store.resolve):
        with pytest.raises(ModelError, match=rf"of {key}s?, no detector: .*{key}={path}.*--{key}"):
            refused(path)
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
    assert [v.problem for v in store.verify("one")] == [""]


def test_a_removed_model_is_gone_and_a_removed_default_leaves_the_one_in_the_package(
    store: ModelStore, weights: Path
) -> None:
    store.add(weights, "one")
    store.add(weights, "two")
    store.remove("one")
    assert store.names() == ["two"]
    default = store.resolve(None)
    assert default is not None
    assert default.packaged
    with pytest.raises(ModelError, match="no model 'one'"):
        store.remove("one")


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


def test_a_model_that_could_give_masks_says_how_and_gives_them_to_who_makes_use_of_them(
    store: ModelStore, tmp_path: Path
) -> None:
    path = seg_model(tmp_path / "seg.onnx", "yolov8-seg", [(32, 32, 20, 20, 0, 0.9)], [[1.0, 0.0]])
    added = store.add(path)
    assert any("with `masks: true` in its sidecar" in note for note in added.notes())
    sidecar = added.path.with_suffix(".yaml")
    sidecar.write_text(sidecar.read_text().replace("masks: false", "masks: true"))
    asked = store.get(added.name)
    assert asked.card.masks
    assert open_detector("onnx", asked, masks=True).describe()["masks"] is True
    assert open_detector("onnx", asked).describe()["masks"] is False, "who does not ask is spared the cost"
    assert any("masks are on" in note for note in store.add(added.path, "again", sidecar=sidecar).notes())
