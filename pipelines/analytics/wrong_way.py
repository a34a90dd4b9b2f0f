"""Who goes against the allowed direction.

At a line: a crossing the other way, told once the object is `min_distance` beyond the line; who turns back
before is none. In a zone: who has gone back by `min_distance` along the arrow `towards` from the farthest it
had come, in a direction within `WITHIN_DEG` of the arrow's opposite; once a visit.
Distances are shares of the picture (of its width across, of its height down).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pipelines.analytics.base import Chosen, Heard, Sight, Told
from pipelines.geometry import Polyline
from pipelines.spec import LineSpec
from pipelines.spec_analytics import WrongWaySpec
from pipelines.values import Labels

WRONG_WAY = "streamer.wrongway.detected.v1"
WITHIN_DEG = 60.0
COSINE = math.cos(math.radians(WITHIN_DEG))


class WrongWayLine:
    """Crossings of a line against its allowed direction."""

    def __init__(self, spec: WrongWaySpec, line: LineSpec, labels: Labels) -> None:
        self.spec = spec
        self._line = Polyline(line.points)
        self._chosen = Chosen(labels, spec.classes)
        self._crossed: dict[int, tuple[int, float, str]] = {}  # track id -> side, time_s, direction

    def hear(self, heard: Heard) -> list[Told]:
        if heard.kind != "crossed" or heard.name != self.spec.line or not self._chosen.wanted[heard.class_id]:
            return []
        if heard.direction == self.spec.allowed:
            self._crossed.pop(heard.track_id, None)
        else:
            self._crossed[heard.track_id] = (heard.side, heard.time_s, heard.direction)
        return []

    def see(self, sight: Sight) -> list[Told]:
        rows = [(k, row) for k in self._crossed if (row := sight.row_of.get(k)) is not None]
        if not rows:
            return []
        beyond, _ = self._line.locate(sight.points_xyn[[row for _, row in rows]])
        found = []
        for (track_id, row), distance in zip(rows, beyond.tolist(), strict=True):
            side, time_s, direction = self._crossed[track_id]
            if time_s <= sight.time_s and distance * side >= self.spec.min_distance:
                del self._crossed[track_id]
                data = {
                    "rule": self.spec.name,
                    "line": self.spec.line,
                    "direction": direction,
                    **self._chosen.names(sight.class_ids[row]),
                    "track_id": track_id,
                    "distance": round(distance * side, 4),
                    "point_xyn": [round(v, 5) for v in sight.points_xyn[row].tolist()],
                }
                found.append(Told(WRONG_WAY, data, {"since": time_s}))
        return found

    def forget(self, track_ids: list[int]) -> list[Told]:
        for track_id in track_ids:
            self._crossed.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[Told]:  # noqa: ARG002
        self._crossed.clear()
        return []

    def save(self) -> Any:
        return [[k, *crossed] for k, crossed in self._crossed.items()]

    def restore(self, saved: Any) -> None:
        self._crossed = {int(k): (int(side), float(t), str(d)) for k, side, t, d in saved}


class WrongWayZone:
    """Movement in a zone against its arrow."""

    def __init__(self, spec: WrongWaySpec, labels: Labels) -> None:
        assert spec.towards is not None
        self.spec = spec
        self._chosen = Chosen(labels, spec.classes)
        arrow = np.subtract(spec.towards[1], spec.towards[0])
        self._arrow = arrow / np.hypot(*arrow)
        # track id -> farthest along the arrow, the point and the time there; None once it was told
        self._farthest: dict[int, tuple[float, float, float, float] | None] = {}

    def see(self, sight: Sight) -> list[Told]:
        inside = sight.inside[self.spec.zone or ""]
        for track_id in [k for k in self._farthest if k not in inside]:
            del self._farthest[track_id]
        rows = [row for k in inside if (row := sight.row_of.get(k)) is not None]
        if not rows:
            return []
        points = sight.points_xyn[rows]
        found = []
        for row, (x, y), along in zip(rows, points.tolist(), (points @ self._arrow).tolist(), strict=True):
            if self._chosen.wanted[sight.class_ids[row]]:
                found.extend(self._step(sight, row, x, y, along))
        return found

    def _step(self, sight: Sight, row: int, x: float, y: float, along: float) -> list[Told]:
        track_id = sight.ids[row]
        farthest = self._farthest.get(track_id, (-math.inf, 0.0, 0.0, 0.0))
        if farthest is None:
            return []
        if along >= farthest[0]:
            self._farthest[track_id] = (along, x, y, sight.time_s)
            return []
        back = farthest[0] - along
        if back < self.spec.min_distance or back < COSINE * math.hypot(x - farthest[1], y - farthest[2]):
            return []
        self._farthest[track_id] = None
        data = {
            "rule": self.spec.name,
            "zone": self.spec.zone,
            **self._chosen.names(sight.class_ids[row]),
            "track_id": track_id,
            "distance": round(back, 4),
            "point_xyn": [round(x, 5), round(y, 5)],
        }
        return [Told(WRONG_WAY, data, {"since": farthest[3]})]

    def hear(self, heard: Heard) -> list[Told]:  # noqa: ARG002
        return []

    def forget(self, track_ids: list[int]) -> list[Told]:
        for track_id in track_ids:
            self._farthest.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[Told]:  # noqa: ARG002
        self._farthest.clear()
        return []

    def save(self) -> Any:
        return [[k, None if f is None else list(f)] for k, f in self._farthest.items()]

    def restore(self, saved: Any) -> None:
        self._farthest = {int(k): None if f is None else (f[0], f[1], f[2], f[3]) for k, f in saved}
