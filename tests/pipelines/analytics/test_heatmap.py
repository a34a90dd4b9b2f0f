"""Heat maps: seconds per cell, as much in all as there was to see."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pipelines.count.walks import of, play, rules, still, straight

GRID = {"name": "heat", "columns": 4, "rows": 2}


def test_seconds_lie_where_they_were_spent() -> None:
    """One stands at the upper left for 10 s, one at the lower right for 5 s."""
    made = rules(heatmaps=[GRID])
    [told] = of(play(made, {1: still(0.1, 0.3, 0, 10), 2: still(0.9, 0.9, 0, 5)}, 20), "heatmap.measured")
    grid = np.array(told["seconds"]).reshape(2, 4)
    assert grid[0, 0] == pytest.approx(10, abs=0.3)
    assert grid[1, 3] == pytest.approx(5, abs=0.3)
    assert told["total_s"] == pytest.approx(15, abs=0.5)
    assert np.count_nonzero(grid) == 2


@pytest.mark.parametrize("fps", [5.0, 25.0])
def test_the_frame_rate_plays_no_part(fps: float) -> None:
    [told] = of(
        play(rules(heatmaps=[GRID]), {1: straight(0.0, 1.0, 8, 0.7)}, 12, fps=fps), "heatmap.measured"
    )
    assert told["total_s"] == pytest.approx(8, abs=0.5)
    assert told["seconds"][4:] == pytest.approx([2, 2, 2, 2], abs=0.4)


def test_a_period_starts_empty() -> None:
    made = rules(heatmaps=[{**GRID, "every_s": 5}])
    told = of(play(made, {1: still(0.1)}, 12, save_every=7), "heatmap.measured")
    assert [d["complete"] for d in told] == [True, True, False]
    assert [d["total_s"] for d in told] == pytest.approx([5, 5, 2], abs=0.3)


def test_with_a_half_life_old_seconds_fade() -> None:
    """8 s at the left, 8 s at the right, half-life 4 s: the left has faded to a quarter of the right."""
    made = rules(heatmaps=[{**GRID, "half_life_s": 4}])
    walks = {1: still(0.1, 0.7, 0, 8), 2: still(0.9, 0.7, 8, 16)}
    [told] = of(play(made, walks, 16, save_every=11), "heatmap.measured")
    assert told["seconds"][4] / told["seconds"][7] == pytest.approx(0.25, rel=0.1)


def test_only_the_classes_that_were_asked_for_leave_heat() -> None:
    made = rules(heatmaps=[{**GRID, "classes": ["vehicle"]}])
    walks = {1: still(0.1, 0.7, 0, 8), 2: still(0.9, 0.7, 0, 8)}
    [told] = of(play(made, walks, 10, classes={2: 1}), "heatmap.measured")
    assert [i for i, v in enumerate(told["seconds"]) if v] == [7]


@pytest.mark.parametrize("given", [{"columns": 1}, {"rows": 1000}, {"every_s": 0}, {"half_life_s": -1}])
def test_grids_that_are_none_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"than or equal|greater than"):
        rules(heatmaps=[{**GRID, **given}])
