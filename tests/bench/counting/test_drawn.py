"""Drawn scenes: their truth is in order, differs by seed, and holds what is to be counted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.counting import drawn
from tests.bench.counting.data import true_crossings

SEEDS = range(12)


def test_a_seed_is_one_scene_and_another_seed_another() -> None:
    first, again, other = (drawn.draw(seed) for seed in (3, 3, 4))
    assert np.array_equal(first.truth, again.truth)
    assert np.array_equal(first.detections, again.detections)
    assert drawn.place(3) != drawn.place(4)
    assert first.source != other.source


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_of_a_scene_is_in_order(seed: int) -> None:
    truth = drawn.scene(seed).truth
    assert (np.diff(truth[:, 0]) >= 0).all()
    assert (truth[:, 4:6] > truth[:, 2:4]).all()
    assert len(np.unique(truth[:, :2], axis=0)) == len(truth)  # each object has one box a frame


def test_scenes_have_crossings_in_all_directions() -> None:
    found = {(c.line, c.direction) for seed in SEEDS for c in true_crossings(drawn.scene(seed))}
    assert len(found) == 4


def test_some_cameras_move() -> None:
    moving = [drawn.scene(seed).moving for seed in range(40)]
    assert 3 < sum(moving) < 25


def test_scenes_differ_widely() -> None:
    places = [drawn.place(seed) for seed in range(40)]
    for name in ("crowd", "tall", "speed", "wide"):
        values = [getattr(p, name) for p in places]
        assert max(values) > 3 * min(values), name
