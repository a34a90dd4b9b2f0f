"""Where objects spend their time: seconds per cell of a grid over the picture.

Each track adds the time since the frame before to the cell its point is in. The grid is told once a period
and starts empty again or, with a half-life, decays as it goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.analytics.base import Array, Chosen, Heard, Period, Sight, Told
from pipelines.spec_analytics import HeatmapSpec
from pipelines.values import Labels

HEATMAP = "streamer.heatmap.measured.v1"
MOST_GAP_S = 1.0  # a longer gap between frames is time that nobody saw


class Heatmap:
    """One grid. `grid_s` (rows, columns) are seconds."""

    def __init__(self, spec: HeatmapSpec, labels: Labels) -> None:
        self.spec = spec
        self._wanted = np.array(Chosen(labels, spec.classes).wanted, np.bool_)
        self.grid_s: Array = np.zeros((spec.rows, spec.columns))
        self._last_s: float | None = None
        self._period = Period(spec.every_s)
        self._weight = 1.0  # with a half-life: new seconds weigh more instead of old ones less

    def see(self, sight: Sight) -> list[Told]:
        ended = self._period.over(sight.time_s)
        found = [] if ended is None else [self._tell(ended, True)]
        gap_s = 0.0 if self._last_s is None else min(sight.time_s - self._last_s, MOST_GAP_S)
        passed_s = 0.0 if self._last_s is None else sight.time_s - self._last_s
        self._last_s = sight.time_s
        if self.spec.half_life_s is not None:
            self._decay(passed_s / self.spec.half_life_s)
        if gap_s > 0 and sight.ids:
            chosen = self._wanted[sight.class_ids]
            points = sight.points_xyn[chosen]
            columns = np.clip((points[:, 0] * self.spec.columns).astype(np.intp), 0, self.spec.columns - 1)
            rows = np.clip((points[:, 1] * self.spec.rows).astype(np.intp), 0, self.spec.rows - 1)
            np.add.at(self.grid_s, (rows, columns), gap_s * self._weight)
        return found

    def _decay(self, half_lives: float) -> None:
        if half_lives > 50:
            self.grid_s[:] = 0.0
            self._weight = 1.0
            return
        self._weight *= 2.0**half_lives
        if self._weight > 1e6:
            self.grid_s /= self._weight
            self._weight = 1.0

    def _tell(self, ended: dict[str, float], complete: bool) -> Told:
        grid = self.grid_s / self._weight
        data = {
            "heatmap": self.spec.name,
            "columns": self.spec.columns,
            "rows": self.spec.rows,
            "seconds": [round(v, 2) for v in grid.ravel().tolist()],
            "total_s": round(float(grid.sum()), 2),
            "decaying": self.spec.half_life_s is not None,
            "complete": complete,
        }
        if self.spec.half_life_s is None:
            self.grid_s[:] = 0.0
        return Told(HEATMAP, data, ended)

    def hear(self, heard: Heard) -> list[Told]:  # noqa: ARG002
        return []

    def forget(self, track_ids: list[int]) -> list[Told]:  # noqa: ARG002
        return []

    def close(self, time_s: float) -> list[Told]:
        ended = self._period.cut(time_s)
        self._last_s = None
        return [] if ended is None else [self._tell(ended, False)]

    def save(self) -> Any:
        grid = [round(v, 3) for v in (self.grid_s / self._weight).ravel().tolist()]
        used = [[i, v] for i, v in enumerate(grid) if v]
        return [used, self._last_s, self._period.start_s]

    def restore(self, saved: Any) -> None:
        used, self._last_s, self._period.start_s = saved
        self.grid_s[:] = 0.0
        self._weight = 1.0
        for i, v in used:
            self.grid_s.flat[int(i)] = float(v)
