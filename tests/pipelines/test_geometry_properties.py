"""What holds of geometry for any boxes, lines and polygons, also those without an area and those of NaN."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.geometry import Polygon, Polyline, good_boxes, iou, point_in_polygon
from tests.fuzzing import examples

NUMBER = st.floats(-4, 4, width=32)
ANY_NUMBER = st.floats(width=32)
POINT = st.tuples(NUMBER, NUMBER)
GRID = st.integers(0, 12).map(lambda n: n / 12)  # where edges, corners and points meet
GRID_POINT = st.tuples(GRID, GRID)
BOX = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER)
ANY_BOX = st.tuples(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER)


def boxes(given_boxes: list[tuple[float, ...]]) -> np.ndarray:
    return np.array(given_boxes, np.float64).reshape(-1, 4)


def upright(box: tuple[float, ...]) -> tuple[float, ...]:
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


@examples(100)
@given(st.lists(BOX.map(upright), max_size=4), st.lists(BOX.map(upright), max_size=4))
def test_overlap_is_a_share_is_symmetric_and_is_nothing_for_boxes_without_an_area(
    first: list[tuple[float, ...]], second: list[tuple[float, ...]]
) -> None:
    a, b = boxes(first), boxes(second)
    found = iou(a, b)
    assert found.shape == (len(a), len(b))
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    assert np.allclose(found, iou(b, a).T)
    assert (found[~good_boxes(a)] == 0).all()


@examples(100)
@given(BOX.map(upright))
def test_a_box_with_an_area_overlaps_itself_wholly(box: tuple[float, ...]) -> None:
    one = boxes([box])
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert iou(one, one)[0, 0] == (1 if area > 0 else 0)


@examples(100)
@given(st.lists(ANY_BOX, max_size=4))
def test_no_box_of_any_numbers_is_good_unless_it_is_finite_and_has_a_size(
    any_boxes: list[tuple[float, ...]],
) -> None:
    with np.errstate(all="raise"):
        good = good_boxes(boxes(any_boxes))
    for is_good, (x1, y1, x2, y2) in zip(good, any_boxes, strict=True):
        assert is_good == (np.isfinite([x1, y1, x2, y2]).all() and x2 > x1 and y2 > y1)


@examples(100)
@given(st.lists(GRID_POINT, min_size=2, max_size=5), st.lists(POINT, min_size=1, max_size=8))
def test_a_line_walked_the_other_way_has_its_sides_changed(
    corners: list[tuple[float, float]], points: list[tuple[float, float]]
) -> None:
    corners = [c for n, c in enumerate(corners) if not n or c != corners[n - 1]]
    if len(corners) < 2:
        return
    where = np.array(points)
    forth, back = Polyline(corners).distance(where), Polyline(corners[::-1]).distance(where)
    assert np.isfinite(forth).all()
    assert np.allclose(abs(forth), abs(back), atol=1e-9)
    if len(corners) == 2:
        assert np.allclose(forth, -back, atol=1e-9)


@examples(100)
@given(GRID_POINT, GRID_POINT, st.floats(-3, 3), st.floats(-3, 3))
def test_the_distance_from_a_straight_line_is_how_far_a_point_was_moved_to_its_right(
    first: tuple[float, float], second: tuple[float, float], along: float, right: float
) -> None:
    if first == second:
        return
    line = Polyline([first, second])
    point = line.points[0] + along * line.units[0] + right * line.normals[0]
    assert abs(line.distance(point[None])[0] - right) < 1e-9


@examples(100)
@given(
    st.lists(GRID_POINT, min_size=3, max_size=7),
    st.lists(POINT, min_size=1, max_size=8),
    st.integers(0, 6),
)
def test_a_polygon_holds_the_same_points_from_whatever_corner_and_way_it_is_drawn(
    corners: list[tuple[float, float]], points: list[tuple[float, float]], start: int
) -> None:
    where, drawn = np.array(points), np.array(corners)
    polygon = Polygon(drawn)
    clear = np.hypot(*polygon.to_edge(where).T) > 1e-9  # an edge may be either
    inside = point_in_polygon(where, drawn)
    for other in (np.roll(drawn, start, axis=0), drawn[::-1]):
        assert (point_in_polygon(where, other) == inside)[clear].all()
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    outside = ((where < low) | (where > high)).any(axis=1)
    assert not inside[outside].any()


@examples(100)
@given(st.lists(GRID_POINT, min_size=3, max_size=6))
def test_a_place_of_nan_is_in_no_polygon_and_disturbs_no_other(corners: list[tuple[float, float]]) -> None:
    places = np.array([[0.51, 0.52], [np.nan, 0.5], [0.5, np.nan], [np.nan, np.nan]])
    inside = point_in_polygon(places, np.array(corners))
    assert inside[0] == point_in_polygon(places[:1], np.array(corners))[0]
    assert not inside[1:].any()
