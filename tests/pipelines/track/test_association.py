"""How similar tracks and detections are, and who is assigned to whom."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.geometry import iou
from pipelines.track import TrackerSettings
from pipelines.track.association import BufferedIoU, Matches, greedy_assignment, iou_matrix
from pipelines.track.state import DETECTION_ROWS, TO_SIDES, TrackState

BUFFER, SIGMAS = 0.1, 1.5


def some_boxes(n: int, seed: int) -> np.ndarray:
    """(4, n) centres and extents, near enough to each other that many overlap."""
    random = np.random.default_rng(seed)
    return np.concatenate((random.uniform(0.3, 0.7, (2, n)), random.uniform(0.05, 0.3, (2, n))))


@pytest.mark.parametrize(("tracks", "boxes"), [(1, 1), (1, 7), (20, 18), (90, 100)])
def test_boxes_by_centre_and_extent_overlap_as_by_their_sides(tracks: int, boxes: int) -> None:
    old, new = some_boxes(tracks, 1), some_boxes(boxes, 2)
    expected = iou((TO_SIDES @ old).T, (TO_SIDES @ new).T)
    assert np.abs(iou_matrix(old, new) - expected).max() < 1e-12


def test_both_boxes_grow_by_the_buffer_and_by_what_is_not_known_of_the_track() -> None:
    tracks, new = TrackState.begin(np.zeros((DETECTION_ROWS, 12)), 1), some_boxes(9, 4)
    tracks.box[:] = some_boxes(12, 3)
    tracks.p_xx[:] = np.random.default_rng(5).uniform(0, 0.004, (4, 12))
    similarity = BufferedIoU(TrackerSettings(buffer=BUFFER, buffer_sigmas=SIGMAS)).similarity(tracks, new)
    for i in range(12):
        spread = SIGMAS * np.sqrt(tracks.p_xx[:2, i] + tracks.p_xx[2:, i] / 4)
        grown = np.minimum(2 * (BUFFER * tracks.size[:, i] + spread), 2 * tracks.size[:, i])
        growth = np.concatenate(((0.0, 0.0), grown))[:, None]
        expected = iou_matrix(tracks.box[:, i : i + 1] + growth, new + growth)[0]
        assert np.abs(similarity[i] - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("similarity", "first", "pairs"),
    [
        ([[0.9, 0.0], [0.0, 0.8]], [0, 0], {(0, 0), (1, 1)}),
        ([[0.9, 0.5], [0.8, 0.0]], [0, 0], {(0, 0)}),  # the best pair, not the best sum
        ([[0.9, 0.5], [0.8, 0.7]], [0, 0], {(0, 0), (1, 1)}),  # the second takes its next best
        ([[0.9, 0.5], [0.4, 0.0]], [0, 1], {(0, 1), (1, 0)}),  # a row that comes first
        ([[0.6, 0.6], [0.6, 0.6]], [0, 0], {(0, 0), (1, 1)}),  # of equal pairs the first
        ([[0.2, 0.1]], [0], set()),  # less than is allowed
    ],
)
def test_pairs_are_taken_from_the_most_similar_down(
    similarity: list[list[float]], first: list[int], pairs: set[tuple[int, int]]
) -> None:
    values = np.array(similarity)
    rows, columns = greedy_assignment(values, 0.3, np.array(first, np.float64))
    assert set(zip(rows, columns, strict=True)) == pairs


def test_what_is_not_matched_is_left() -> None:
    matches = Matches(tracks=3, detections=4)
    matches.add([2, 0], [1, 3])
    assert matches.matched_tracks.tolist() == [0, 2]
    assert matches.matched_detections.tolist() == [3, 1]
    assert matches.unmatched_tracks.tolist() == [1]
    assert matches.unmatched_detections.tolist() == [0, 2]
