"""Presets: each is a valid pipeline by its name, and completes what a camera leaves open and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.camera_rules import CameraRules
from pipelines.defaults import with_defaults
from pipelines.spec import preset, preset_names

DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
LANE = {"name": "lane-1", "points": [[0.1, 0.8], [0.4, 0.8]]}
GROUND = {
    "points": [[0.1, 0.9], [0.9, 0.9], [0.6, 0.3], [0.4, 0.3]],
    "metres": [[0, 0], [12, 0], [12, 60], [0, 60]],
}
MINE = {"name": "mine", "lines": ["door"], "start": 4}
PACE = {"name": "mine", "line": "lane-1", "unit": "m/s"}


def made(name: str, **given: Any) -> CameraRules:
    return with_defaults(CameraRules.model_validate(given), preset(name))


def test_the_presets_that_there_are() -> None:
    assert preset_names() == ("actions", "default", "people-counting", "vehicle-counting")
    for name in preset_names():
        assert preset(name).description


def test_the_default_adds_nothing_but_what_it_counts_by() -> None:
    assert made("default", lines=[DOOR], calibration=GROUND) == CameraRules.model_validate(
        {"lines": [{**DOOR, "anchor": "center"}], "calibration": GROUND}
    )


def test_people_are_counted_by_their_feet_and_known_to_be_inside() -> None:
    rules = made("people-counting", lines=[DOOR, LANE])
    assert rules.classes == ("person",)
    assert [line.anchor for line in rules.lines] == ["foot", "foot"]
    [entrance] = rules.occupancies
    assert (entrance.name, entrance.lines, entrance.inward) == ("entrance", ("door",), "in")


def test_without_a_line_that_leads_in_there_is_no_occupancy() -> None:
    assert made("people-counting", lines=[LANE]).occupancies == ()


def test_vehicles_have_a_speed_where_the_camera_is_calibrated() -> None:
    assert made("vehicle-counting", lines=[LANE]).speeds == ()
    rules = made("vehicle-counting", lines=[LANE], calibration=GROUND)
    assert rules.classes == ("vehicle",)
    assert [(speed.name, speed.line, speed.unit) for speed in rules.speeds] == [("lane-1", "lane-1", "km/h")]


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("people-counting", {"classes": ["car"]}, "classes"),
        ("people-counting", {"lines": [{**DOOR, "anchor": "top"}]}, "lines"),
        ("people-counting", {"lines": [DOOR], "occupancies": [MINE]}, "occupancies"),
        ("vehicle-counting", {"lines": [LANE], "calibration": GROUND, "speeds": [PACE]}, "speeds"),
    ],
)
def test_what_the_camera_says_wins(name: str, given: dict[str, Any], field: str) -> None:
    assert getattr(made(name, **given), field) == getattr(CameraRules.model_validate(given), field)


def test_completed_rules_are_rules_that_a_file_could_hold() -> None:
    for name in preset_names():
        rules = made(name, lines=[DOOR, LANE], calibration=GROUND)
        assert CameraRules.model_validate_json(rules.model_dump_json()) == rules
