"""Who stands on a line, sways, walks along it or turns back on it counts nothing; who goes on counts once.

Drawn boxes go through the tracker (tests/standing.py); `python -m tests.bench standing` prints the matrix.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.events import LINE_CROSSED
from pipelines.registry import create_detector
from pipelines.values import Event
from tests.bench import standing as bench
from tests.bench.default_counts import look
from tests.pipelines.count.test_line import LABELS, MIDDLE, RIGHT, stamp, still, tracks, walk
from tests.pipelines.count.walks import Walk, of, play, rules
from tests.standing import ALONG, BACK, ON, Standing, View, counted, gross_error

TRIES = 8
ANCHORS = pytest.mark.parametrize("foot", [False, True], ids=["centre", "foot"])


def counts(what: Standing, foot: bool) -> list[tuple[int, int]]:
    """Of some boxes of 64 px whose noise is 4 % of their width, at 25 frames a second."""
    return counted(View(64, 25, 0.04, foot), [what] * TRIES, np.random.default_rng(7))


@ANCHORS
def test_a_box_that_stands_20_s_on_the_line_and_goes_on_is_counted_once(foot: bool) -> None:
    assert counts(Standing(20, ON), foot) == [(1, 0)] * TRIES


@ANCHORS
def test_a_box_that_sways_on_the_line_is_not_counted_for_it(foot: bool) -> None:
    assert counts(Standing(20, ON, sway=2.6 / 64, period_s=2.0), foot) == [(1, 0)] * TRIES


@ANCHORS
def test_a_box_that_walks_along_the_line_is_not_counted(foot: bool) -> None:
    assert counts(Standing(1, ALONG), foot) == [(0, 0)] * TRIES


@ANCHORS
def test_a_box_that_stops_on_the_line_and_goes_back_is_not_counted(foot: bool) -> None:
    assert counts(Standing(20, BACK), foot) == [(0, 0)] * TRIES


@pytest.mark.parametrize(("jitter", "perfect"), [*((j, False) for j in bench.JITTERS), (0.04, True)])
def test_up_to_4_percent_of_noise_and_8_of_sway_count_nothing_and_one_in_50_above(
    jitter: float, perfect: bool
) -> None:
    wrong, all_of_them, rng = 0, 0, np.random.default_rng(3)
    for fps, size in ((5.0, 64.0), (10.0, 300.0), (25.0, 20.0)):
        for dwell_s, then, foot in itertools.product((1.0, 20.0), (ON, BACK, ALONG), (False, True)):
            objects = [Standing(dwell_s, then, *sway) for sway in bench.SWAYS]
            found = counted(View(size, fps, jitter, foot), objects, rng, perfect=perfect)
            errors = [gross_error([o], [count]) for o, count in zip(objects, found, strict=True)]
            wrong += sum(errors)
            all_of_them += len(objects)
    assert wrong <= (0 if jitter <= 0.04 else all_of_them // 50)


def test_five_minutes_on_the_line_count_nothing() -> None:
    objects = [Standing(300, then, 0.08, period_s) for then in (ON, BACK) for period_s in (2.0, 5.0, 10.0)]
    found = counted(View(64, 10, 0.04), objects, np.random.default_rng(5))
    assert gross_error(objects, found) == 0


# ---- the rule, path by path


def crossings(path: list[float | None], save_at: int = -1, close: bool = True) -> list[Event]:
    rules = CameraRules(lines=(MIDDLE,))
    analytics, events = CameraCounts(rules, LABELS), []
    for frame, x in enumerate(path):
        if frame == save_at:
            saved = json.loads(json.dumps(analytics.save()))
            analytics = CameraCounts(rules, LABELS)
            analytics.restore(saved)
        events += analytics.update(stamp(frame), tracks(x))
    if close:
        events += analytics.close(stamp(len(path)))
    return [e for e in events if e.type == LINE_CROSSED]


STANDS_AND_GOES_ON = walk(0.3, 0.505, 21) + still(0.505, 40) + walk(0.51, 0.7, 20)


def test_a_crossing_has_the_time_at_which_the_line_was_crossed_however_late_its_band_is_left() -> None:
    """A box 0.1 wide that stops a twentieth of its width behind the line, at 10 frames a second."""
    (event,) = crossings(STANDS_AND_GOES_ON)
    assert event.data["crossed_media_ns"] == pytest.approx(1.95e9, abs=1e8)
    assert event.stamp.media_ns > 6e9


@pytest.mark.parametrize("at", [15, 19, 20, 21, 22, 24, 26, 30, 45, 60, 62, 65, 70])
def test_a_restart_while_it_stands_on_the_line_loses_nothing(at: int) -> None:
    whole, parts = crossings(STANDS_AND_GOES_ON), crossings(STANDS_AND_GOES_ON, save_at=at)
    assert [dict(e.data) for e in parts] == [dict(e.data) for e in whole]


@pytest.mark.parametrize(
    ("path", "sides"),
    [
        ([*walk(0.3, 0.51, 12), 0.51, 0.512], [RIGHT]),  # ends on its way
        (walk(0.3, 0.505, 12) + still(0.505, 40), []),  # stands to its end
        (walk(0.492, 0.7, 20), [RIGHT]),  # begins on its way
        (still(0.495, 40) + walk(0.495, 0.7, 20), []),  # stands from its beginning
        (walk(0.46, 0.51, 100), [RIGHT]),  # ends on its way, as slowly as it came
    ],
)
def test_who_begins_or_ends_within_the_band_has_passed_unless_it_stood_there(
    path: list[float | None], sides: list[str]
) -> None:
    assert [e.data["side"] for e in crossings(path)] == sides


def test_a_passage_that_ends_within_the_band_is_told_once_the_track_is_over() -> None:
    path: list[float | None] = [*walk(0.3, 0.51, 12), 0.51, 0.512]
    assert crossings([*path, *[None] * 15], close=False) == []
    (event,) = crossings([*path, *[None] * 30], close=False)
    assert event.data["crossed_media_ns"] == pytest.approx(1.05e9, abs=1e8)


def test_who_stands_long_just_behind_the_line_has_been_seen_well_before_it() -> None:
    """Closer behind it than one place is sure of, for longer than the boxes before it are kept."""
    path = walk(0.3, 0.501, 21) + still(0.501, 120) + walk(0.51, 0.7, 20)
    assert [e.data["side"] for e in crossings(path)] == [RIGHT]


# ---- zones


def sways(x: float, by: float, period_s: float = 2.0) -> Walk:
    return lambda t: (x + by * float(np.sin(2 * np.pi * t / period_s)), 0.5)


@pytest.mark.parametrize("walk_of", [lambda: sways(0.401, 0.0032), lambda: sways(0.399, 0.0032)])
def test_who_sways_on_the_edge_of_a_zone_enters_and_leaves_at_most_once(walk_of: Callable[[], Walk]) -> None:
    """By 8 % of the width of its box."""
    events = play(rules(), {1: walk_of()}, 20, close=False)
    assert len(of(events, "zone.entered")) + len(of(events, "zone.exited")) <= 1


def test_who_walks_through_a_zone_that_is_hardly_wider_than_the_band_has_been_there() -> None:
    """A box 0.04 wide, and a zone of a sixth of that."""
    narrow = rules(zones=[{"name": "strip", "points": [[0.4, 0], [0.4067, 0], [0.4067, 1], [0.4, 1]]}])
    walks: dict[int, Walk] = {1: lambda t: (0.36 + 0.01 * t, 0.5)}
    events = play(narrow, walks, 9)
    assert (len(of(events, "zone.entered")), len(of(events, "zone.exited"))) == (1, 1)


# ---- real ones


@pytest.mark.corpus
@pytest.mark.slow
def test_cars_that_are_parked_or_wait_on_a_line_are_not_counted(corpus: Path) -> None:
    detector = create_detector("openvino", corpus / "weights" / bench.MODEL, threads=1, score=0.25)
    seen = look(detector, corpus / "videos" / bench.CLIP, 1)
    assert bench.crossings_of_parked(seen, detector.labels) == [0, 0, 0, 0]
