"""The configuration that a daemon runs by, and what is said of what is not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamer.api.apply_change import apply_change
from streamer.api.arguments import read_arguments
from streamer.api.changes import AnyChange, WantedChange
from streamer.cli.main import cli
from streamer.config.store import ConfigStore
from streamer.daemon import active_config
from streamer.daemon.active_config import ActiveConfig
from streamer.errors import ConfigError, Exit, NotApplied, StorageError
from streamer.ipc.messages import MAX_CAMERAS


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    folder = tmp_path / "config"
    (folder / "cameras.d").mkdir(parents=True)
    (folder / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n")
    return ConfigStore(folder)


def write(store: ConfigStore, name: str, more: str = "") -> Path:
    path = store.camera_file(name)
    path.write_text(f"name: {name}\nurl: synthetic:street\nmodel: motion\n{more}")
    return path


def wanted(**change: Any) -> AnyChange:
    return read_arguments(WantedChange, change).root


def names(active: ActiveConfig) -> list[str]:
    return [camera.name for camera in active.config.cameras]


# ---- a change that is written and cannot be applied


def test_a_change_that_is_written_and_not_in_force_is_said_to_be_both(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, "gate")
    active = ActiveConfig(store)

    def full(*_args: Any) -> Any:
        raise StorageError("revisions.json: cannot be written: No space left on device")

    monkeypatch.setattr(active_config, "revise", full)
    with pytest.raises(NotApplied, match="is written, but not in force: revisions") as caught:
        active.change(wanted(op="camera.set", name="gate", values={"source.fps": 5}))
    assert caught.value.exit_code == Exit.STORAGE
    assert "nothing" not in str(caught.value)
    assert store.load().cameras[0].source.fps == 5
    assert active.config.cameras[0].source.fps == 0
    (warning,) = active.warnings
    assert "not in force" in warning
    monkeypatch.undo()
    assert active.reload()
    assert (active.config.cameras[0].source.fps, active.warnings) == (5, [])


def test_a_change_that_is_refused_has_written_nothing(store: ConfigStore) -> None:
    path = write(store, "gate")
    before = path.read_text()
    active = ActiveConfig(store)
    with pytest.raises(ConfigError):
        active.change(wanted(op="camera.set", name="gate", values={"source.fps": -5}))
    assert path.read_text() == before
    assert active.warnings == []


# ---- sinks


def test_a_sink_that_cannot_be_written_is_refused_in_the_words_of_the_check_and_the_old_ones_stay(
    store: ConfigStore, tmp_path: Path
) -> None:
    write(store, "gate")
    before = store.file.read_text()
    active = ActiveConfig(store)
    was = active.config, active.rev
    store.file.write_text(f"{before}sinks: [{{kind: jsonl, path: {tmp_path}}}]\n")
    said = f"sink jsonl: {tmp_path} is a folder: name a file in it"
    assert said in CliRunner().invoke(cli, ["--config", str(store.folder), "run", "--check"]).stderr
    assert not active.reload()
    assert active.warnings == [f"the configuration on disk is not in force: {said}"]
    with pytest.raises(NotApplied, match="is a folder: name a file in it"):
        active.change(wanted(op="camera.set", name="gate", values={"source.fps": 5}))
    assert (active.config, active.rev) == was
    store.file.write_text(f"{before}sinks: [{{kind: jsonl, path: {tmp_path}/events.jsonl}}]\n")
    assert active.reload()
    assert [sink.own for sink in active.config.event_sinks] == [f"{tmp_path}/events.jsonl"]


def test_a_sink_in_force_whose_place_has_gone_keeps_no_other_change_out(
    store: ConfigStore, tmp_path: Path
) -> None:
    write(store, "gate")
    disk = tmp_path / "disk"
    disk.mkdir()
    store.file.write_text(f"{store.file.read_text()}sinks: [{{kind: jsonl, path: {disk}/events.jsonl}}]\n")
    active = ActiveConfig(store)
    disk.rmdir()
    write(store, "yard")
    assert active.reload()
    assert names(active) == ["gate", "yard"]


# ---- cameras that are left out


def test_a_camera_that_a_person_broke_beside_another_change_is_left_out_of_it_alone(
    store: ConfigStore,
) -> None:
    write(store, "gate")
    active = ActiveConfig(store)
    write(store, "new", "pipeline: nope\n")
    write(store, "gate", "pipeline: nope\n")
    active.change(
        wanted(op="camera.put", camera={"name": "yard", "url": "synthetic:street", "model": "motion"})
    )
    assert names(active) == ["gate", "yard"]
    assert active.config.cameras[0].pipeline == "default", "it goes on as it was"
    assert active.misconfigured.keys() == {"new"}
    assert len(active.warnings) == 2
    assert not active.healed()
    write(store, "new")
    write(store, "gate")
    assert active.healed()
    assert active.reload()
    assert names(active) == ["gate", "new", "yard"]
    assert (active.misconfigured, active.warnings) == ({}, [])


def test_a_reason_that_stays_is_told_since_when_it_was_first_seen(store: ConfigStore) -> None:
    write(store, "gate")
    write(store, "bad", "pipeline: nope\n")
    active = ActiveConfig(store)
    before = active.misconfigured["bad"]
    active.change(wanted(op="camera.disable", name="gate"))
    assert active.misconfigured["bad"] == before
    write(store, "bad", "pipeline: nada\n")
    active.change(wanted(op="camera.enable", name="gate"))
    assert active.misconfigured["bad"].since_ns > before.since_ns


def test_a_model_that_is_missing_leaves_no_camera_out(store: ConfigStore) -> None:
    store.camera_file("gate").write_text("name: gate\nurl: synthetic:street\nmodel: gone\n")
    assert names(ActiveConfig(store)) == ["gate"]


def test_a_hundred_broken_files_make_no_hundred_warnings(store: ConfigStore) -> None:
    for number in range(100):
        write(store, f"bad-{number}", "pipeline: nope\n")
    active = ActiveConfig(store)
    assert len(active.misconfigured) == 100
    assert len(active.warnings) == active_config.MAX_WARNINGS + 1
    assert "80 more" in active.warnings[-1]


# ---- how many


def test_the_camera_that_is_one_too_many_is_refused_with_the_limit(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.api.apply_change.MAX_CAMERAS", 2)
    for name in ("a", "b"):
        write(store, name)
    added = {"op": "camera.put", "camera": {"name": "c", "url": "synthetic:street", "model": "motion"}}
    with pytest.raises(ConfigError, match=f"camera c: a daemon takes {MAX_CAMERAS} cameras at most"):
        apply_change(store, added)
    assert not store.camera_file("c").exists()
    replaced = {"op": "camera.put", "camera": {"name": "b", "url": "synthetic:street"}, "replace": True}
    assert len(apply_change(store, replaced).cameras) == 2


def test_of_too_many_files_the_last_are_left_out_and_named(store: ConfigStore) -> None:
    for number in range(MAX_CAMERAS + 2):
        write(store, f"c{number:04}")
    active = ActiveConfig(store)
    assert len(active.config.cameras) == MAX_CAMERAS
    assert active.misconfigured == {}, "there is no row for them"
    assert [text.partition(" ")[0] for text in active.warnings] == ["c0512.yaml", "c0513.yaml"]
    assert f"{MAX_CAMERAS} cameras at most" in active.warnings[0]
    with pytest.raises(ConfigError, match="at most"):
        store.load()
