"""Who comes to a camera is known again where looks are sure, and nobody is where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.journeys.clothes import LENGTH, clothes
from pipelines.journeys.site_journeys import DECIDE_NS, SiteJourneys
from pipelines.journeys.spec import MIN_WITHIN_S, JourneySpec
from pipelines.journeys.transit_times import MIN_LEARNT, TransitTimes
from pipelines.values import Detections, Event, Floats, FrameResult, Labels, Stamp, Tracks

LABELS = Labels(("person", "car", "dog"), ("person", "vehicle", "dog"))
NS = 1_000_000_000
RNG = np.random.default_rng(5)
SHIFT = {"gate": np.zeros(LENGTH, np.float32), "yard": np.full(LENGTH, 0.15, np.float32)}


def look() -> Floats:
    return np.asarray(RNG.uniform(0.2, 1.0, LENGTH), np.float32)


class Site:
    """Two cameras; each visit is shown for some seconds, with the clock going on."""

    def __init__(self) -> None:
        self.journeys = SiteJourneys(JourneySpec(cameras=("gate", "yard")))
        self.now_s, self._next = 100.0, 1
        for camera in ("gate", "yard"):
            for _ in range(15):
                self.visit(camera, look())
        self.now_s += 200  # all of those are forgotten

    def visit(self, camera: str, *looks: Floats, class_id: int = 0) -> list[Event]:
        ids, self._next = list(range(self._next, self._next + len(looks))), self._next + len(looks)
        told = [event for _ in range(10) for event in self.frame(camera, [], [], class_id)]
        told += [e for _ in range(8) for e in self.frame(camera, ids, list(looks), class_id)]
        return told + [e for _ in range(30) for e in self.frame(camera, [], [], class_id)]

    def frame(self, camera: str, ids: list[int], looks: list[Floats], class_id: int) -> list[Event]:
        self.now_s += 0.5
        n, ns = len(ids), round(self.now_s * NS)
        boxes = np.array([[0.1 + 0.3 * i, 0.3, 0.2 + 0.3 * i, 0.7] for i in range(n)], np.float32).reshape(
            n, 4
        )
        scores, classes = np.full(n, 0.9, np.float32), np.full(n, class_id, np.int32)
        tracks = Tracks(
            np.array(ids, np.int64),
            boxes,
            scores,
            classes,
            np.ones(n, np.bool_),
            np.zeros((n, 2), np.float32),
            boxes,
        )
        seen = np.array([each + SHIFT[camera] for each in looks], np.float32).reshape(n, LENGTH)
        found = Detections(boxes, scores, classes)
        stamp = Stamp(camera, 1, int(self.now_s * 2), ns, ns, ns)
        return self.journeys.frame(FrameResult(stamp, found, tracks, (), seen), LABELS)


def test_who_left_one_camera_is_known_at_another_whose_colours_are_shifted() -> None:
    site, who = Site(), look()
    site.visit("gate", who)
    (event,) = site.visit("yard", who)
    assert (event.data["from_camera"], event.stamp.camera) == ("gate", "yard")
    assert event.data["from_track_id"] == event.data["track_id"] - 1
    assert event.data["between_s"] == pytest.approx(20.5)


def test_of_two_alike_who_left_nothing_is_told() -> None:
    site, who = Site(), look()
    site.visit("gate", who, who)
    assert site.visit("yard", who) == []


def test_of_two_alike_who_come_at_once_nothing_is_told() -> None:
    site, who = Site(), look()
    site.visit("gate", who)
    assert site.visit("yard", who, who) == []


def test_another_class_is_somebody_else() -> None:
    site, who = Site(), look()
    site.visit("gate", who, class_id=2)
    assert site.visit("yard", who) == []


def test_a_look_is_forgotten_when_its_time_is_over_even_without_frames() -> None:
    site, who = Site(), look()
    site.visit("gate", who)
    assert len(site.journeys) == 1
    site.journeys.forget(round((site.now_s + 121) * NS))
    assert len(site.journeys) == 0
    assert site.visit("yard", who) == []


def test_a_worker_that_was_started_again_knows_nobody() -> None:
    site, who = Site(), look()
    site.visit("gate", who)
    site.journeys = SiteJourneys(JourneySpec(cameras=("gate", "yard")))
    assert site.visit("yard", who) == []


def test_a_time_in_which_nobody_could_be_decided_upon_is_refused() -> None:
    assert MIN_WITHIN_S > DECIDE_NS / NS + 2  # and to be known
    with pytest.raises(ValueError, match="within_s"):
        JourneySpec(cameras=("gate", "yard"), within_s=15)


def test_how_long_ways_take_is_forgotten_with_the_camera_at_either_end() -> None:
    times = TransitTimes()
    for ends in (("gate", "yard"), ("yard", "gate"), ("hall", "yard")):
        for _ in range(MIN_LEARNT):
            times.learn(*ends, 10.0)
    times.forget("gate")
    assert times.usual("gate", "yard", 100.0)
    assert times.usual("yard", "gate", 100.0)
    assert not times.usual("hall", "yard", 100.0)


def test_a_camera_that_is_removed_is_forgotten_with_all_who_were_seen_there() -> None:
    site, who = Site(), look()
    site.visit("gate", who)
    site.journeys.forget_camera("gate")
    assert len(site.journeys) == 0
    assert site.visit("yard", who) == []


def test_of_vehicles_nothing_is_told() -> None:
    site, who = Site(), look()
    for _ in range(12):
        site.visit("gate", look(), class_id=1)
        site.visit("yard", look(), class_id=1)
    site.visit("gate", who, class_id=1)
    assert site.visit("yard", who, class_id=1) == []


def dressed(top: tuple[int, int, int], wall: int, gain: float = 1.0) -> Floats:
    """The look of somebody in grey trousers before a wall."""
    picture = np.full((100, 100, 3), wall, np.uint8)
    picture[25:50, 44:56], picture[50:75, 44:56] = top, (90, 90, 90)
    lit = np.clip(picture * gain, 0, 255).astype(np.uint8)
    return clothes(lit, np.array([[0.4, 0.2, 0.6, 0.8]], np.float32))[0]


def test_clothes_are_the_same_before_another_wall_and_another_top_is_not() -> None:
    red, blue = (40, 40, 160), (160, 40, 40)
    same = np.abs(dressed(red, 200) - dressed(red, 20))[3:6].max()
    assert same < 0.05 < np.abs(dressed(red, 200) - dressed(blue, 200))[3:6].max()


def test_a_gain_of_the_camera_changes_how_light_clothes_are_and_hardly_their_colour() -> None:
    change = dressed((60, 60, 160), 200, gain=0.8) - dressed((60, 60, 160), 200)
    assert change[3] < -0.15
    assert np.abs(change[4:6]).max() < 0.06


def test_a_box_that_the_border_cuts_has_no_look() -> None:
    picture = np.full((100, 100, 3), 80, np.uint8)
    assert not clothes(picture, np.array([[-0.1, 0.2, 0.3, 0.8], [np.nan] * 4], np.float32)).any()
