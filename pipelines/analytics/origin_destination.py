"""Who goes from which zone to which: turning movements, and their origin-destination matrix.

A movement is counted when a track enters a zone of the rule after it left another one of it, at most
`within_s` ago. The zones lie where the ways into and out of the place are (the arms of a crossing, the doors
of a hall); one that is passed on the way parts a movement in two.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipelines.analytics.base import Chosen, Heard, Period, Sight, Told
from pipelines.spec_analytics import FlowSpec
from pipelines.values import Labels

FLOW_MOVED = "streamer.flow.moved.v1"
FLOW_MATRIX = "streamer.flow.matrix.v1"


class Flow:
    """One rule's movements, and the matrix of the present period."""

    def __init__(self, spec: FlowSpec, labels: Labels) -> None:
        self.spec = spec
        self._chosen = Chosen(labels, spec.classes)
        self._left: dict[int, tuple[str, float]] = {}  # track id -> the zone it was in last, until when
        self._matrix: Counter[tuple[str, str, int]] = Counter()
        self._period = Period(spec.every_s)

    def hear(self, heard: Heard) -> list[Told]:
        if heard.name not in self.spec.zones or heard.kind == "crossed":
            return []
        if not self._chosen.wanted[heard.class_id]:
            return []
        origin, left_s = self._left.get(heard.track_id, ("", 0.0))
        self._left[heard.track_id] = (heard.name, heard.time_s)
        if heard.kind == "exited" or origin in ("", heard.name):
            return []
        travel_s = max(0.0, heard.time_s - left_s)  # zones that overlap: entered before the other is left
        if travel_s > self.spec.within_s:
            return []
        self._matrix[origin, heard.name, heard.class_id] += 1
        data = {
            "flow": self.spec.name,
            "origin": origin,
            "destination": heard.name,
            **self._chosen.names(heard.class_id),
            "track_id": heard.track_id,
            "travel_s": round(travel_s, 3),
        }
        return [Told(FLOW_MOVED, data, {"arrived": heard.time_s})]

    def see(self, sight: Sight) -> list[Told]:
        ended = self._period.over(sight.time_s)
        return [] if ended is None else [self._tell(ended, True)]

    def _tell(self, ended: dict[str, float], complete: bool) -> Told:
        matrix: dict[str, dict[str, Any]] = {}
        for origin in self.spec.zones:
            for destination in self.spec.zones:
                cell = Counter(
                    {c: n for (o, d, c), n in self._matrix.items() if (o, d) == (origin, destination)}
                )
                if cell:
                    matrix.setdefault(origin, {})[destination] = self._chosen.counted(cell)
        total = sum(self._matrix.values())
        self._matrix = Counter()
        data = {"flow": self.spec.name, "count": total, "matrix": matrix, "complete": complete}
        return Told(FLOW_MATRIX, data, ended)

    def forget(self, track_ids: list[int]) -> list[Told]:
        for track_id in track_ids:
            self._left.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[Told]:
        self._left.clear()
        ended = self._period.cut(time_s)
        return [] if ended is None else [self._tell(ended, False)]

    def save(self) -> Any:
        left = [[k, zone, time_s] for k, (zone, time_s) in self._left.items()]
        return [left, [[*key, n] for key, n in self._matrix.items()], self._period.start_s]

    def restore(self, saved: Any) -> None:
        left, matrix, self._period.start_s = saved
        self._left = {int(k): (str(zone), float(time_s)) for k, zone, time_s in left}
        self._matrix = Counter({(str(o), str(d), int(c)): int(n) for o, d, c, n in matrix})
