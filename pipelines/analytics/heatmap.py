"""Where objects spend their time: seconds per cell of a grid over the picture.

Each track adds the time since the frame before to the cell its point is in. The grid is told once a period
and starts empty again or, with a half-life, decays as it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.analytics.base import (
    PERIOD,
    RULE_REV,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    EventType,
    Period,
    RunningRule,
    TrackSnapshot,
)
from pipelines.rules import Seconds

if TYPE_CHECKING:
    from pipelines.geometry import Array
    from pipelines.values import Labels

MAX_GAP_S = 1.0  # a longer gap between frames is time that nobody saw

MEASURED = EventType(
    "streamer.heatmap.measured.v1",
    "A heat map",
    "The seconds that objects spent in each cell of a grid over the picture, in a period.",
    {
        "heatmap": {"type": "string", "description": "the rule's name"},
        "columns": {"type": "integer", "description": "of the grid", "minimum": 2},
        "rows": {"type": "integer", "description": "of the grid", "minimum": 2},
        "seconds": {
            "type": "array",
            "description": "rows times columns numbers, row by row from the top left",
            "items": {"type": "number", "minimum": 0},
        },
        "total_s": {"type": "number", "description": "their sum", "minimum": 0},
        "decaying": {
            "type": "boolean",
            "description": "true: older seconds weigh less, by the half-life of the rule",
        },
        **PERIOD,
        **RULE_REV,
    },
)


class HeatmapSpec(AnalyticSpec):
    """Seconds that objects spent in each cell of a grid over the picture."""

    columns: int = Field(default=32, ge=2, le=64)
    rows: int = Field(default=18, ge=2, le=64)
    every_s: Seconds = 900.0
    half_life_s: Seconds | None = None


class Heatmap(RunningRule):
    """One grid. `grid_s` (rows, columns) are seconds."""

    def __init__(self, spec: HeatmapSpec, labels: Labels) -> None:
        import numpy as np

        self.spec = spec
        self._includes = np.array(ClassFilter(labels, spec.classes).includes, np.bool_)
        self.grid_s: Array = np.zeros((spec.rows, spec.columns))
        self._last_s: float | None = None
        self._period = Period(spec.every_s)
        self._weight = 1.0  # with a half-life: new seconds weigh more instead of old ones less

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        ended = self._period.over(snapshot.time_s)
        events = [] if ended is None else [self._event(ended, True)]
        gap_s = 0.0 if self._last_s is None else min(snapshot.time_s - self._last_s, MAX_GAP_S)
        passed_s = 0.0 if self._last_s is None else snapshot.time_s - self._last_s
        self._last_s = snapshot.time_s
        if self.spec.half_life_s is not None:
            self._decay(passed_s / self.spec.half_life_s)
        if gap_s > 0 and snapshot.ids:
            chosen = self._includes[snapshot.class_ids]
            self._add(snapshot.points_xyn[chosen], gap_s * self._weight)
        return events

    def _add(self, points_xyn: Array, seconds: float) -> None:
        """To the cell of each point."""
        import numpy as np

        columns = np.clip((points_xyn[:, 0] * self.spec.columns).astype(np.intp), 0, self.spec.columns - 1)
        rows = np.clip((points_xyn[:, 1] * self.spec.rows).astype(np.intp), 0, self.spec.rows - 1)
        np.add.at(self.grid_s, (rows, columns), seconds)

    def _decay(self, half_lives: float) -> None:
        if half_lives > 50:
            self.grid_s[:] = 0.0
            self._weight = 1.0
            return
        self._weight *= 2.0**half_lives
        if self._weight > 1e6:
            self.grid_s /= self._weight
            self._weight = 1.0

    def _event(self, ended: dict[str, float], complete: bool) -> AnalyticEvent:
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
        return AnalyticEvent(MEASURED.name, data, ended)

    def close(self, time_s: float) -> list[AnalyticEvent]:
        ended = self._period.cut(time_s)
        self._last_s = None
        return [] if ended is None else [self._event(ended, False)]

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


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    return f"{data['columns']} x {data['rows']} cells, {data['total_s']:.1f} s in all"


ANALYTIC = Analytic(
    "heatmap",
    "heatmaps",
    HeatmapSpec,
    lambda spec, context: Heatmap(spec, context.labels),
    events=(MEASURED,),
    summary=_summary,
    max_rules=8,
)
