"""The region that is in force: what `auto` makes of what is drawn, of masks, and of who comes by."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.region.approach import MIN_TRACKS, ObjectScale
from pipelines.region.camera_region import MARGIN, MIN_SIDE, CameraRegion, auto_region
from pipelines.region.spec import WHOLE, Box, share
from pipelines.values import Image, Stamp, Tracks

LINE = {"name": "door", "points": [[0.4, 0.5], [0.6, 0.5]], "anchor": "center"}
SMALL = ObjectScale(0.05, 0.1, 0.0, 0.0)
FRAME_S = 0.1


def rules(**more: Any) -> CameraRules:
    return CameraRules.model_validate({"region": "auto", "lines": [LINE], **more})


def picture() -> Image:
    return np.zeros((360, 640, 3), np.uint8)


def holds(outer: Box, inner: Box) -> bool:
    low = all(a <= b + 1e-9 for a, b in zip(outer[:2], inner[:2], strict=True))
    return low and all(a >= b - 1e-9 for a, b in zip(outer[2:], inner[2:], strict=True))


class Street:
    """People who walk down through the door, one after the other, each with its own track."""

    def __init__(self, region: CameraRegion, size: tuple[float, float] = (0.05, 0.1)) -> None:
        self.region, self.size = region, size
        self.number, self.time_s = 0, 0.0

    def walk(self, people: int, x: float = 0.5) -> None:
        wide, high = self.size
        for _ in range(people):
            self.number += 1
            for y in np.linspace(0.1, 0.9, 20).tolist():
                box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
                self.frame(self.number, box)
            self.wait(3.0)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.frame(None, WHOLE)

    def frame(self, track_id: int | None, box: Box) -> None:
        self.time_s += FRAME_S
        stamp = Stamp("gate", 1, round(self.time_s * 10), round(self.time_s * 1e9), 0, 0)
        self.region.learn(stamp, Tracks.empty() if track_id is None else one(track_id, box))


def one(track_id: int, box: Box) -> Tracks:
    return Tracks(
        np.array([track_id], np.int64),
        np.array([box], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
        np.ones(1, np.bool_),
        np.zeros((1, 2), np.float32),
    )


def test_the_whole_picture_is_looked_at_until_enough_have_come_by() -> None:
    street = Street(CameraRegion(rules()))
    street.walk(MIN_TRACKS - 1)
    assert street.region.box == WHOLE
    assert street.region.crop(picture()) is None
    assert f"{MIN_TRACKS - 1} of {MIN_TRACKS}" in street.region.why
    street.walk(1)
    assert street.region.box != WHOLE
    crop = street.region.crop(picture())
    assert crop is not None
    assert crop.width == 640
    assert crop.right - crop.left < 640


def test_it_holds_objects_on_the_line_and_a_margin_about_them() -> None:
    box = auto_region(rules(), SMALL)
    wide, high = SMALL.width, SMALL.height
    needed = (
        0.4 - (0.5 + MARGIN) * wide,
        0.5 - (0.5 + MARGIN) * high,
        0.6 + (0.5 + MARGIN) * wide,
        0.5 + (0.5 + MARGIN) * high,
    )
    assert holds(box, needed)
    assert box[2] - box[0] < 0.6
    assert box[3] - box[1] < 0.6


def test_with_feet_on_the_line_it_reaches_up_a_whole_object() -> None:
    tall = ObjectScale(0.05, 0.2, 0.0, 0.0)
    by_foot = auto_region(rules(lines=[LINE | {"anchor": "foot"}]), tall)
    by_centre = auto_region(rules(), tall)
    assert by_foot[1] < by_centre[1]
    assert by_foot[3] < by_centre[3]


def test_who_is_faster_is_looked_for_from_farther() -> None:
    fast = ObjectScale(0.05, 0.1, 0.0, 0.4)
    assert auto_region(rules(), fast)[1] < auto_region(rules(), SMALL)[1]
    assert auto_region(rules(), fast)[0] == auto_region(rules(), SMALL)[0]


def test_it_is_never_less_than_a_set_share_also_in_a_corner() -> None:
    corner = LINE | {"points": [[0.0, 0.0], [0.05, 0.0]]}
    x1, y1, x2, y2 = auto_region(rules(lines=[corner]), ObjectScale(0.01, 0.01, 0.0, 0.0))
    assert (x1, y1) == (0, 0)
    assert x2 >= MIN_SIDE
    assert y2 >= MIN_SIDE


def test_a_region_that_would_be_nearly_all_of_the_picture_is_all_of_it() -> None:
    across = LINE | {"points": [[0.0, 0.1], [1.0, 0.9]]}
    assert auto_region(rules(lines=[across]), SMALL) == WHOLE


def test_a_mask_along_the_edge_cuts_the_region_and_one_in_the_middle_does_not() -> None:
    across = LINE | {"points": [[0.0, 0.5], [1.0, 0.5]]}
    sky = {"name": "sky", "points": [[0, 0], [0.4, 0], [0.4, 1], [0, 1]]}
    tv = {"name": "tv", "points": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]}
    plain, cut, holed = (auto_region(rules(lines=[across], masks=m), SMALL) for m in ([], [sky], [tv]))
    assert plain[0] == 0
    assert 0.3 < cut[0] <= 0.4 - SMALL.width / 2
    assert holed == plain


def test_a_mask_for_some_classes_cuts_nothing() -> None:
    across = LINE | {"points": [[0.0, 0.5], [1.0, 0.5]]}
    sky = {"name": "sky", "points": [[0, 0], [0.4, 0], [0.4, 1], [0, 1]], "classes": ["car"]}
    assert auto_region(rules(lines=[across], masks=[sky]), SMALL)[0] == 0


def test_larger_objects_that_come_later_widen_it() -> None:
    street = Street(CameraRegion(rules()))
    street.walk(MIN_TRACKS)
    before = street.region.box
    street.size = (0.15, 0.3)
    street.walk(MIN_TRACKS)
    street.wait(61)
    assert holds(street.region.box, before)
    assert street.region.box != before


def test_a_region_becomes_no_less_for_a_trifle_and_less_where_that_saves_much() -> None:
    street = Street(CameraRegion(rules()), size=(0.12, 0.2))
    street.walk(MIN_TRACKS)
    before = street.region.box
    for size, smaller in (((0.11, 0.18), False), ((0.03, 0.05), True)):
        street.size = size
        street.wait(3700)  # the others are forgotten, but for the last
        street.walk(MIN_TRACKS)
        street.wait(61)
        assert (share(street.region.box) < share(before)) == smaller


def test_who_is_elsewhere_says_nothing_of_the_line() -> None:
    street = Street(CameraRegion(rules()))
    street.walk(2 * MIN_TRACKS, x=0.9)
    assert street.region.box == WHOLE


@pytest.mark.parametrize(
    "more",
    [
        {"heatmaps": [{"name": "heat"}]},
        {"uniques": [{"name": "heat"}]},
    ],
)
def test_a_rule_about_the_whole_picture_leaves_it_whole(more: dict[str, Any]) -> None:
    street = Street(CameraRegion(rules(**more)))
    street.walk(2 * MIN_TRACKS)
    assert street.region.box == WHOLE
    assert "heat looks at the whole picture" in street.region.why


def test_a_camera_with_actions_is_looked_at_whole_whatever_its_region_says() -> None:
    for asked in ("auto", (0.25, 0.25, 0.75, 0.75)):
        region = CameraRegion(rules(region=asked), actions=True)
        assert region.box == WHOLE
        assert "actions" in region.why


def test_without_lines_or_zones_there_is_nothing_to_go_by() -> None:
    assert "neither lines nor zones" in CameraRegion(CameraRules(region="auto")).why


def test_a_region_that_is_off_is_not_spoken_of() -> None:
    assert CameraRegion(CameraRules()).describe() is None


def test_what_was_learnt_survives_a_restart() -> None:
    street = Street(CameraRegion(rules()))
    street.walk(MIN_TRACKS)
    saved = json.loads(json.dumps(street.region.save()))
    after = CameraRegion(rules())
    after.restore(saved)
    assert after.box == street.region.box != WHOLE


def test_a_saved_region_that_is_damaged_is_refused() -> None:
    street = Street(CameraRegion(rules()))
    street.walk(1)
    saved = street.region.save()
    assert saved is not None
    saved["approach"][1][0][0] = float("nan")
    with pytest.raises(ValueError, match="damaged"):
        CameraRegion(rules()).restore(saved)


def test_other_lines_are_learnt_anew_and_other_limits_are_not() -> None:
    old = CameraRegion(rules())
    assert CameraRegion(rules(limits={"person": {"min_score": 0.5}})).like(old)
    assert not CameraRegion(rules(lines=[LINE | {"points": [[0.1, 0.5], [0.3, 0.5]]}])).like(old)
    assert not CameraRegion(rules(region_zoom=True)).like(old)
