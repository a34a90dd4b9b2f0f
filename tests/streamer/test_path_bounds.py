"""A path that is left out unlooked at has no crossing, and far places left out change none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.count import replay
from pipelines.count.line import LineCounter
from pipelines.count.trajectory_codec import Trajectory
from pipelines.rules import LineSpec
from streamer.api.counts.path_bounds import PathBounds
from streamer.ledger.queries import StoredPath
from tests.fuzzing import examples

unit = st.floats(0.0, 1.0, width=16)
corner = st.tuples(unit, unit)
PATH = StoredPath(7, 1, 1, 0, 10**10, b"")


@st.composite
def walks(draw: st.DrawFn) -> Trajectory:
    """Somebody who goes from point to point, some of them in a jump, with 6 places between two."""
    points = np.array(draw(st.lists(corner, min_size=2, max_size=6)))
    size = np.array([0.04, 0.1])
    knots, samples = len(points), 6
    each = np.array([1] + [samples] * (knots - 1))
    return Trajectory(
        (("person", "person"),),
        0.1,
        1.0,
        np.arange(knots) * samples * 0.1,
        each,
        np.hstack([points - size / 2, points + size / 2]),
        np.full((knots, 2), draw(st.sampled_from([0.0005, 0.005]))),
        np.zeros(knots, np.int64),
        np.array([each.sum()]),
        np.array([1.0]),
    )


@st.composite
def lines(draw: st.DrawFn) -> LineSpec:
    points = draw(st.lists(corner, min_size=2, max_size=3, unique=True))
    try:
        return LineSpec(name="l", points=tuple(points), anchor=draw(st.sampled_from(["foot", "center"])))
    except ValueError:
        return LineSpec(name="l", points=((0.2, 0.5), (0.8, 0.5)))


@examples(300)
@given(walks(), lines())
def test_a_path_whose_box_misses_the_line_has_no_crossing(walk: Trajectory, line: LineSpec) -> None:
    bounds = PathBounds()
    bounds.add("a", PATH, walk)
    if bounds.misses("a", PATH, line):
        assert replay.recount(walk, line) == []


@examples(300)
@given(walks(), lines())
def test_places_far_from_the_line_change_no_crossing(walk: Trajectory, line: LineSpec) -> None:
    counted = replay.recount(walk, line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LineCounter, "calm_of", lambda *_: 0.0)  # every place is looked at
        assert replay.recount(walk, line) == counted


def test_of_an_unknown_path_nothing_is_said() -> None:
    line = LineSpec(name="l", points=((0.0, 0.9), (1.0, 0.9)))
    assert not PathBounds().misses("a", PATH, line)
