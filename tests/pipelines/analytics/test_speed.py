"""Speed over the ground from four points, at a line and through a zone; and calibrations that are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipelines.geometry import Homography
from pipelines.rules import CalibrationSpec
from tests.pipelines.count.walks import CAR, Walk, of, play, rules, still, straight

# A road seen along: 12 m wide and 60 m long, the far end a third as wide in the picture.
ROAD = {
    "points": [[0.1, 0.9], [0.9, 0.9], [0.6, 0.3], [0.4, 0.3]],
    "metres": [[0, 0], [12, 0], [12, 60], [0, 60]],
}
FLAT = {"points": [[0, 0], [1, 0], [1, 1], [0, 1]], "metres": [[0, 0], [100, 0], [100, 50], [0, 50]]}
AT_LINE = rules(calibration=FLAT, speeds=[{"name": "pace", "line": "middle", "unit": "m/s", "limit": 12}])


def homography(calibration: dict[str, Any]) -> Homography:
    spec = CalibrationSpec.model_validate(calibration)
    return Homography(spec.points, spec.ground)


def from_metres(x_m: float, y_m: float) -> tuple[float, float]:
    """The point of the picture where ROAD has a point of the ground."""
    inverse = np.linalg.inv(homography(ROAD).matrix)
    u, v, w = inverse @ (x_m, y_m, 1.0)
    return float(u / w), float(v / w)


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0])
@pytest.mark.parametrize(("seconds", "speed"), [(4, 20.0), (8, 10.0), (40, 2.0)])
def test_speed_at_a_line(fps: float, seconds: float, speed: float) -> None:
    events = play(AT_LINE, {1: straight(0.1, 0.9, seconds)}, seconds + 6, fps=fps)
    [told] = of(events, "speed.measured")
    assert told["speed"] == pytest.approx(speed, rel=0.03)
    assert told["over_limit"] == (speed > 12)
    assert told["direction"] == "in"


def test_speed_is_right_near_and_far_through_the_perspective() -> None:
    """20 m/s down the road across lines near and far: the same speed, though pixels differ threefold."""

    def drive(t: float) -> tuple[float, float] | None:
        return from_metres(6.0, 60 - 20 * t) if t <= 3 else None

    lines = []
    for name, y_m in (("far", 45.0), ("near", 15.0)):
        (x0, y), (x1, _) = from_metres(0, y_m), from_metres(12, y_m)
        lines.append({"name": name, "points": [[x0, y], [x1, y]], "anchor": "foot"})
    made = rules(
        lines=lines,
        calibration=ROAD,
        speeds=[{"name": n, "line": n, "classes": ["vehicle"]} for n in ("far", "near")],
    )
    found = of(play(made, {1: drive}, 10, classes={1: CAR}, fps=25), "speed.measured")
    assert {d["line"]: d["unit"] for d in found} == {"far": "km/h", "near": "km/h"}
    for told in found:
        assert told["speed"] == pytest.approx(72, rel=0.05)


def test_mean_speed_through_a_zone() -> None:
    made = rules(calibration=FLAT, speeds=[{"name": "pace", "zone": "right", "unit": "m/s"}])
    [told] = of(play(made, {1: straight(0.1, 0.9, 16)}, 24, save_every=9), "speed.measured")
    assert told["speed"] == pytest.approx(5.0, rel=0.03)
    assert told["zone"] == "right"


def test_who_stands_in_the_zone_has_no_speed_that_noise_makes() -> None:
    rng = np.random.default_rng(1)

    def shaky(t: float) -> tuple[float, float] | None:
        return (0.8 + 0.001 * rng.standard_normal(), 0.5) if t < 10 else None

    made = rules(calibration=FLAT, speeds=[{"name": "pace", "zone": "right", "unit": "m/s"}])
    [told] = of(play(made, {1: shaky}, 16), "speed.measured")
    assert told["speed"] < 0.3


def test_a_visit_too_short_to_measure_is_told_with_null_and_why() -> None:
    def dash(t: float) -> tuple[float, float] | None:
        return (0.5 + 0.3 * (t - 0.2), 0.5) if t < 0.75 else None

    made = rules(
        zones=[{"name": "strip", "points": [[0.5, 0], [0.6, 0], [0.6, 1], [0.5, 1]]}],
        calibration=FLAT,
        speeds=[{"name": "pace", "zone": "strip"}],
    )
    [told] = of(play(made, {1: dash}, 8), "speed.measured")
    assert told["speed"] is None
    assert "too short" in told["reason"]


def test_a_restart_between_crossing_and_measuring_loses_nothing() -> None:
    whole = of(play(AT_LINE, {1: straight(0.1, 0.9, 8)}, 12), "speed.measured")
    again = of(play(AT_LINE, {1: straight(0.1, 0.9, 8)}, 12, save_every=2), "speed.measured")
    assert [d["speed"] for d in again] == pytest.approx([d["speed"] for d in whole], rel=0.02)


def test_beyond_the_horizon_there_is_no_ground() -> None:
    ground = homography(ROAD).to_ground(np.array([[0.5, 0.6], [0.5, 0.0]]))
    assert np.isfinite(ground[0]).all()
    assert np.isnan(ground[1]).all()


def test_tape_measures_give_the_same_ground_as_coordinates() -> None:
    diagonal = math.hypot(12, 60)
    taped = {"points": ROAD["points"], "distances_m": [12, 60, 12, 60, diagonal]}
    one = homography(ROAD)
    other = homography(taped)
    points = np.array([[0.3, 0.8], [0.55, 0.4]])
    assert np.linalg.norm(np.diff(one.to_ground(points), axis=0)) == pytest.approx(
        np.linalg.norm(np.diff(other.to_ground(points), axis=0))
    )


SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]
METRES = [[0, 0], [5, 0], [5, 5], [0, 5]]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"points": [[0, 0], [0.5, 0.5], [1, 1], [0, 1]], "metres": METRES}, "on one straight line"),
        ({"points": [[0, 0], [0, 0], [1, 1], [0, 1]], "metres": METRES}, "apart"),
        ({"points": [[0, 0], [1, 1], [1, 0], [0, 1]], "metres": METRES}, "convex"),
        ({"points": SQUARE, "metres": [[0, 0], [1, 0], [2, 0], [0, 5]]}, "metres: .* straight line"),
        ({"points": SQUARE, "metres": [[0, 0], [5, 5], [5, 0], [0, 5]]}, "metres: .* convex"),
        ({"points": SQUARE, "metres": [[0, 0], [5, 0], [float("nan"), 5], [0, 5]]}, "finite"),
        ({"points": SQUARE}, "either metres"),
        ({"points": SQUARE, "metres": METRES, "distances_m": [5, 5, 5, 5, 7]}, "either metres"),
        ({"points": SQUARE, "distances_m": [5, 5, 5, 5, 11]}, "form no triangle"),
        ({"points": SQUARE, "distances_m": [5, 5, 5, 0, 7]}, "greater than 0"),
        ({"points": SQUARE[:3], "metres": METRES}, "Field required"),
    ],
)
def test_a_calibration_that_determines_no_ground_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CalibrationSpec.model_validate(given)


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ({"speeds": [{"name": "pace", "line": "middle"}]}, "needs a calibration"),
        ({"calibration": FLAT, "speeds": [{"name": "pace"}]}, "name a line or a zone"),
        ({"calibration": FLAT, "speeds": [{"name": "pace", "line": "x"}]}, "no line 'x'; known: middle"),
    ],
)
def test_a_speed_that_cannot_be_measured_is_refused(kinds: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rules(**kinds)


def test_nobody_moves_and_nothing_is_told() -> None:
    walks: dict[int, Walk] = {1: still(0.5)}
    assert of(play(AT_LINE, walks, 10), "speed.measured") == []
