"""Tables and intervals of an evaluation, held against values that are published or known by arithmetic."""

from __future__ import annotations

import math

import pytest

from pipelines.evaluate.crossings import Crossing, compare
from pipelines.evaluate.summary import (
    Evaluation,
    as_dict,
    count_interval,
    differences,
    evaluate,
    net_interval,
)


def crossings(line: str, *times_s: float, kind: str = "") -> list[Crossing]:
    return [Crossing(line, "in", t, kind) for t in times_s]


def result(true: list[Crossing], counted: list[Crossing], duration_s: float = 600.0) -> Evaluation:
    return evaluate("run", compare(true, counted), duration_s=duration_s, within_s=1.0)


@pytest.mark.parametrize(
    ("events", "low", "high"),
    [(0, 0.0, 3.69), (1, 0.025, 5.57), (5, 1.62, 11.67), (10, 4.80, 18.39), (100, 81.36, 121.63)],
)
def test_intervals_of_counts_are_near_the_exact_ones(events: int, low: float, high: float) -> None:
    """The exact values: Garwood (1936), as tabled in Pearson and Hartley, Biometrika Tables, 40."""
    assert count_interval(events)[0] == pytest.approx(low, abs=0.06)
    assert count_interval(events)[1] == pytest.approx(high, abs=0.06)


def test_the_net_interval_holds_the_difference_and_is_wider_than_either_part() -> None:
    low, high = net_interval(10, 10)
    assert low < 0 < high
    assert high == pytest.approx(-low)
    assert high - low > count_interval(10)[1] - count_interval(10)[0]
    assert net_interval(0, 0) == (pytest.approx(-3.66, abs=0.05), pytest.approx(3.66, abs=0.05))


def test_errors_by_line_direction_class_and_hour() -> None:
    true = crossings("door", 10, 20, 3700, kind="person") + crossings("road", 30)
    counted = crossings("door", 10.4, 50, 3700.2, kind="person") + crossings("road", 30.1, kind="car")
    found = result(true, counted, duration_s=5400.0)
    tables = {key: {k: (r.true, r.missed, r.false) for k, r in t.items()} for key, t in found.tables.items()}
    assert tables == {
        "line": {"door": (3, 1, 1), "road": (1, 0, 0)},
        "direction": {"door in": (3, 1, 1), "road in": (1, 0, 0)},
        "class": {"person": (3, 1, 1), "car": (1, 0, 0)},
        "hour": {"00:00": (3, 1, 1), "01:00": (1, 0, 0)},
    }
    assert (found.overall.gross, found.overall.net) == (2, 0)
    assert found.tables["hour"]["01:00"].seconds == 1800


def test_hours_are_those_of_the_clock_when_the_start_is_known() -> None:
    same = crossings("door", 10, 1900)
    found = evaluate("run", compare(same, same), duration_s=3600.0, within_s=1.0, start_s=7.5 * 3600)
    assert {k: (r.true, r.seconds) for k, r in found.tables["hour"].items()} == {
        "07:00": (1, 1800.0),
        "08:00": (1, 1800.0),
    }


def test_geh_is_that_of_hourly_flows() -> None:
    """Half an hour with 50 counted for 40: 100 and 80 an hour, sqrt(2 * 400 / 180)."""
    true = crossings("road", *range(0, 400, 10))
    counted = true + crossings("road", *range(1000, 1100, 10))
    assert result(true, counted, 1800.0).overall.geh == pytest.approx(math.sqrt(2 * 400 / 180))


def test_a_class_that_was_taken_for_another_is_told_and_counts_as_found() -> None:
    found = result(crossings("road", 5, kind="truck"), crossings("road", 5, kind="car"))
    assert found.overall.gross == 0
    assert found.classes == {("truck", "car"): 1}


def test_no_true_crossing_gives_no_share_but_the_errors() -> None:
    data = as_dict(result([], crossings("door", 3)))
    assert data["overall"]["gross"] == 1
    assert data["overall"]["gross_share"] is None
    assert data["overall"]["gross_share_95"] is None


def test_two_runs_are_compared_error_by_error() -> None:
    true = crossings("door", *range(0, 600, 10))
    worse = true[::2]
    found = differences(result(true, worse), result(true, true))
    gross = found["gross"]
    assert (gross.a, gross.b, gross.difference) == (30, 0, -30)
    assert gross.interval is not None
    assert gross.interval[0] <= -30 <= gross.interval[1] < 0
    assert found["net"].difference == 30
    same = differences(result(true, worse), result(true, worse))
    assert same["gross"].difference == 0
    assert same["gross"].interval is None  # no slice differs: nothing to draw, and no certainty


def test_misses_of_truth_without_classes_belong_to_the_only_class_that_was_counted() -> None:
    true = crossings("door", 10, 20)
    one = result(true, crossings("door", 10, kind="person"))
    assert {k: (r.true, r.missed) for k, r in one.tables["class"].items()} == {"person": (2, 1)}
    two = result(true, crossings("door", 10, kind="person") + crossings("door", 50, kind="car"))
    assert {k: r.missed for k, r in two.tables["class"].items()} == {"(not given)": 1, "car": 0, "person": 0}
