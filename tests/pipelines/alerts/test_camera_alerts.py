"""Alerts over drawn tracks: what raises one, what clears it, and what a restart, a change or a loss does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pipelines.alerts.camera_alerts import CameraAlerts
from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.values import Event, Labels, Stamp, Tracks

LABELS = Labels(("person", "car"), ("person", "vehicle"))
STEP_NS = 100_000_000
START_NS = 1_795_000_000_000_000_000
ROOM = {"name": "room", "points": [[0.4, 0.0], [1.0, 0.0], [1.0, 1.0], [0.4, 1.0]]}
DOOR = {"name": "door", "points": [[0.5, 1.0], [0.5, 0.0]], "left_to_right": "in", "right_to_left": "out"}
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]
OUT, IN = 0.15, 0.7
Path = Callable[[float], float | None]  # x at a time; None: not there


def rules(**alert: Any) -> CameraRules:
    alerts = [{"name": "it", **alert}]
    return CameraRules.model_validate({"zones": [ROOM], "lines": [DOOR], "alerts": alerts})


class Scene:
    """Walkers before lines, zones and alerts; `open_at` says when the hours are, in seconds."""

    def __init__(self, given: CameraRules, open_at: Callable[[float], bool] = lambda _: False) -> None:
        self.rules = given
        self.is_open = lambda _name, at_ns: open_at((at_ns - START_NS) / 1e9)
        self.counts, self.alerts = CameraCounts(given, LABELS), CameraAlerts(given, self.is_open)
        self.number, self.seq = 0, 0
        self.events: list[Event] = []

    def walk(self, until_s: float, *walkers: Path, epoch: int = 1) -> list[dict[str, Any]]:
        """Go on to that second; the alerts of that time, as (state, …) data with `at`."""
        told: list[dict[str, Any]] = []
        while self.number * STEP_NS < until_s * 1e9:
            stamp = self.stamp(epoch)
            at_s = self.number / 10
            tracks = drawn([(i + 1, x) for i, w in enumerate(walkers) if (x := w(at_s)) is not None])
            events = self.counts.update(stamp, tracks)
            raised = self.alerts.on_frame(stamp, set(tracks.track_ids.tolist()), events, self.seq + 1)
            self.seq += len(events) + len(raised)
            self.events += [*events, *raised]
            told += [{**event.data, "at": at_s} for event in raised]
            self.number += 1
        return told

    def stamp(self, epoch: int = 1) -> Stamp:
        media_ns = self.number * STEP_NS
        return Stamp("gate", epoch, self.number, media_ns, START_NS + media_ns, 10**12 + media_ns)

    def restart(self) -> None:
        """Another process goes on from what this one has saved."""
        saved = json.loads(json.dumps(self.alerts.save()))
        self.alerts = CameraAlerts(self.rules, self.is_open)
        self.alerts.restore(saved)


def drawn(places: Sequence[tuple[int, float]]) -> Tracks:
    n = len(places)
    boxes = np.array([[x - 0.03, 0.4, x + 0.03, 0.6] for _, x in places], np.float32).reshape(-1, 4)
    return Tracks(
        np.array([k for k, _ in places], np.int64),
        boxes,
        np.full(n, 0.9, np.float32),
        np.zeros(n, np.int32),
        np.ones(n, np.bool_),
        np.full((n, 2), 0.002, np.float32),
        boxes,
        np.full(n, 1.0, np.float32),
    )


def visit(begin_s: float, end_s: float) -> Path:
    """In the room between these seconds, walking half a second in and out."""

    def x(at_s: float) -> float:
        share = min(max((at_s - begin_s) / 0.5, 0), 1) - min(max((at_s - end_s) / 0.5, 0), 1)
        return OUT + (IN - OUT) * share

    return x


def states(told: list[dict[str, Any]]) -> list[str]:
    return [each["state"] for each in told]


def test_who_stays_raises_an_alert_once_and_it_is_cleared_when_they_have_left() -> None:
    scene = Scene(rules(zone="room", for_s=5, clear_after_s=3))
    raised, cleared = scene.walk(30, visit(2, 14))
    assert (raised["state"], cleared["state"], cleared["reason"]) == ("raised", "cleared", "over")
    assert raised["at"] == pytest.approx(2.3 + 5 + 1, abs=0.6)
    assert cleared["at"] == pytest.approx(14.3 + 1 + 3, abs=1.2)
    assert raised["raised_seq"] == cleared["raised_seq"]
    assert cleared["duration_s"] == pytest.approx(12, abs=2)


def test_an_alert_names_the_events_that_made_it_by_their_numbers() -> None:
    scene = Scene(rules(zone="room", for_s=2))
    (raised,) = scene.walk(10, visit(2, 99))
    (seq,) = raised["events"]
    made_it, itself = scene.events[seq - 1], scene.events[raised["raised_seq"] - 1]
    assert (made_it.type, made_it.data["track_id"]) == ("streamer.zone.entered.v1", 1)
    assert itself.data["alert"] == "it"
    assert raised["tracks"][0]["since_captured_ns"] == pytest.approx(START_NS + 2.3e9, abs=3e8)


def test_who_leaves_just_before_the_time_raises_nothing() -> None:
    assert Scene(rules(zone="room", for_s=5)).walk(20, visit(2, 6.6)) == []


def test_two_who_stay_one_after_the_other_are_no_long_stay_but_the_room_was_not_empty() -> None:
    walkers = visit(2, 6), visit(5, 9)
    assert Scene(rules(zone="room", for_s=5)).walk(20, *walkers) == []
    told = Scene(rules(zone="room", at_least=1, for_s=5)).walk(16, *walkers)
    assert states(told) == ["raised"]


def test_a_break_below_the_debounce_is_none_and_a_longer_one_begins_anew() -> None:
    def out_between(begin_s: float, end_s: float) -> Path:
        return lambda at_s: min(visit(2, begin_s)(at_s) + visit(end_s, 99)(at_s) - OUT, IN)  # type: ignore[operator]

    patient = rules(zone="room", for_s=8, debounce_s=4)
    assert states(Scene(patient).walk(12, out_between(5, 7))) == ["raised"]
    assert Scene(patient).walk(16, out_between(4, 9.5)) == []
    assert Scene(rules(zone="room", for_s=8, debounce_s=0.5)).walk(12, out_between(5, 7)) == []


def test_a_crowd_is_so_many_together() -> None:
    scene = Scene(rules(zone="room", at_least=3, for_s=2, clear_after_s=1))
    raised, cleared = scene.walk(30, visit(2, 20), visit(4, 12), visit(6, 25))
    assert (raised["count"], len(raised["tracks"])) == (3, 3)
    assert raised["at"] == pytest.approx(6.3 + 2, abs=1)
    assert cleared["at"] == pytest.approx(12.5 + 1, abs=1.5)


def test_a_line_crossed_the_other_way_raises_nothing_and_more_of_them_add_up() -> None:
    def crossing(direction: str) -> list[dict[str, Any]]:
        scene = Scene(rules(line="door", direction=direction, clear_after_s=5))
        return scene.walk(30, visit(2, 99), visit(4, 99))

    raised, cleared = crossing("in")
    assert (raised["count"], cleared["count"], states([raised, cleared])) == (1, 2, ["raised", "cleared"])
    assert crossing("out") == []


def test_while_it_lasts_it_is_told_again_as_often_as_the_rule_says() -> None:
    told = Scene(rules(zone="room", repeat_after_s=5)).walk(20, visit(2, 99))
    assert [each["repeats"] for each in told] == [0, 1, 2, 3][: len(told)]
    assert len(told) >= 3
    assert len({each["raised_seq"] for each in told}) == 1


def test_what_was_before_closing_time_counts_for_nothing_and_opening_time_clears() -> None:
    outside = rules(zone="room", for_s=5, when={"outside": "opening"})
    raised, cleared = Scene(outside, lambda at_s: not 20 <= at_s < 40).walk(50, visit(2, 99))
    assert raised["at"] == pytest.approx(20 + 5 + 1, abs=0.3)
    assert (cleared["at"], cleared["reason"]) == (pytest.approx(40, abs=0.2), "hours")
    assert Scene(outside, lambda _: True).walk(20, visit(2, 99)) == []


def test_a_class_that_the_rule_is_not_about_raises_nothing() -> None:
    assert Scene(rules(zone="room", classes=["vehicle"])).walk(10, visit(2, 99)) == []
    assert states(Scene(rules(zone="room", classes=["pedestrian"])).walk(10, visit(2, 99))) == ["raised"]


def test_a_new_epoch_ends_the_stay() -> None:
    scene = Scene(rules(zone="room", for_s=5))
    assert scene.walk(5, visit(0, 99)) == []
    assert scene.walk(9, visit(0, 99), epoch=2) == []


def test_a_raised_alert_is_not_raised_again_after_a_restart_and_is_cleared_when_over() -> None:
    scene = Scene(rules(zone="room", for_s=3, clear_after_s=3))
    (raised,) = scene.walk(10, visit(2, 15))
    scene.restart()
    scene.alerts.adopt([raised], START_NS + 10 * 10**9)
    (cleared,) = scene.walk(30, visit(2, 15))
    assert (cleared["state"], cleared["raised_seq"]) == ("cleared", raised["raised_seq"])


def test_what_only_the_ledger_knows_as_raised_is_cleared_and_what_it_does_not_know_is_raised() -> None:
    scene = Scene(rules(zone="room", for_s=3, clear_after_s=3))
    (raised,) = scene.walk(10, visit(2, 15))
    fresh = Scene(scene.rules)
    fresh.alerts.adopt([raised, {**raised, "alert": "gone"}], START_NS)
    told = fresh.walk(10, visit(50, 60))
    assert [(each["alert"], each["reason"]) for each in told] == [("gone", "rule"), ("it", "over")]
    scene.restart()
    scene.alerts.adopt([], START_NS + 10 * 10**9)
    assert states(scene.walk(11, visit(2, 15))) == ["raised"]


def test_an_alert_that_could_not_be_sent_is_told_by_the_next_step() -> None:
    scene = Scene(rules(line="door", direction="in"))
    steps = iter(range(1, 100))
    while not (told := scene.walk(next(steps) / 10, visit(2, 99))):
        pass
    scene.alerts.not_sent()
    (raised,), (again,) = told, scene.walk(next(steps) / 10, visit(2, 99))
    assert (again["state"], again["events"]) == ("raised", raised["events"])


def test_a_rule_that_is_removed_or_changed_clears_what_it_had_raised() -> None:
    for changed in (rules(line="door"), rules(zone="room", for_s=60)):
        scene = Scene(rules(zone="room"))
        assert states(scene.walk(8, visit(2, 99))) == ["raised"]
        scene.alerts.with_rules(changed)
        (cleared,) = scene.walk(8.2, visit(2, 99))
        assert cleared["reason"] == "rule"


def test_a_rule_that_is_added_later_knows_who_is_in_the_zone_already() -> None:
    scene = Scene(rules(line="door", direction="out"))
    assert scene.walk(8, visit(2, 99)) == []
    scene.alerts.with_rules(rules(zone="room", for_s=3))
    assert states(scene.walk(8.2, visit(2, 99))) == ["raised"]


def test_a_camera_that_is_offline_is_told_without_frames_and_cleared_with_the_first() -> None:
    alerts = CameraAlerts(rules(camera="offline", for_s=30, clear_after_s=0), None)
    alerts.source_state("live", "ok")
    scene = Scene(rules(camera="offline"))
    stamp = scene.stamp()
    assert alerts.on_frame(stamp, set(), (), 1) == []
    alerts.source_state("unreachable", "")

    def tick(after_s: int) -> list[Event]:
        past_ns = after_s * 10**9
        return alerts.tick("gate", stamp.captured_ns + past_ns, stamp.received_mono_ns + past_ns, 7)

    assert [bool(tick(after_s)) for after_s in (1, 20, 29, 31, 40)] == [False, False, False, True, False]
    assert alerts.describe()[0]["raised_seq"] == 7
    alerts.source_state("live", "ok")
    (cleared,) = tick(60)
    assert cleared.data["state"] == "cleared"


def test_a_picture_that_shows_nothing_is_blind_and_not_offline() -> None:
    for fault, expected in (("blind", ["raised"]), ("offline", [])):
        scene = Scene(rules(camera=fault, for_s=2))
        scene.alerts.source_state("live", "covered")
        assert states(scene.walk(5)) == expected


def told_event(kind: str, subject: str, **data: Any) -> Event:
    return Event(kind, Scene(rules(zone="room")).stamp(), subject, {"track_id": 3, "class": "person", **data})


@pytest.mark.parametrize(
    ("alert", "event", "expected"),
    [
        ({"action": "fall", "min_confidence": 0.8}, ("action.detected", "fall", {"probability": 0.9}), True),
        ({"action": "fall", "min_confidence": 0.8}, ("action.detected", "fall", {"probability": 0.7}), False),
        ({"action": "fall"}, ("action.detected", "run", {"probability": 0.9}), False),
        ({"action": "fall", "zone": "room"}, ("action.detected", "fall", {"probability": 0.9}), False),
        ({"wrong_way": "way"}, ("wrongway.detected", "way", {}), True),
        ({"wrong_way": "way"}, ("wrongway.detected", "other", {}), False),
        ({"speed": "pace"}, ("speed.measured", "pace", {"speed": 31.0, "over_limit": True}), True),
        ({"speed": "pace"}, ("speed.measured", "pace", {"speed": None, "over_limit": False}), False),
        (
            {"speed": "pace", "over": 40},
            ("speed.measured", "pace", {"speed": 31.0, "over_limit": True}),
            False,
        ),
    ],
)
def test_what_is_told_of_a_track_raises_what_asks_for_it(
    alert: dict[str, Any], event: tuple[str, str, dict[str, Any]], expected: bool
) -> None:
    document = {
        "zones": [ROOM],
        "lines": [DOOR],
        "alerts": [{"name": "it", **alert}],
        "wrong_ways": [{"name": "way", "line": "door", "allowed": "in"}],
        "calibration": {"points": SQUARE, "metres": [[9 * x, 9 * y] for x, y in SQUARE]},
        "speeds": [{"name": "pace", "line": "door", "limit": 30}],
    }
    kind, subject, data = event
    happened = told_event(f"streamer.{kind}.v1", subject, action=subject, start_media_ns=0, **data)
    alerts = CameraAlerts(CameraRules.model_validate(document), None)
    told = alerts.on_frame(happened.stamp, set(), [happened], 1)
    assert bool(told) == expected
