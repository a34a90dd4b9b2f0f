"""Changes to the configuration: whole or not at all, whoever asks for them."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.registry import create_detector
from pipelines.scene.view import View
from pipelines.spec import ActionsSpec
from streamer.api.apply_change import apply_change
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, ModelError, StorageError, StreamerError
from streamer.ipc import atomic_write as atomic
from streamer.models.camera_check import MOTION_CLASSES, pipeline_of
from streamer.sources.kept_view import forget_other_views, keep_view, kept_view, view_path

DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
HAND_WRITTEN = "# mine, with a comment\ntimezone: Europe/Berlin   # and another\n"


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "streamer.yaml").write_text(f"{HAND_WRITTEN}state_dir: {tmp_path}/state\n")
    return ConfigStore(folder)


def put(store: ConfigStore, name: str = "gate", url: str = "synthetic:street", **more: Any) -> Config:
    return apply_change(store, {"op": "camera.put", "camera": {"name": name, "url": url}, **more})


def files(store: ConfigStore) -> dict[str, bytes]:
    return {str(p.relative_to(store.folder)): p.read_bytes() for p in store.folder.rglob("*") if p.is_file()}


def test_a_camera_that_is_put_is_there_and_what_a_person_wrote_is_as_it_was(store: ConfigStore) -> None:
    config = put(store)
    assert [c.name for c in config.cameras] == ["gate"]
    assert ConfigStore(store.folder).load() == config
    assert store.file.read_text().startswith(HAND_WRITTEN)
    assert stat.S_IMODE(store.camera_file("gate").stat().st_mode) == 0o640


def test_the_reference_view_goes_with_its_camera_and_along_to_its_new_name(store: ConfigStore) -> None:
    state_dir = put(store).state_path
    here = View(np.ones((20, 2), np.float32), np.ones((20, 32), np.uint8), 0.5)
    keep_view(view_path(state_dir, "gate"), "synthetic:street", here)
    apply_change(store, {"op": "camera.rename", "name": "gate", "to": "yard"})
    assert [path.name for path in (state_dir / "views").iterdir()] == ["yard.json"]
    assert stat.S_IMODE(view_path(state_dir, "yard").stat().st_mode) == 0o600
    assert kept_view(view_path(state_dir, "yard"), "synthetic:street") is not None
    apply_change(store, {"op": "camera.remove", "name": "yard"})
    assert list((state_dir / "views").iterdir()) == []


def test_views_of_cameras_that_are_no_more_are_forgotten_and_others_stay(tmp_path: Path) -> None:
    here = View(np.ones((20, 2), np.float32), np.ones((20, 32), np.uint8), 0.5)
    for name in ("gate", "yard"):
        keep_view(view_path(tmp_path, name), "synthetic:street", here)
    forget_other_views(tmp_path, {"gate"})
    assert [path.name for path in (tmp_path / "views").iterdir()] == ["gate.json"]
    forget_other_views(tmp_path / "new", {"gate"})  # there is no folder yet


def test_a_change_may_come_as_json_from_a_socket(store: ConfigStore) -> None:
    put(store)
    change = json.loads(json.dumps({"op": "line.put", "camera": "gate", "line": DOOR}))
    line = apply_change(store, change).cameras[0].rules.lines[0]
    assert (line.name, line.left_to_right, line.points) == ("door", "in", ((0.1, 0.5), (0.9, 0.5)))


def test_credentials_in_the_url_go_to_the_secrets_file_alone(store: ConfigStore) -> None:
    config = put(store, url="rtsp://admin:p@ss:w/rd@10.0.0.5/live")
    assert config.cameras[0].url == "rtsp://10.0.0.5/live"
    assert SecretStore(store).credentials("gate").password == "p@ss:w/rd"
    secret_file = store.cameras_dir / ".secrets.yaml"
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    holding = [name for name, raw in files(store).items() if b"p@ss:w/rd" in raw]
    assert holding == ["cameras.d/.secrets.yaml"]


def test_credentials_may_be_given_apart_from_the_url_and_outlive_a_new_one(store: ConfigStore) -> None:
    put(store, url="rtsp://10.0.0.5/live", username="admin", password="one")
    apply_change(store, {"op": "camera.set", "name": "gate", "values": {"url": "rtsp://10.0.0.6/live"}})
    assert SecretStore(store).credentials("gate").password == "one"
    apply_change(store, {"op": "camera.set", "name": "gate", "values": {}, "password": "two"})
    found = SecretStore(store).credentials("gate")
    assert (found.username, found.password) == ("admin", "two")


def test_set_changes_what_it_names_and_nothing_else(store: ConfigStore) -> None:
    put(store)
    apply_change(store, {"op": "line.put", "camera": "gate", "line": DOOR})
    values = {"source.fps": "5", "source.loop": "true", "rules.limits.person.min_score": "0.4"}
    camera = apply_change(store, {"op": "camera.set", "name": "gate", "values": values}).cameras[0]
    assert (camera.source.fps, camera.source.loop, camera.rules.limits["person"].min_score) == (5, True, 0.4)
    assert camera.rules.lines[0].name == "door"
    camera = apply_change(
        store, {"op": "camera.set", "name": "gate", "values": {"source.fps": None}}
    ).cameras[0]
    assert camera.source.fps == "auto", "None goes back to the default"


def test_enable_and_disable_keep_everything_else(store: ConfigStore) -> None:
    before = put(store).cameras[0]
    off = apply_change(store, {"op": "camera.disable", "name": "gate"}).cameras[0]
    assert off == before.model_copy(update={"enabled": False})
    assert apply_change(store, {"op": "camera.enable", "name": "gate"}).cameras[0] == before


def test_a_renamed_camera_keeps_its_rules_and_credentials(store: ConfigStore) -> None:
    put(store, url="rtsp://admin:pw@10.0.0.5/live")
    apply_change(store, {"op": "line.put", "camera": "gate", "line": DOOR})
    config = apply_change(store, {"op": "camera.rename", "name": "gate", "to": "yard"})
    assert [c.name for c in config.cameras] == ["yard"]
    assert config.cameras[0].rules.lines[0].name == "door"
    secrets = SecretStore(store)
    assert secrets.credentials("yard").password == "pw"
    assert not secrets.credentials("gate")


def test_a_removed_camera_takes_its_credentials_along(store: ConfigStore) -> None:
    put(store, url="rtsp://admin:pw@10.0.0.5/live")
    assert apply_change(store, {"op": "camera.remove", "name": "gate"}).cameras == ()
    assert not any(b"pw" in raw for raw in files(store).values() if b"admin" in raw)


def test_rules_are_added_moved_on_request_and_removed(store: ConfigStore) -> None:
    put(store)
    corners = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]
    for kind in ("zone", "mask"):
        apply_change(store, {"op": f"{kind}.put", "camera": "gate", kind: {"name": "a", "points": corners}})
    apply_change(store, {"op": "line.put", "camera": "gate", "line": DOOR})
    with pytest.raises(ConfigError, match="exists"):
        apply_change(store, {"op": "line.put", "camera": "gate", "line": DOOR})
    moved = {**DOOR, "points": [[0.2, 0.5], [0.9, 0.5]]}
    config = apply_change(store, {"op": "line.put", "camera": "gate", "line": moved, "replace": True})
    assert [x.points[0] for x in config.cameras[0].rules.lines] == [(0.2, 0.5)]
    for kind, name in (("line", "door"), ("zone", "a"), ("mask", "a")):
        config = apply_change(store, {"op": f"{kind}.remove", "camera": "gate", "name": name})
    assert config.cameras[0].rules.model_dump(exclude_defaults=True) == {}


def bad_line(**changed: Any) -> dict[str, Any]:
    return {"op": "line.put", "camera": "gate", "line": {**DOOR, "name": "new", **changed}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "op"),
        ({"op": "camera.explode"}, "camera.explode"),
        ({"op": "camera.put"}, "camera: is missing"),
        ({"op": "camera.put", "camera": []}, "camera: should hold `key: value` lines"),
        ({"op": "camera.put", "camera": {"name": "gate", "url": "synthetic:a"}}, "'gate' exists"),
        ({"op": "camera.put", "camera": {"name": "a", "url": "gopher://x"}}, "gopher"),
        (
            {"op": "camera.put", "camera": {"name": "a", "url": "synthetic:a", "pipeline": "nope"}},
            "unknown pipeline",
        ),
        (
            {"op": "camera.put", "camera": {"name": "a", "url": "synthetic:a", "speed": 1}},
            "speed: unknown key",
        ),
        (
            {"op": "camera.put", "camera": {"name": "a", "url": "synthetic:a", "model": "nope"}},
            "no model 'nope'",
        ),
        ({"op": "camera.set", "name": "gate", "values": {"rules.classes": ["dgo"]}}, "unknown class 'dgo'"),
        (
            {
                "op": "camera.set",
                "name": "gate",
                "values": {"model": "default", "actions": "motion", "rules.classes": ["car", "bus"]},
            },
            "looks at person, of which the camera's classes leave nothing (they are car, bus): add person",
        ),
        ({"op": "camera.set", "name": "gate", "values": {"actions_pause_s": "-1"}}, "actions_pause_s"),
        ({"op": "camera.set", "name": "gate", "values": {"name": "other"}}, "rename"),
        ({"op": "camera.set", "name": "gate", "values": {"url.x": "other"}}, "nothing below 'url'"),
        ({"op": "camera.set", "name": "gate", "values": {"source.fps": "NaN"}}, "source.fps"),
        ({"op": "camera.rename", "name": "gate", "to": "../x"}, "use 1 to 63"),
        ({"op": "camera.rename", "name": "gate", "to": "yard"}, "'yard' exists"),
        ({"op": "camera.remove", "name": "nope"}, "known: gate, yard"),
        ({"op": "line.remove", "camera": "gate", "name": "nope"}, "no line 'nope'; known: door"),
        (bad_line(points=[[0.1, 0.5], [0.1, 0.5]]), "a line needs a length"),
        (bad_line(points=[[0.1, 0.5]]), "line.points: needs at least 2 points, not 1"),
        (bad_line(points=[[0.1, 0.5], [0.2, float("nan")]]), "line.points[1][1]"),
        (bad_line(points=[[0.1, 0.5], [0.2, 1.01]]), "line.points[1][1]"),
        (bad_line(points=[[0.1, 0.5], [-0.2, 1]]), "line.points[1][0]"),
        (bad_line(left_to_right="out"), "both directions"),
        (bad_line(name="A line"), "line.name: use 1 to 63 of a-z"),
        (bad_line(classes=["unicorn"]), "line new: unknown class 'unicorn'"),
        (
            bad_line(points=[[i / 100, 0.5] for i in range(50)]),
            "line.points: needs at most 32 points, not 50",
        ),
        (
            {
                "op": "zone.put",
                "camera": "gate",
                "zone": {"name": "z", "points": [[0, 0], [1, 1], [1, 0], [0, 0.8]]},
            },
            "cross",
        ),
        (
            {"op": "zone.put", "camera": "gate", "zone": {"name": "z", "points": [[0, 0], [0.5, 0], [1, 0]]}},
            "no area",
        ),
    ],
)
def test_a_bad_change_is_refused_in_one_line_and_no_file_moves(
    store: ConfigStore, change: dict[str, Any], words: str
) -> None:
    put(store)
    put(store, "yard")
    apply_change(store, {"op": "line.put", "camera": "gate", "line": DOOR})
    before = files(store)
    with pytest.raises((ConfigError, ModelError)) as caught:
        apply_change(store, change)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(store) == before


def test_credentials_that_a_person_keeps_elsewhere_are_not_shadowed(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, url="rtsp://10.0.0.5/live")
    monkeypatch.setenv("STREAMER_CAMERA_GATE_PASSWORD", "canary")
    before = files(store)
    for change in (
        {"op": "camera.set", "name": "gate", "password": "other"},
        {"op": "camera.rename", "name": "gate", "to": "yard"},
    ):
        with pytest.raises(ConfigError, match="environment") as caught:
            apply_change(store, change)
        assert "canary" not in str(caught.value)
    assert files(store) == before


def test_a_refused_change_shows_no_credential(store: ConfigStore) -> None:
    changes: list[dict[str, Any]] = [
        {"op": "camera.put", "camera": {"name": "a", "url": "rtsp://admin:canary@"}},
        {"op": "camera.put", "camera": {"name": "a", "url": "ftp://admin:canary@host/"}},
        {"op": "camera.put", "camera": {"name": "a", "url": ["canary"]}},
        {"op": "camera.put", "camera": {"name": "a", "url": "synthetic:a"}, "password": ["canary"]},
        {"op": "camera.put", "camera": {"name": "a", "url": "synthetic:a"}, "password": "x", "canary": 1}
        | {"canary": "canary"},
        {"op": "camera.set", "name": "a", "values": "canary"},
    ]
    for change in changes:
        with pytest.raises(StreamerError) as caught:
            apply_change(store, change)
        assert "canary" not in str(caught.value).replace("canary: unknown key", "")


def test_while_streamer_yaml_is_broken_no_change_is_made(store: ConfigStore) -> None:
    put(store)
    store.file.write_text("timezone: [\n")
    before = files(store)
    with pytest.raises(ConfigError, match=r"streamer\.yaml:2"):
        put(store, "yard")
    assert files(store) == before


@pytest.fixture(params=[b"name: gate\nurl: [\n", b"", b"\xff\x00", b"name: yard\nurl: synthetic:street\n"])
def broken(store: ConfigStore, request: pytest.FixtureRequest) -> bytes:
    """What stands in the file of camera gate, which has credentials."""
    put(store, url="rtsp://admin:pw@10.0.0.5/live")
    store.camera_file("gate").write_bytes(request.param)
    return bytes(request.param)


def test_a_broken_camera_hinders_no_change_of_another(store: ConfigStore, broken: bytes) -> None:
    assert [c.name for c in put(store, "yard").cameras] == ["yard"]
    apply_change(store, {"op": "line.put", "camera": "yard", "line": DOOR})
    apply_change(store, {"op": "camera.disable", "name": "yard"})
    apply_change(store, {"op": "camera.rename", "name": "yard", "to": "hall"})
    assert apply_change(store, {"op": "camera.remove", "name": "hall"}).cameras == ()
    assert store.camera_file("gate").read_bytes() == broken


def test_a_broken_camera_is_not_changed_and_the_way_out_is_said(store: ConfigStore, broken: bytes) -> None:
    put(store, "yard")
    before = files(store)
    for change in (
        {"op": "camera.put", "camera": {"name": "gate", "url": "synthetic:street"}},
        {"op": "camera.set", "name": "gate", "values": {"source.fps": 5}},
        {"op": "camera.enable", "name": "gate"},
        {"op": "camera.rename", "name": "gate", "to": "hall"},
        {"op": "camera.rename", "name": "yard", "to": "gate"},
        {"op": "line.put", "camera": "gate", "line": DOOR},
    ):
        with pytest.raises(
            ConfigError, match=r"gate\.yaml:.*; mend the file, or .*`streamer camera remove gate`"
        ):
            apply_change(store, change)
    assert files(store) == before
    assert broken == store.camera_file("gate").read_bytes()


@pytest.mark.usefixtures("broken")
def test_a_broken_camera_is_removed_with_its_credentials(store: ConfigStore) -> None:
    put(store, "yard")
    assert [c.name for c in apply_change(store, {"op": "camera.remove", "name": "gate"}).cameras] == ["yard"]
    assert not store.camera_file("gate").exists()
    assert not SecretStore(store).knows("gate")


def test_a_camera_whose_model_has_gone_can_be_switched_off_but_not_on(store: ConfigStore) -> None:
    put(store)
    path = store.camera_file("gate")
    path.write_text(path.read_text() + "model: gone\n")
    assert not apply_change(store, {"op": "camera.disable", "name": "gate"}).cameras[0].enabled
    for change in ({"op": "camera.enable"}, {"op": "camera.set", "values": {"source.fps": 5}}):
        with pytest.raises(ModelError, match="no model 'gone'"):
            apply_change(store, {**change, "name": "gate"})


def test_a_full_disk_leaves_every_file_as_it_was(store: ConfigStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, url="rtsp://admin:old@10.0.0.5/live")
    before = files(store)
    synced: list[int] = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device; nothing was changed"):
        apply_change(store, {"op": "camera.rename", "name": "gate", "to": "yard"})
    assert len(synced) == 2
    assert files(store) == before


def test_a_disk_that_fails_after_the_first_file_is_not_said_to_have_changed_nothing(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, url="rtsp://admin:old@10.0.0.5/live")

    def broken(_folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic, "sync_folder", broken)
    with pytest.raises(StorageError, match=r"Input/output error; only .*yard\.yaml.* changed"):
        apply_change(store, {"op": "camera.rename", "name": "gate", "to": "yard"})
    assert store.camera_file("yard").exists()


def test_the_classes_of_motion_are_those_of_its_detector() -> None:
    labels = create_detector("motion").labels
    assert set(labels.names) | set(labels.groups) == set(MOTION_CLASSES)


def test_two_changes_at_once_are_both_made(store: ConfigStore) -> None:
    put(store)
    errors: list[StreamerError] = []

    def add(number: int) -> None:
        try:
            apply_change(
                store, {"op": "line.put", "camera": "gate", "line": {**DOOR, "name": f"line-{number}"}}
            )
        except StreamerError as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.load().cameras[0].rules.lines) == 8


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_folder_s_owner(store: ConfigStore) -> None:
    store.cameras_dir.mkdir()
    os.chown(store.cameras_dir, 12345, 12346)
    put(store, url="rtsp://admin:pw@10.0.0.5/live")
    for path in (store.camera_file("gate"), store.cameras_dir / ".secrets.yaml"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_a_camera_has_a_pause_of_its_own_between_tellings(store: ConfigStore) -> None:
    wanted = {"model": "default", "actions": "motion", "rules.classes": ["car", "person"]}
    put(store)
    config = apply_change(store, {"op": "camera.set", "name": "gate", "values": wanted})
    assert asked_of(config).pause_s == 10
    config = apply_change(store, {"op": "camera.set", "name": "gate", "values": {"actions_pause_s": "45"}})
    assert asked_of(config).pause_s == 45
    config = apply_change(store, {"op": "camera.set", "name": "gate", "values": {"actions_pause_s": None}})
    assert asked_of(config).pause_s == 10


def asked_of(config: Config) -> ActionsSpec:
    spec = pipeline_of(config.cameras[0]).actions
    assert spec is not None
    return spec
