"""What an audit makes of a count's interval: narrower by as much as was found, and never less sure."""

from __future__ import annotations

import pytest

from pipelines.count.confidence import CountInterval, IntervalModel, Judgement, Tally
from pipelines.count.scene_error import AuditedCount, SceneError

MODEL = IntervalModel(0.0, 0.2, 0.0, 0.3, -1.4, 0.0, 1.2, 1.4, within=0.3, drift=0.05)
INTERVAL = CountInterval(MODEL, MODEL)
DAY = Tally.of([Judgement(0.97, 1.0)] * 1000)
FEW, MANY = AuditedCount(200, 120, 420), AuditedCount(2000, 1950, 2050)  # likely 226 and 2000


def ends(*audits: AuditedCount | None, tally: Tally = DAY) -> tuple[int, int]:
    return INTERVAL.interval([tally] * len(audits), audits)


def width(*audits: AuditedCount | None, tally: Tally = DAY) -> int:
    low, high = ends(*audits, tally=tally)
    return high - low


def test_without_an_audit_the_interval_is_the_usual_one() -> None:
    assert ends(None) == INTERVAL.interval([DAY])


def test_an_audit_with_few_answers_changes_little() -> None:
    usual, found = ends(None), ends(FEW)
    assert width(FEW) > 0.8 * width(None)
    assert found == pytest.approx(usual, rel=0.1)


def test_an_audit_with_many_answers_narrows_the_interval_and_shifts_it_to_what_was_found() -> None:
    low, high = ends(MANY)
    assert low < 1000 < high  # as in the audited time, where the usual one begins above it
    assert width(MANY) < 0.35 * width(None)


def test_an_audit_that_contradicts_what_is_usual_is_believed() -> None:
    low, high = ends(AuditedCount(2000, 6900, 7100))  # seven of ten are missed at this camera
    assert low < 3500 < high
    assert low > ends(None)[1]


def test_an_audit_makes_no_count_less_sure() -> None:
    vague = AuditedCount(1, 0, 20)
    for n in (1, 5, 50, 5000):
        tally = Tally.of([Judgement(0.97, 1.0)] * n)
        assert width(vague, tally=tally) <= 1.1 * width(None, tally=tally)


def test_a_few_crossings_stay_uncertain_however_well_the_scene_is_known() -> None:
    exact = AuditedCount(10**6, 10**6, 10**6)
    few = Tally.of([Judgement(0.97, 1.0)] * 10)
    assert width(exact, tally=few) / 10 > 3 * width(exact) / 1000


def test_what_was_audited_counts_by_how_many_crossings_it_held() -> None:
    assert width(AuditedCount(20, 20, 20)) > 2 * width(AuditedCount(2000, 2000, 2000))


def test_of_two_cameras_the_audited_one_alone_is_narrower() -> None:
    assert width(MANY, MANY) < width(MANY, None) < width(None, None)


def test_each_scene_has_its_audit_or_none() -> None:
    with pytest.raises(ValueError, match="zip"):
        INTERVAL.interval([DAY, DAY], [MANY])


def test_what_agrees_is_weighted_by_its_precision() -> None:
    known = SceneError(0.0, 0.3, 0.3).narrowed(SceneError(0.1, 0.1, 0.1))
    assert known.mean == pytest.approx(0.09)
    assert known.below == known.above == pytest.approx(0.3 * 0.1 / 0.1**0.5)


def test_what_is_usual_hardly_weighs_against_an_audit_that_contradicts_it() -> None:
    known = SceneError(0.0, 0.3, 0.3).narrowed(SceneError(1.2, 0.3, 0.3))  # as sure as each other
    assert 1.1 < known.mean < 1.2
