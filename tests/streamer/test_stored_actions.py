"""Stored detections tell the same actions as the clip that they are of, falls among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipelines.actions.factory import create_engine
from pipelines.camera_rules import CameraRules
from pipelines.spec import ActionsSpec
from streamer.cli.demo import SCENE
from streamer.cli.main import cli
from streamer.clips.analyze import Outputs, Replayed, analyze, replay
from streamer.clips.stored_detections import StoredDetections, load_detections
from streamer.errors import Exit, SourceDamaged
from streamer.models.model_handle import open_detector
from streamer.models.store import ModelStore
from streamer.sources.base import create_source

SECONDS = 13  # of the demo's street: somebody falls in the eleventh
LOW_CONFIDENCE_KEYS = ("faint_offsets", "faint_boxes", "faint_scores", "faint_class_ids")


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the events of the clip and what the detector in the package saw in it."""
    folder = tmp_path_factory.mktemp("analysed")
    engine, installed = ModelStore(folder / "models").choose("auto", None)
    detector = open_detector(engine, installed, threads=1)
    outputs = Outputs(events=folder / "clip.jsonl", detections=folder / "clip.npz")
    with closing(create_source(replace(SCENE, seconds=SECONDS).url, loop=False, realtime=False)) as source:
        actions = create_engine(ActionsSpec(), detector)
        analyze(
            source, source.open(), detector, CameraRules(), clip="street", outputs=outputs, actions=actions
        )
    return folder


def told(path: Path) -> Iterator[str]:
    """The actions of a file of events, in order."""
    events = map(json.loads, path.read_text().splitlines())
    return (e["subject"] for e in events if e["type"] == "streamer.action.detected.v1")


def events_of(stored: StoredDetections, path: Path) -> Path:
    replay(
        stored,
        CameraRules(),
        outputs=Outputs(events=path),
        actions=create_engine(ActionsSpec(), Replayed(stored)),
    )
    return path


def without_low_confidence(source: Path, target: Path) -> Path:
    """The same file as an earlier version wrote it."""
    with np.load(source) as file:
        np.savez(
            target, **{key: file[key] for key in file.files if key not in (*LOW_CONFIDENCE_KEYS, "aspect")}
        )
    return target


def test_every_event_is_that_of_the_clip(analysed: Path, tmp_path: Path) -> None:
    again = events_of(load_detections(analysed / "clip.npz"), tmp_path / "again.jsonl")
    assert "fall" in told(again)
    assert again.read_text() == (analysed / "clip.jsonl").read_text()


def test_a_file_of_an_earlier_version_is_read_and_lacks_the_falls(analysed: Path, tmp_path: Path) -> None:
    stored = load_detections(without_low_confidence(analysed / "clip.npz", tmp_path / "old.npz"))
    assert stored.lacks_low_confidence
    assert all(found.low_confidence is None for _, found in stored.frames())
    assert list(told(events_of(stored, tmp_path / "old.jsonl"))) == ["run"]


def test_what_an_older_file_lacks_is_said_where_it_matters(analysed: Path, tmp_path: Path) -> None:
    old = without_low_confidence(analysed / "clip.npz", tmp_path / "old.npz")
    (tmp_path / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\n")

    def analyzed(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["--config", str(tmp_path), "analyze", *arguments])
        assert done.exit_code == Exit.OK, done.output
        return done.stderr

    said = analyzed(str(old), "--actions", "motion")
    assert f"warning: {old} is of an earlier version" in said
    assert "store it again with --detections" in said
    assert "earlier" not in analyzed(str(old), "--line", "l=0.5,0,0.5,1")
    assert "earlier" not in analyzed(str(analysed / "clip.npz"), "--actions", "motion")


def test_low_confidence_boxes_that_do_not_fit_their_frames_are_refused(
    analysed: Path, tmp_path: Path
) -> None:
    with np.load(analysed / "clip.npz") as file:
        arrays = {key: file[key] for key in file.files}
    for key, bad in (("faint_offsets", arrays["faint_offsets"][:-2]), ("faint_boxes", arrays["boxes"][:1])):
        np.savez(tmp_path / "bad.npz", **{**arrays, key: bad})
        with pytest.raises(SourceDamaged, match="do not fit together"):
            load_detections(tmp_path / "bad.npz")
    del arrays["faint_boxes"]
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(SourceDamaged, match="do not fit together"):
        load_detections(tmp_path / "bad.npz")
