"""Recipes of peers that are made up: what is kept, which is best, and how we stand beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bench.counting import cache, gross_error, peers, recipes
from tests.bench.counting.data import Sequence
from tests.bench.counting.errors import STEPS
from tests.bench.counting.made import sequence, walk

MADE = [sequence(walk(), name="one"), sequence(walk(speed=-10, start=800), name="two")]


@pytest.fixture(autouse=True)
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two peers: "good" follows the truth, "blind" sees nothing. Returns who was asked to track what."""
    asked: list[str] = []

    def track(name: str, given: Sequence, step: int = 1) -> peers.Frames:
        asked.append(f"{name} {given.name} {step}")
        frames = []
        for frame, found in given.frames(step):
            ids = np.ones(len(found) if name == "good" else 0, np.int64)
            frames.append((frame, ids, found[: len(ids), :4]))
        return frames

    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    monkeypatch.setattr(cache, "of_packages", lambda names: " ".join(names))
    monkeypatch.setattr(peers, "names", lambda: ("good", "blind"))
    monkeypatch.setattr(peers, "track", track)
    monkeypatch.setattr(peers, "count", lambda *_: [])
    return asked


def test_the_two_frame_rule_counts_the_walk_and_who_sees_nothing_misses_it() -> None:
    table = recipes.table(MADE)
    assert (
        recipes.best({name: recipes.together(rates) for name, rates in table.items()})
        == "good + 2-frame rule"
    )
    assert sum(recipes.together(table["good + 2-frame rule"]).values()) == 0
    assert sum(recipes.together(table["blind + 2-frame rule"]).values()) == len(MADE) * len(STEPS)


def test_what_a_peer_made_of_a_sequence_is_not_asked_again(tracked: list[str]) -> None:
    first = recipes.table(MADE)
    asked = len(tracked)
    assert asked == 2 * len(MADE) * len(STEPS)
    assert recipes.table(MADE) == first
    assert len(tracked) == asked


def test_every_difference_to_a_peer_has_its_interval() -> None:
    pytest.importorskip("trackeval")
    result = {"sets": gross_error.figures({"made": MADE}, True), "simulated": {}, "speed": {}}
    for row in result["sets"].values():
        for kind in row["kinds"].values():
            for beside in kind["rates"].values():
                assert beside["best_peer"] == "good + 2-frame rule"
                assert beside["less_95"] == [0, 0.0, 0.0]
    assert set(result["sets"]["made"]["peer_scores"]) == {"good", "blind"}
    assert "+0 [+0 to +0]  good + 2-frame rule" in gross_error.render(result)


def test_boxes_without_area_are_known() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 1]])
    assert peers._with_area(boxes).tolist() == [True, False, False]
