"""`streamer model collect`: pictures named by when they were, from a camera, a clip or the running daemon."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.errors import Exit, SourceError
from streamer.models import collect_images as model_collect
from streamer.models.collect_images import from_snapshots, stem_at
from streamer.models.label_formats import read_labels
from streamer.models.labelled_images import clip_of
from tests.clips import make_clip

NOON_NS = 1_795_694_400_000_000_000  # 2026-11-26 12:00 UTC
SCENE = "synthetic:street?width=320&height=180&fps=10&seconds=6"


@pytest.fixture
def home(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    (short_dir / "cameras.d").mkdir()
    (short_dir / "cameras.d/door.yaml").write_text(f"name: door\nurl: {SCENE}\n")
    monkeypatch.chdir(short_dir)
    return short_dir


def collect(home: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--config", str(home), "model", "collect", *map(str, words)])


def test_names_say_the_hour_and_are_taken_for_one_clip_by_it() -> None:
    stems = [stem_at("door", NOON_NS + round(s * 1e9)) for s in (0, 61.5, 3600)]
    assert stems == ["door_20261126T12_000000", "door_20261126T12_010150", "door_20261126T13_000000"]
    clips = [clip_of(Path(f"{stem}.jpg")) for stem in stems]
    assert clips == ["door_20261126T12", "door_20261126T12", "door_20261126T13"]


def test_pictures_of_a_camera_lie_in_a_folder_of_its_name_with_the_classes(home: Path) -> None:
    done = collect(home, "door", "--every", "2", "--count", "9")
    assert done.exit_code == 0, done.output
    folder = home / "door-pictures"
    pictures = sorted(folder.glob("door_*.jpg"))
    assert len(pictures) == 3  # of six seconds
    assert cv2.imread(str(pictures[0])).shape == (180, 320, 3)
    assert (folder / "classes.txt").read_text().split() == [
        "person", "bicycle", "car", "motorcycle", "bus", "truck",
    ]  # fmt: skip
    assert "streamer model tune door --labels door-pictures" in done.output


def test_drafts_are_labels_of_what_the_model_sees(home: Path) -> None:
    done = collect(home, "door", "--every", "3", "--drafts", "--out", home / "out")
    assert done.exit_code == 0, done.output
    labels = read_labels(home / "out/drafts", ("person", "bicycle", "car", "motorcycle", "bus", "truck"))
    assert set(labels.by_stem) == {p.stem for p in (home / "out").glob("*.jpg")}


def test_drafts_of_a_model_that_sees_nothing_of_what_is_labelled_are_refused(home: Path) -> None:
    """They were written, all of them empty."""
    for words in (("--drafts", "--model", "motion"), ("--model", "motion")):
        done = collect(home, "door", *words, "--out", home / "out")
        assert done.exit_code != Exit.OK
        assert not (home / "out").exists()
    assert "--model is for --drafts" in done.output
    done = collect(home, "door", "--drafts", "--model", "motion")
    assert done.exit_code == Exit.MODEL
    assert "motion sees object, and labels are of person" in done.stderr


def test_pictures_of_a_clip_are_named_by_their_frame(home: Path) -> None:
    clip = make_clip(
        home / "yard.mp4", frames=50, width=64, height=64, fps=10,
        draw=lambda n, w, h: np.full((h, w, 3), 4 * n, np.uint8),
    )  # fmt: skip
    assert collect(home, clip, "--every", "2", "--count", "2").exit_code == 0
    assert sorted(p.name for p in (home / "yard-pictures").glob("*.jpg")) == ["yard_0.jpg", "yard_20.jpg"]


def test_what_is_neither_a_clip_nor_a_camera_is_one_line(home: Path) -> None:
    done = collect(home, "gate")
    assert done.exit_code == Exit.CONFIG
    assert "neither a clip nor a camera (cameras: door)" in done.output
    assert not (home / "gate-pictures").exists()


def test_a_folder_that_cannot_be_written_is_one_line(home: Path) -> None:
    done = collect(home, "door", "--out", "/proc/none")
    assert done.exit_code == Exit.STORAGE
    assert "cannot be written" in done.output


def test_a_picture_that_fails_is_missed_and_several_in_a_row_end_it() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    answers = iter([image, None, image, *[None] * model_collect.MAX_MISSES])
    missed: list[str] = []
    waits: list[float] = []

    def take() -> np.ndarray:
        answer = next(answers)
        if answer is None:
            raise SourceError("unreachable")
        return answer

    found = from_snapshots(take, "door", 5.0, missed.append, wait=waits.append)
    assert len(list(itertools.islice(found, 2))) == 2
    with pytest.raises(SourceError, match="unreachable"):
        next(found)
    assert len(missed) == model_collect.MAX_MISSES
    assert all(0 <= wait <= 40 for wait in waits)
