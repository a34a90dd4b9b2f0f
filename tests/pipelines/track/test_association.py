"""How alike tracks and boxes are: one product of two thin matrices gives what comparing each pair gives."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.track.association import OTHERS, Likeness, best_of
from pipelines.track.scene_motion import overlap
from pipelines.track.state import SEEN_ROWS, Table

BUFFER, SIGMAS = 0.1, 1.5


def some_boxes(n: int, seed: int) -> np.ndarray:
    """(4, n) centres and extents, near enough to each other that many overlap."""
    random = np.random.default_rng(seed)
    return np.concatenate((random.uniform(0.3, 0.7, (2, n)), random.uniform(0.05, 0.3, (2, n))))


@pytest.mark.parametrize(("tracks", "boxes"), [(1, 1), (1, 7), (20, 18), (90, 100)])
def test_boxes_as_they_are_overlap_as_pairs_do(tracks: int, boxes: int) -> None:
    likeness = Likeness(BUFFER, SIGMAS)
    old, new = some_boxes(tracks, 1), some_boxes(boxes, 2)
    likeness.meet(OTHERS.dot(new))
    assert np.abs(likeness.of_boxes(old) - overlap(old, new)).max() < 1e-5


def test_both_boxes_grow_by_the_buffer_and_by_what_is_not_known_of_the_track() -> None:
    table, new = Table(12), some_boxes(9, 4)
    table.begin(np.zeros((SEEN_ROWS, 12)), 1)
    table.box[:] = some_boxes(12, 3)
    table.p_xx[:] = np.random.default_rng(5).uniform(0, 0.004, (4, 12))
    likeness = Likeness(BUFFER, SIGMAS)
    likeness.meet(OTHERS.dot(new))
    alike = likeness.of(table)
    for i in range(12):
        spread = SIGMAS * np.sqrt(table.p_xx[:2, i] + table.p_xx[2:, i] / 4)
        grown = np.minimum(2 * (BUFFER * table.size[:, i] + spread), 2 * table.size[:, i])
        growth = np.concatenate(((0.0, 0.0), grown))[:, None]
        wanted = overlap(table.box[:, i : i + 1] + growth, new + growth)[0]
        assert np.abs(alike[i] - wanted).max() < 1e-5
    best, value = best_of(alike)
    assert (alike[np.arange(12), best] == alike.max(axis=1)).all()
    assert (value == alike.max(axis=1)).all()
