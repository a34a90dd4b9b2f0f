"""Suppression within groups, against the definition written out in plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.detect.nms import suppress
from pipelines.values import Floats, Ints


def by_definition(boxes: Floats, scores: Floats, groups: Ints, iou: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(groups[i] != groups[k] or overlap(boxes[i], boxes[k]) <= iou for k in kept):
            kept.append(i)
    return kept


def overlap(a: Floats, b: Floats) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    inner = max(wide, 0.0) * max(high, 0.0)
    return float(inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner))


def some(count: int, seed: int) -> tuple[Floats, Floats, Ints]:
    random = np.random.default_rng(seed)
    low = random.uniform(-20, 600, (count, 2))
    boxes = np.concatenate((low, low + random.uniform(5, 200, (count, 2))), axis=1).astype(np.float32)
    scores = random.integers(1, 20, count).astype(np.float32) / 20  # with ties
    return boxes, scores, random.integers(0, 3, count).astype(np.int32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [0, 1, 2, 30, 299, 301, 500])
def test_it_keeps_what_the_definition_keeps(count: int, seed: int) -> None:
    boxes, scores, groups = some(count, seed)
    assert suppress(boxes, scores, groups, 0.5).tolist() == by_definition(boxes, scores, groups, 0.5)


@pytest.mark.parametrize("iou", [0.0, 0.3, 1.0])
def test_groups_stay_apart_wherever_their_boxes_lie(iou: float) -> None:
    """Left of and above the picture too, where the border of a letterbox is."""
    boxes, scores, groups = some(200, 7)
    boxes -= 700
    assert suppress(boxes, scores, groups, iou).tolist() == by_definition(boxes, scores, groups, iou)


def test_a_score_of_zero_is_a_score() -> None:
    boxes = np.array([[0.0, 0.0, 5.0, 5.0], [50.0, 0.0, 55.0, 5.0]], np.float32)
    assert suppress(boxes, np.array([0.0, 1.0], np.float32), np.zeros(2, np.int32), 0.5).tolist() == [1, 0]


VAN = [100.0, 100.0, 200.0, 180.0]


def test_a_van_seen_as_car_and_truck_is_one_vehicle() -> None:
    boxes = np.array([VAN, [102.0, 101.0, 203.0, 182.0]], np.float32)
    vehicle = np.array([1, 1], np.int32)
    assert suppress(boxes, np.array([0.6, 0.7], np.float32), vehicle, 0.5).tolist() == [1]


def test_a_person_before_a_van_is_not_suppressed_by_it() -> None:
    boxes = np.array([VAN, VAN], np.float32)
    assert suppress(boxes, np.array([0.9, 0.4], np.float32), np.array([1, 0], np.int32), 0.5).tolist() == [
        0,
        1,
    ]


def test_of_equal_scores_the_first_is_kept() -> None:
    boxes = np.array([VAN, VAN], np.float32)
    assert suppress(boxes, np.array([0.5, 0.5], np.float32), np.zeros(2, np.int32), 0.5).tolist() == [0]


def test_a_box_without_area_suppresses_none_that_has_one() -> None:
    boxes = np.array([[5.0, 5.0, 5.0, 5.0], [4.0, 4.0, 6.0, 6.0]], np.float32)
    kept = suppress(boxes, np.array([0.5, 0.4], np.float32), np.zeros(2, np.int32), 0.5)
    assert kept.tolist() == [0, 1]
