"""How sure a crossing and a count are, by the model of the package."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.count.confidence import CountInterval, IntervalModel, Judgement, Tally, shipped
from pipelines.count.signs import CrossingSigns
from pipelines.values import Labels

USUAL = CrossingSigns(
    evidence=0.8,
    margin=2.0,
    seen=0.9,
    gap_s=0.1,
    age_s=3.0,
    height=0.2,
    cut=0.0,
    jitter=0.03,
    covered=0.1,
    near=1.0,
)
SURE = Judgement(0.97, 1.1)


def confidence(**signs: float | None) -> float:
    return shipped()[0].judge(replace(USUAL, **signs)).confidence  # type: ignore[arg-type]


def width(*scenes: Tally) -> int:
    low, high = shipped()[1].interval(scenes)
    return high - low


@pytest.mark.parametrize("sign", ["evidence", "margin", "seen", "age_s"])
def test_confidence_rises_with_what_speaks_for_a_crossing(sign: str) -> None:
    usual = getattr(USUAL, sign)
    assert confidence(**{sign: usual * 0.4}) < confidence(**{sign: usual * 1.1})


@pytest.mark.parametrize("sign", ["covered", "cut"])
def test_confidence_falls_where_the_object_is_seen_in_part(sign: str) -> None:
    assert confidence(**{sign: 0.9}) < confidence(**{sign: 0.0})


def test_a_sign_that_is_not_known_counts_as_usual() -> None:
    assert confidence(covered=0.9) < confidence(covered=None) < 1


def test_a_confidence_is_a_probability_whatever_the_signs() -> None:
    far = CrossingSigns(*[1e9] * 10)
    assert 0 < shipped()[0].judge(far).confidence < 1
    assert shipped()[0].judge(far).stands_for > 0


def test_more_misses_widen_the_interval() -> None:
    n = 200
    assert width(Tally.of([Judgement(0.97, 1.0)] * n)) < width(Tally.of([Judgement(0.97, 1.5)] * n))


def test_the_interval_of_a_view_that_moves_is_wider() -> None:
    assert width(Tally.of([SURE] * 100)) < width(Tally.of([SURE] * 100, moving=True))


def test_hours_of_one_scene_err_alike_and_scenes_apart() -> None:
    hour = Tally.of([SURE] * 500)
    day = sum([hour] * 10, Tally())
    assert width(day) > 9 * width(hour)
    assert width(*[hour] * 10) < 5 * width(hour)


def test_nothing_counted_is_nothing_promised() -> None:
    assert shipped()[1].interval([]) == (0, 0)


def test_without_any_error_the_interval_is_the_count() -> None:
    exact = IntervalModel(0.0, 0.0, 1.0, 0.0, -50.0, 0.0, 1.645, 1.645, 0.0, 0.0)
    tally = Tally.of([Judgement(0.99, 1.0)] * 12)
    assert CountInterval(exact, exact).interval([tally, tally]) == (24, 24)


def test_a_rule_without_tracks_needs_no_model() -> None:
    assert CameraCounts(CameraRules(), Labels(("object",), ("object",))).view_moved is False
