"""The folder of clips: within age and budget, the oldest first; what is half made or not ours."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from streamer.api.explain import UnknownEvent
from streamer.config.clip_settings import ClipsConfig
from streamer.errors import ConfigError, StorageError
from streamer.workers.clips.library import PARTIAL, Clip, Library

DAY_NS = 86_400 * 10**9
SIZE = 1000
ROOM_FOR_THREE = ClipsConfig(max_gb=3.5 * SIZE / 1e9, min_free_mb=0)


def keep(library: Library, number: int, age_days: float = 0.0) -> Clip:
    """A clip of SIZE bytes, made so long ago."""
    name = f"gate-5-{number}"
    made = library.partial / f"{name}.mp4"
    made.write_bytes(os.urandom(SIZE))
    made_ns = time.time_ns() - int(age_days * DAY_NS)
    clip = Clip(name, f"n/gate/5/{number}", "gate", 0, 1, "", 0, "", "show", "h264", made_ns)
    return library.add(clip, made)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != PARTIAL)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "clips", ROOM_FOR_THREE)


def test_over_the_budget_the_oldest_go_first_with_all_that_is_known_of_them(library: Library) -> None:
    for number, age_days in ((1, 1), (2, 3), (3, 2)):
        keep(library, number, age_days)
    keep(library, 4)
    assert sorted(library.clips) == ["gate-5-1", "gate-5-3", "gate-5-4"]
    assert files(library.folder) == sorted(f"{n}{end}" for n in library.clips for end in (".json", ".mp4"))
    assert (library.bytes, library.removed["room"]) == (3 * SIZE, 1)


def test_a_budget_that_is_lowered_holds_for_what_is_there(library: Library) -> None:
    for number, age_days in ((1, 1), (2, 3), (3, 2)):
        keep(library, number, age_days)
    library.settings = ROOM_FOR_THREE.model_copy(update={"max_gb": 1.5 * SIZE / 1e9})
    library.expire()
    assert (list(library.clips), library.removed["room"]) == (["gate-5-1"], 2)


def test_a_clip_that_alone_is_over_the_budget_costs_no_other_its_place(library: Library) -> None:
    keep(library, 1)
    library.settings = ROOM_FOR_THREE.model_copy(update={"max_gb": 0.5 * SIZE / 1e9})
    with pytest.raises(StorageError, match=r"more than clips\.max_gb"):
        keep(library, 2)
    assert list(library.clips) == ["gate-5-1"]
    assert list(library.partial.iterdir()) == []


def test_what_is_too_old_goes_and_nothing_younger(library: Library) -> None:
    keep(library, 1, 7.1)
    keep(library, 2, 6.9)
    library.expire()
    assert (list(library.clips), library.removed["age"]) == (["gate-5-2"], 1)
    assert files(library.folder) == ["gate-5-2.json", "gate-5-2.mp4"]


def test_a_clip_is_found_again_after_a_start_and_what_was_half_made_is_removed_and_counted(
    library: Library,
) -> None:
    kept = keep(library, 1)
    (library.partial / "gate-5-2.mp4").write_bytes(b"half")
    (library.folder / "gate-5-3.mp4").write_bytes(b"killed before it was noted")
    (library.folder / "holidays.mp4").write_bytes(b"somebody else's")
    again = Library(library.folder, ROOM_FOR_THREE)
    assert again.clips == {kept.clip: kept}
    assert again.half_made == 2
    assert files(again.folder) == ["gate-5-1.json", "gate-5-1.mp4", "holidays.mp4"]
    assert list(again.partial.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "gate-5-2", "/etc/passwd"])
def test_a_note_that_names_another_file_than_its_own_is_none_of_ours(
    name: str, library: Library, tmp_path: Path
) -> None:
    clip = keep(library, 1)
    (tmp_path / "outside.mp4").write_bytes(b"x")
    for changed in ({"file": f"{name}.mp4"}, {"clip": name}):
        (library.folder / "gate-5-1.json").write_text(json.dumps({**clip.as_dict(), **changed}))
        assert Library(library.folder, ROOM_FOR_THREE).clips == {}
    assert (tmp_path / "outside.mp4").exists()


@pytest.mark.parametrize(
    "text", ["../gate/1", "gate/../1", "..-5-1", "gate-5-1/../../x", "gate/2", "", "gate"]
)
def test_what_is_no_id_of_a_clip_finds_none(text: str, library: Library) -> None:
    keep(library, 1)
    with pytest.raises((ConfigError, UnknownEvent), match=r"no clip of|not an event's id"):
        library.find(text)


@pytest.mark.parametrize("text", ["gate-5-1", "gate/1", "n/gate/5/1"])
def test_a_clip_is_found_by_its_id_and_its_event_s(text: str, library: Library) -> None:
    kept = keep(library, 1)
    keep(library, 11)
    assert library.find(text) is kept


def test_a_file_that_somebody_else_has_removed_is_told_once(library: Library) -> None:
    clip = keep(library, 1)
    (library.folder / clip.file).unlink()
    with pytest.raises(StorageError, match="somebody has removed it"):
        library.path_of(clip)
    assert (library.clips, library.removed["missing"], files(library.folder)) == ({}, 1, [])


def test_a_disk_without_room_takes_no_clip_whatever_is_asked_to_be_left(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.check_room()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 999_999}))
    with pytest.raises(StorageError, match="0 MB are free, and clips leave 1 MB"):
        library.check_room()
