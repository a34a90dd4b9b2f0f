"""Lines proposed from where tracks went."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.count.line_suggestion import POINTS, ObservedPath, SuggestedLine, suggest_lines
from pipelines.geometry import Polyline

Array = npt.NDArray[np.float64]
SIZE = np.array([0.04, 0.10])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def straight(rng: np.random.Generator, begin: tuple[float, float], end: tuple[float, float]) -> ObservedPath:
    way = np.linspace(begin, end, POINTS) + rng.normal(0, 0.003, (POINTS, 2))
    return ObservedPath(way, SIZE)


def downwards(rng: np.random.Generator, low: float, high: float, number: int) -> list[ObservedPath]:
    return [straight(rng, (x, 0.05), (x, 0.95)) for x in rng.uniform(low, high, number)]


def crossed_once(line: SuggestedLine, path: ObservedPath) -> bool:
    drawn = Polyline(line.points)
    sides = drawn.distance(path.points_xyn) > 0
    at = int(np.argmax(sides[1:] != sides[:-1]))
    before, after = drawn.beyond(path.points_xyn[at : at + 1])
    return int((sides[1:] != sides[:-1]).sum()) == 1 and before[0] == after[0] == 0


def test_one_stream_gets_one_line_that_all_of_it_crosses_once(rng: np.random.Generator) -> None:
    paths = downwards(rng, 0.3, 0.5, 40)
    (line,) = suggest_lines(paths)
    assert (line.clean, line.unclear) == (40, 0)
    assert all(crossed_once(line, path) for path in paths)


def test_directions_are_those_of_the_counting_line(rng: np.random.Generator) -> None:
    """Drawn from left to right, who walks down the picture passes to the right of it."""
    up = [straight(rng, (x, 0.95), (x, 0.05)) for x in rng.uniform(0.3, 0.5, 10)]
    (line,) = suggest_lines([*downwards(rng, 0.3, 0.5, 30), *up])
    assert (line.to_right, line.to_left) == (30, 10)
    assert line.points[0][0] < line.points[1][0]


def test_the_line_lies_in_the_middle_of_the_ways_and_not_where_they_begin(rng: np.random.Generator) -> None:
    (line,) = suggest_lines(downwards(rng, 0.3, 0.5, 40))
    assert all(0.25 < y < 0.75 for _, y in line.points)


def test_streams_apart_get_lines_of_their_own_the_busier_first(rng: np.random.Generator) -> None:
    across = [straight(rng, (0.6, y), (0.95, y)) for y in rng.uniform(0.6, 0.7, 30)]
    first, second = suggest_lines([*downwards(rng, 0.05, 0.15, 60), *across])
    assert (first.clean, second.clean) == (60, 30)
    assert abs(second.points[0][0] - second.points[1][0]) < 0.1  # upright: they walk across the picture


def test_a_place_where_many_turn_back_is_not_proposed(rng: np.random.Generator) -> None:
    """Half of the people turn round in the lower half: the line lies above it."""

    def turning(x: float) -> ObservedPath:
        y = np.interp(np.arange(POINTS), [0, POINTS // 2, POINTS - 1], [0.6, 0.9, 0.6])
        return ObservedPath(np.column_stack([np.full(POINTS, x), y]), SIZE)

    turned = [turning(x) for x in rng.uniform(0.3, 0.5, 30)]
    (line,) = suggest_lines([*downwards(rng, 0.3, 0.5, 30), *turned])
    assert max(y for _, y in line.points) < 0.6
    assert line.unclear == 0


def test_few_tracks_or_tracks_that_cross_nothing_together_propose_nothing(rng: np.random.Generator) -> None:
    assert suggest_lines(downwards(rng, 0.3, 0.5, 7)) == []
    assert suggest_lines([]) == []
    spot = np.full((POINTS, 2), 0.5)
    assert suggest_lines([ObservedPath(spot, SIZE)] * 20) == []


def test_lines_keep_within_the_picture(rng: np.random.Generator) -> None:
    for line in suggest_lines(downwards(rng, 0.0, 0.99, 40)):
        assert all(0 <= value <= 1 for point in line.points for value in point)
        assert line.points[0] != line.points[1]


def test_who_crosses_a_line_that_is_there_speaks_for_no_other(rng: np.random.Generator) -> None:
    down = downwards(rng, 0.05, 0.15, 60)
    across = [straight(rng, (0.6, y), (0.95, y)) for y in rng.uniform(0.6, 0.7, 30)]
    (line,) = suggest_lines([*down, *across], covered=[True] * 60 + [False] * 30)
    assert line.clean == 30
    assert suggest_lines(down, covered=[True] * 60) == []
    assert suggest_lines([*down, *across[:5]], covered=[True] * 60 + [False] * 5) == []  # too few are left
