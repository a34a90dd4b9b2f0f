"""How often a scene is to be looked at: by how fast its tracks are, measured in their own boxes."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.track.needed_rate import (
    BEGINS_S,
    CROWD_FPS,
    EVERY_FRAME,
    HOLD_S,
    IDLE_FPS,
    MAX_MOVE,
    MIN_FPS,
    NEW_FPS,
    NeededRate,
    TrackMotion,
    needed,
    segments,
)

NOWHERE = segments((), ())
DOOR = segments([((0.5, 0.0), (0.5, 1.0))], ())
WIDE, HIGH = 0.1, 0.2
NS = 1_000_000_000


def tracks(*rows: tuple[float, float, float], hits: int = 9) -> TrackMotion:
    """Tracks at x, y that go `speed` of their width to the right in a second."""
    boxes = np.array([(x, y, WIDE, HIGH) for x, y, _ in rows], float).reshape(-1, 4).T
    speeds = np.array([(speed * WIDE, 0.0) for _, _, speed in rows], float).reshape(-1, 2).T
    return TrackMotion(boxes, speeds, np.full(len(rows), hits, float))


def after(rate: NeededRate, *steps: tuple[float, TrackMotion]) -> float:
    for at_s, motion in steps:
        rate.update(1, int(at_s * NS), motion, NOWHERE)
    return rate.fps


def test_an_object_moves_by_a_part_of_its_box_between_two_frames() -> None:
    fps, why = needed(tracks((0.2, 0.5, 3.0)), NOWHERE)
    assert fps == pytest.approx(3.0 / MAX_MOVE)
    assert why == "3.0 box lengths a second"


def test_the_fastest_decides_and_one_that_stands_asks_for_little() -> None:
    assert needed(tracks((0.2, 0.2, 0.1)), NOWHERE)[0] == MIN_FPS
    assert needed(tracks((0.2, 0.2, 0.1), (0.2, 0.8, 4.0)), NOWHERE)[0] == pytest.approx(4.0 / MAX_MOVE)


def test_in_a_crowd_every_frame_is_looked_at() -> None:
    near = ((0.2, 0.5, 0.5), (0.25, 0.5, 0.5), (0.23, 0.55, 0.5))
    assert needed(tracks(*near), NOWHERE) == (CROWD_FPS, "many are close to each other")
    assert needed(tracks(*near[:2]), NOWHERE)[0] < CROWD_FPS
    assert needed(tracks(*near, hits=1), NOWHERE) == (NEW_FPS, "something new")
    apart = [(x, 0.5, 0.5) for x in (0.2, 0.5, 0.8)]
    assert needed(tracks(*apart), NOWHERE)[0] < CROWD_FPS


def test_nothing_followed_asks_for_the_least_and_something_new_for_much() -> None:
    assert needed(tracks(), NOWHERE) == (IDLE_FPS, "nothing is followed")
    assert needed(tracks((0.2, 0.2, 0.0), hits=1), NOWHERE) == (NEW_FPS, "something new")


def test_close_to_another_or_to_a_line_it_is_looked_at_more_often() -> None:
    alone = needed(tracks((0.2, 0.5, 2.0)), DOOR)[0]
    crowded, why = needed(tracks((0.2, 0.5, 2.0), (0.25, 0.5, 2.0)), DOOR)
    assert crowded > alone
    assert why.endswith("close to others")
    near, why = needed(tracks((0.4, 0.5, 2.0)), DOOR)
    assert near > alone
    assert why.endswith("near a line")
    assert needed(tracks((0.4, 0.5, 2.0)), NOWHERE)[0] == alone


def test_the_sides_of_a_zone_are_lines() -> None:
    zone = segments((), [((0.4, 0.4), (0.6, 0.4), (0.5, 0.6))])
    assert zone.shape == (3, 2, 2)
    assert zone[2].tolist() == [[0.5, 0.6], [0.4, 0.4]]


def test_before_a_frame_was_seen_every_one_is_wanted_and_then_many_for_a_while() -> None:
    rate = NeededRate()
    assert rate.fps == EVERY_FRAME
    assert after(rate, (0.0, tracks())) == NEW_FPS
    assert after(rate, (BEGINS_S + 0.1, tracks()), (BEGINS_S + HOLD_S + 0.2, tracks())) == IDLE_FPS


def test_a_rate_rises_at_once_and_falls_when_it_was_not_wanted_for_a_while() -> None:
    rate = NeededRate()
    quiet = (BEGINS_S + HOLD_S + 1, tracks())
    after(rate, (0.0, tracks()), (BEGINS_S + 0.1, tracks()), quiet)
    at_s = quiet[0] + 0.5
    fast = after(rate, (at_s, tracks((0.2, 0.5, 5.0))))
    assert fast == pytest.approx(5.0 / MAX_MOVE)
    assert after(rate, (at_s + 0.5 * HOLD_S, tracks((0.2, 0.5, 1.5)))) == fast
    assert after(rate, (at_s + 1.2 * HOLD_S, tracks((0.2, 0.5, 1.5)))) == pytest.approx(1.5 / MAX_MOVE)
    assert after(rate, (at_s + 2.5 * HOLD_S, tracks())) == IDLE_FPS


def test_a_new_epoch_begins_anew() -> None:
    rate = NeededRate()
    after(rate, (100.0, tracks()), (100.0 + BEGINS_S + HOLD_S + 1, tracks()))
    assert after(rate, (103.5, tracks())) == IDLE_FPS
    rate.update(2, 0, tracks(), NOWHERE)
    assert rate.fps == NEW_FPS
