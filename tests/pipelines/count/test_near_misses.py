"""What nearly happened to a stored track: passages that were refused, with their reason, and near misses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipelines.count.near_misses import line_passages, nearest_to_line, nearest_to_zone
from pipelines.count.replay import recount
from pipelines.count.trajectory_codec import Trajectory
from pipelines.rules import LineSpec, ZoneSpec

FRAME_S = 0.04
UPRIGHT = LineSpec(name="door", points=((0.5, 0.2), (0.5, 0.8)))
PERSON = (("person", "person"),)


def track(
    xs: list[float],
    y: float = 0.5,
    evidence: float | list[float] = 2.0,
    kind: tuple[tuple[str, str], ...] = PERSON,
) -> Trajectory:
    """A box of 0.1 x 0.2 whose foot is at (x, y), frame by frame."""
    x = np.array(xs)
    n = len(x)
    boxes = np.column_stack([x - 0.05, np.full(n, y - 0.2), x + 0.05, np.full(n, y)])
    ones = np.ones(n, np.int64)
    noise = np.full((n, 2), 0.002)
    times = np.arange(0.0, n) * FRAME_S
    return Trajectory(
        kind, FRAME_S, 0.0, times, ones, boxes, noise, 0 * ones, ones, ones * np.array(evidence)
    )


def walk(*places: float, step: float = 0.01) -> list[float]:
    """From place to place in even steps."""
    parts = [np.arange(a, b, step if b > a else -step) for a, b in itertools.pairwise(places)]
    return [float(x) for x in np.concatenate([*parts, [places[-1]]])]


def test_a_walk_over_the_line_is_counted_and_nothing_is_refused() -> None:
    """The line goes down the picture: walking down it, the left of the picture is to the right."""
    trace = track(walk(0.3, 0.7))
    (passage,) = line_passages(trace, UPRIGHT)
    (counted,) = recount(trace, UPRIGHT)
    assert passage.refused == ""
    assert passage.side == counted.side == -1
    assert passage.time_s == pytest.approx(counted.time_s, abs=1e-6) == pytest.approx(0.8, abs=0.02)
    assert passage.point_xyn == pytest.approx((0.5, 0.5), abs=1e-3)


@pytest.mark.parametrize(
    ("trace", "why"),
    [
        (track([*walk(0.4, 0.501, step=0.0025), *[0.501] * 30]), "within the line's band"),
        (track(walk(0.4, 0.512, 0.4)), "within the line's band (0.75 of 1)"),
        (track(walk(0.4, 0.52, 0.4, step=0.02)), "it came back 0."),
        (track([*walk(0.4, 0.5), *[0.505] * 100]), "last seen within the line's band, and stood there"),
        (track([*[0.496] * 100, *walk(0.496, 0.7)]), "first seen within the line's band, and stood there"),
        (track(walk(0.4, 0.53)), "the track ended 0."),
        (track(walk(0.3, 0.7), y=0.9), "beyond the line's end"),
        (track(walk(0.3, 0.7), evidence=0.05), "evidence"),
        (track(walk(0.3, 0.7), evidence=[2.0] * 20 + [0.0] * 21), "0.00 on one side"),
        (track(walk(0.3, 0.7), evidence=[0.0] * 21 + [2.0] * 20), "0.00 on one side"),
        (track(walk(0.3, 0.7), kind=(("car", "vehicle"),)), "does not count car"),
    ],
    ids=[
        "stands on it",
        "turns back within the band",
        "turns back",
        "stands just beyond it to its end",
        "stands just before it from its beginning",
        "ends just behind it",
        "passes beside it",
        "hardly seen",
        "drawn over it by weak boxes",
        "only guessed at before it",
        "another class",
    ],
)
def test_what_was_refused_says_why(trace: Trajectory, why: str) -> None:
    spec = UPRIGHT.model_copy(update={"classes": ("person",), "anchor": "foot"})
    assert recount(trace, spec) == []
    (passage,) = line_passages(trace, spec)
    assert why in passage.refused


def test_a_passage_there_and_back_is_two_that_were_counted() -> None:
    assert [p.refused for p in line_passages(track(walk(0.3, 0.7, 0.3)), UPRIGHT)] == ["", ""]


def test_the_nearest_place_is_found_between_knots() -> None:
    beside = LineSpec(name="aside", points=((0.4, 0.52), (0.6, 0.52)))
    few = track([0.1, 0.9])
    long_way = Trajectory(
        PERSON, FRAME_S, 0.0, few.times_s * 50, np.array([1, 50]), *(few.boxes_xyxyn, few.noise_xyn),
        few.class_index, np.array([1, 50]), few.evidence,
    )  # fmt: skip
    near = nearest_to_line(long_way, beside)
    assert near.distance == pytest.approx(0.02, abs=1e-6)
    assert 0.4 <= near.point_xyn[0] <= 0.6
    zone = ZoneSpec(name="bay", points=((0.4, 0.53), (0.6, 0.53), (0.6, 0.6), (0.4, 0.6)))
    assert nearest_to_zone(long_way, zone).distance == pytest.approx(0.03, abs=1e-6)
    around = zone.model_copy(update={"points": ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))})
    assert nearest_to_zone(long_way, around).distance == 0.0
