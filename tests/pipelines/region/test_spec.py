"""What a camera's region may say, and what is said of one that makes no sense."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipelines.camera_rules import CameraRules
from pipelines.region.spec import Box, has_room

DOOR = {"name": "door", "points": [[0.1, 0.1], [0.2, 0.1]]}


@pytest.mark.parametrize("region", ["off", "auto", (0.0, 0.25, 1.0, 1.0)])
def test_a_region_comes_back_as_it_was_said(region: object) -> None:
    rules = CameraRules(region=region)
    assert rules.region == region
    assert CameraRules.model_validate_json(rules.model_dump_json()).region == region


def test_a_camera_without_a_region_looks_at_all_of_its_picture() -> None:
    assert CameraRules().region == "off"


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("on", "neither off nor auto"),
        (True, "neither off nor auto"),
        (None, "neither off nor auto"),
        ([], "neither off nor auto"),
        ([0.1, 0.2, 0.8], "no rectangle"),
        ([0.1, 0.2, 0.8, "x"], "no number"),
        ([0.1, 0.2, 0.8, float("nan")], "no number"),
        ([0.1, 0.2, 0.8, True], "no number"),
        ([0, 0, 640, 360], "[0, 0, 640, 360] reaches out of the picture"),
        ([-0.1, 0, 1, 1], "reaches out of the picture"),
        ([0.8, 0.1, 0.2, 0.9], "is reversed"),
        ([0.1, 0.9, 0.2, 0.1], "is reversed"),
        ([0.1, 0.1, 0.1, 0.9], "(almost) empty"),
        ([0.5, 0.1, 0.9, 0.101], "(almost) empty"),
    ],
)
def test_a_region_that_makes_no_sense_is_refused_in_one_line(region: object, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CameraRules(region=region)
    (error,) = refused.value.errors()
    assert error["loc"] == ("region",)
    assert said in error["msg"]
    assert "\n" not in error["msg"]


def test_a_line_outside_of_the_region_is_refused_by_its_name() -> None:
    with pytest.raises(ValidationError, match="line 'door' lies outside of the region"):
        CameraRules(region=[0.5, 0.5, 1, 1], lines=[DOOR])


def test_a_line_that_leaves_the_region_is_taken() -> None:
    across = {"name": "road", "points": [[0.0, 0.5], [1.0, 0.5]]}
    assert CameraRules(region=[0.25, 0.25, 0.75, 0.75], lines=[across]).lines[0].name == "road"


@pytest.mark.parametrize(
    ("drawn", "room"),
    [
        ((0.3, 0.4, 0.7, 0.6), True),
        ((0.0, 0.4, 0.7, 0.6), True),  # to the picture's own edge
        ((0.3, 0.4, 0.79, 0.6), False),
        ((0.3, 0.4, 0.9, 0.6), False),
        ((0.3, 0.2, 0.7, 0.6), False),
    ],
)
def test_what_is_drawn_to_the_regions_edge_has_no_room_there(drawn: Box, room: bool) -> None:
    assert has_room(drawn, (0.0, 0.2, 0.8, 1.0)) == room
