"""Simulated detectors: what they are meant to get wrong, on made-up walks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.bench.counting import simulated
from tests.bench.counting.made import HEIGHT, WIDTH, sequence, walk

PERFECT = replace(
    simulated.detector(0),
    missed=1e-9,
    missed_covered=0.0,
    missed_small=0.0,
    noise_centre=1e-9,
    noise_sides=1e-9,
    score=4.0,
    score_spread=0.1,
    score_covered=0.0,
    min_score=0.1,
    doubles=1e-9,
    false_rate=0.0,
    suppressed=0.9,
    min_inside=0.5,
)


def seen(monkeypatch: pytest.MonkeyPatch, *ways: np.ndarray, **habits: float) -> np.ndarray:
    """The detections of a detector that is perfect but for these habits."""
    monkeypatch.setattr(simulated, "detector", lambda _: replace(PERFECT, **habits))
    return simulated.simulate(sequence(*ways), 1).detections


def test_a_seed_is_one_detector_and_another_seed_another() -> None:
    first, again, other = (simulated.simulate(sequence(walk()), seed) for seed in (3, 3, 4))
    assert np.array_equal(first.detections, again.detections)
    assert simulated.detector(3) != simulated.detector(4)
    assert first.name != other.name


def test_the_truth_stays_as_it_is() -> None:
    made = sequence(walk(), walk(start=800, speed=-10, identity=2))
    assert np.array_equal(simulated.simulate(made, 5).truth, made.truth)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_in_the_picture_in_order_and_have_scores(seed: int) -> None:
    found = simulated.simulate(
        sequence(walk(150), walk(150, start=900, speed=-4, identity=2)), seed
    ).detections
    assert (np.diff(found[:, 0]) >= 0).all()
    assert (found[:, 1:3] >= 0).all()
    assert (found[:, 3:5] <= (WIDTH, HEIGHT)).all()
    assert (found[:, 3:5] > found[:, 1:3]).all()
    assert ((found[:, 5] > 0) & (found[:, 5] <= 1)).all()


def test_a_perfect_detector_finds_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    way = walk()
    found = seen(monkeypatch, way)
    assert np.allclose(found[:, 1:5], way[:, 2:6], atol=1e-3)


def test_misses_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def changes(missed_s: float) -> tuple[float, int]:
        found = seen(monkeypatch, walk(2000, speed=0), missed=0.5, missed_s=missed_s)
        there = np.isin(np.arange(2000), found[:, 0])
        return there.mean(), int(np.count_nonzero(np.diff(there)))

    (share, often), (share_long, seldom) = changes(0.01), changes(1.0)
    assert 0.3 < share < 0.7
    assert 0.3 < share_long < 0.7
    assert seldom < often / 4


def test_who_is_covered_is_missed_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    behind, before = walk(200, speed=0, foot=200), walk(200, speed=0, foot=210, identity=2)
    found = seen(monkeypatch, behind, before, missed=0.05, missed_covered=6.0, missed_s=0.01, suppressed=1.0)
    low = found[:, 4] > 205
    assert np.count_nonzero(low) > 150
    assert np.count_nonzero(~low) < 100


def test_jitter_is_correlated_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(noise_s: float) -> float:
        found = seen(monkeypatch, walk(1000, speed=0), noise_centre=0.05, noise_s=noise_s)
        x = (found[:, 1] + found[:, 3]) / 2
        return float(np.diff(x).std() / x.std())

    assert step(1.0) < 0.7 < 1.2 < step(0.001)


def test_some_objects_are_found_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch, walk(500, speed=0), doubles=0.3)
    assert 550 < len(found) < 750


def test_boxes_of_nothing_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    habits = {"false_rate": 0.2, "false_s": 5.0, "false_seen": 1.0, "false_again": 0.0, "false_score": 0.0}
    found = seen(monkeypatch, walk(1000, speed=0), noise_centre=0.001, **habits)
    nothing = found[np.abs((found[:, 1] + found[:, 3]) / 2 - 200) > 5]
    assert len(nothing) > 200
    assert len(np.unique(np.round(nothing[:, 1] / 5))) < len(nothing) / 5


def test_the_border_cuts_boxes_and_hides_who_is_mostly_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch, walk(10, start=-25, speed=5), min_inside=0.45)
    assert found[0, 3] == pytest.approx(20, abs=1e-3)  # half of it
    assert (found[:, 1] >= 0).all()
