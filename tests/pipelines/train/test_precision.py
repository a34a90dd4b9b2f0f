"""Average precision, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.train.detector.modelcard import render
from pipelines.train.detector.precision import (
    Matched,
    at_score,
    average_precision,
    best_score,
    interval,
    match,
)
from pipelines.train.detector.recipe import DataRecipe
from pipelines.train.detector.schedule import Schedule, parse_sizes
from pipelines.values import Floats


def boxes(*rows: tuple[float, float, float, float]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def scores(*values: float) -> Floats:
    return np.array(values, np.float32)


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def test_all_found_and_nothing_else_is_one() -> None:
    part = match(boxes(A, B), scores(0.9, 0.3), boxes(B, A))
    assert average_precision([part]) == 1.0
    assert at_score([part], 0.5) == (1.0, 0.5)


def test_a_false_box_before_a_hit_halves_the_precision() -> None:
    part = match(boxes(C, A), scores(0.9, 0.8), boxes(A))
    assert average_precision([part]) == pytest.approx(0.5)


def test_half_found_is_half_of_the_recalls() -> None:
    part = match(boxes(A), scores(0.9), boxes(A, B))
    assert average_precision([part]) == pytest.approx(51 / 101)


def test_a_second_box_on_one_object_is_false() -> None:
    part = match(boxes(A, A), scores(0.9, 0.8), boxes(A))
    assert part.hits.tolist() == [True, False]


def test_an_overlap_below_a_half_is_no_hit() -> None:
    assert not match(boxes((0, 0, 10, 4.9)), scores(0.9), boxes(A)).hits.any()
    assert match(boxes((0, 0, 10, 5.1)), scores(0.9), boxes(A)).hits.all()


def test_sizes_leave_other_sizes_out_of_the_account() -> None:
    large = (0, 0, 100, 100)
    part = match(boxes(large, B, C), scores(0.9, 0.8, 0.7), boxes(large, B), (0.0, 1024.0))
    assert part.true == 1
    assert part.counted.tolist() == [False, True, True]
    assert average_precision([part]) == 1.0
    assert at_score([part], 0.1) == (0.5, 1.0)


def test_no_true_box_has_no_precision() -> None:
    assert np.isnan(average_precision([match(boxes(A), scores(0.5), boxes())]))


def test_the_interval_holds_the_value_and_narrows() -> None:
    random = np.random.default_rng(4)

    def pictures(count: int) -> list[Matched]:
        return [
            match(boxes(A, C), scores(random.random(), random.random()), boxes(A, B) if i % 2 else boxes(A))
            for i in range(count)
        ]

    few, many = pictures(10), pictures(300)
    low, high = interval(many)
    assert low < average_precision(many) < high
    wide = interval(few)
    assert high - low < wide[1] - wide[0]


def test_the_best_threshold_parts_hits_from_false_boxes() -> None:
    parts = [match(boxes(A, C), scores(0.6, 0.3), boxes(A)) for _ in range(5)]
    assert 0.3 < best_score(parts) <= 0.6


def test_sizes_of_a_schedule() -> None:
    schedule = Schedule(1.0, parse_sizes("256,320@0.5,416@0.9"))
    assert [schedule.size_at(p) for p in (0.0, 0.49, 0.5, 0.89, 0.95)] == [256, 256, 320, 320, 416]
    rates = [schedule.rate_at(p, 10**6) for p in (0.0, 0.5, 1.0)]
    assert rates[0] == pytest.approx(1.0)
    assert rates[0] > rates[1] > rates[2] > 0
    assert schedule.rate_at(0.0, 0) < 0.01


@pytest.mark.parametrize(
    "text", ["", "300", "320@0.5", "320@0,256@x", "416@0,320@1", "320@0.0,416@0.5,256@0.2"]
)
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"SIZE@PROGRESS|multiples of 32|starts at 0"):
        parse_sizes(text)


def test_a_card_shows_every_model_beside_its_own() -> None:
    figure = {"ap50": 0.5, "interval": [0.4, 0.6], "true": 12}
    row = {
        "input": [416, 416],
        "bytes": 4_000_000,
        "score": 0.3,
        "pets": {"precision": 0.81, "recall": 0.72, "ap50": 0.7, "interval": [0.6, 0.8], "frames": 80},
        "sets": {"coco128": {"person": figure, "person/small": figure}},
        "counts": {"a.mp4": {"counted": {"l up": 5}, "true": {"l up": 6}, "gross": 1, "crossings": 6}},
    }
    text = render([{**row, "model": "own"}, {**row, "model": "peer"}], DataRecipe(), "Remarks.")
    assert "| own | 416 | 0.3 | 0.81 | 0.72 | 0.70 (0.60–0.80) |" in text
    assert "| coco128 | person | 12 | 0.50 (0.40–0.60) | 0.50 (0.40–0.60) |" in text
    assert "| a.mp4 | 6 | 5 (1) | 5 (1) |" in text
    assert "| gross error in all | 6 | 17% | 17% |" in text
