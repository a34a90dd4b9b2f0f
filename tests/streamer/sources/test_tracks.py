"""Tracks of synthetic scenes with what their people do, as a model of actions is trained on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.train.actions.data import read_arrays
from streamer.sources.synthetic.tracks import LabelledTrack, draw_scene, follow, made, write
from tests.streamer.sources.test_acts import SCENE, TrueBoxes

SECONDS = 14  # somebody falls 9.6 s into it


@pytest.fixture(scope="module")
def tracks() -> list[LabelledTrack]:
    scene = replace(SCENE, seconds=SECONDS)
    return follow(scene, TrueBoxes(scene), "street", "train")


def test_who_falls_is_labelled_so_from_then_on_and_their_box_is_wide(tracks: list[LabelledTrack]) -> None:
    fallen = [track for track in tracks if "fall" in track.labels]
    assert len(fallen) == 1
    (track,) = fallen
    first = track.labels.index("fall")
    assert track.times_s[first] == pytest.approx(9.6, abs=0.3)
    assert set(track.labels[:first]) == {"walk"}
    high = [float(value[2] / value[3]) for value in track.values]  # width over height
    assert np.median(high[:first]) < 0.7
    assert np.median(high[first + 10 :]) > 1.2


def test_what_it_writes_is_read_as_data_for_training(tracks: list[LabelledTrack], tmp_path: Path) -> None:
    write(tmp_path / "scene-000.npz", tracks)
    write(tmp_path / "made.npz", made(10))
    data = read_arrays(tmp_path)
    assert (data.kind, data.grouped) == ("boxes", True)
    assert {"stand", "walk", "run", "loiter", "fall"} <= set(data.heads[0].labels)
    assert len(data.sequences) == len(tracks) + 10
    street = [item for item in data.sequences if item.group == "street"]
    assert [len(item.values) for item in street] == [len(track.times_s) for track in tracks]
    assert all((np.diff(item.times_s) > 0).all() for item in data.sequences)


def test_a_scene_of_a_set_is_the_same_again_and_unlike_its_neighbours() -> None:
    assert draw_scene(3, 1) == draw_scene(3, 1)
    assert len({(s.seed, s.mast, s.fps) for s in (draw_scene(n, 1) for n in range(8))}) == 8
