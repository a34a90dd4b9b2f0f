"""Who is in one polygon: entries, exits with dwell, and occupancy, on places smoothed with hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.smoothing import Places, Smoother
from pipelines.geometry import point_in_polygon
from pipelines.spec import ZoneSpec

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

SETTLE_S = 0.2  # a track changes between inside and outside when its point has said so for this long
LOST_S = 2.0  # a track lost inside has left when it was last seen; that is known so much later


@dataclass(slots=True)
class _Visit:
    track_id: int
    inside: bool
    since_s: float  # when the present state of `inside` began
    against_s: float | None  # since when the point says otherwise
    seen_s: float
    class_id: int


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """A track entered (`dwell_s` None) or left the zone."""

    track_id: int
    class_id: int
    entered: bool
    time_s: float
    dwell_s: float | None


class ZoneCounter:
    """The visits of one zone. A track that is seen inside from its first moment entered at that moment."""

    def __init__(self, spec: ZoneSpec) -> None:
        self.spec = spec
        self._polygon = np.asarray(spec.points, np.float64)
        self._visits: dict[int, _Visit] = {}  # by row

    @property
    def occupancy(self) -> dict[int, int]:
        """How many are inside, by class id."""
        counts: dict[int, int] = {}
        for visit in self._visits.values():
            if visit.inside:
                counts[visit.class_id] = counts.get(visit.class_id, 0) + 1
        return counts

    @property
    def inside(self) -> dict[int, float]:
        """Who is inside: track id -> since when, in seconds."""
        return {v.track_id: v.since_s for v in self._visits.values() if v.inside}

    def update(
        self, places: Places, chosen: npt.NDArray[np.bool_], anchors: Array, smoother: Smoother
    ) -> list[ZoneChange]:
        """Take the places of one frame; `chosen` (N,) are the tracks that this zone counts and `anchors`
        (N, 2) their points."""
        found: list[ZoneChange] = []
        index = np.flatnonzero(chosen)
        if len(index):
            inside = point_in_polygon(anchors[index], self._polygon).tolist()
            rows = places.rows[index].tolist()
            classes = places.class_ids[index].tolist()
            for row, class_id, now_inside in zip(rows, classes, inside, strict=True):
                change = self._step(row, int(smoother.ids[row]), class_id, now_inside, places.time_s)
                if change is not None:
                    found.append(change)
        found.extend(self._lose(places.time_s))
        return found

    def _step(self, row: int, track_id: int, class_id: int, inside: bool, time_s: float) -> ZoneChange | None:
        visit = self._visits.get(row)
        if visit is None:
            visit = self._visits[row] = _Visit(track_id, False, time_s, None, time_s, class_id)
        visit.seen_s = time_s
        visit.class_id = class_id
        if inside == visit.inside:
            visit.against_s = None
            return None
        if visit.against_s is None:
            visit.against_s = time_s
        if time_s - visit.against_s < SETTLE_S - 1e-6:
            return None
        began = visit.against_s
        dwell = None if inside else began - visit.since_s
        visit.inside, visit.since_s, visit.against_s = inside, began, None
        return ZoneChange(track_id, class_id, inside, began, dwell)

    def _lose(self, time_s: float) -> list[ZoneChange]:
        late = [row for row, visit in self._visits.items() if time_s - visit.seen_s > LOST_S]
        return [change for row in late if (change := self._leave(row)) is not None]

    def _leave(self, row: int) -> ZoneChange | None:
        visit = self._visits.pop(row, None)
        if visit is None or not visit.inside:
            return None
        dwell = visit.seen_s - visit.since_s
        return ZoneChange(visit.track_id, visit.class_id, False, visit.seen_s, dwell)

    def close(self) -> list[ZoneChange]:
        """All that are inside leave when they were last seen."""
        return [change for row in list(self._visits) if (change := self._leave(row)) is not None]

    def forget(self, rows: Index) -> list[ZoneChange]:
        """These rows now belong to nobody."""
        return [change for row in rows.tolist() if (change := self._leave(row)) is not None]

    def save(self) -> list[list[Any]]:
        return [
            [row, v.track_id, v.inside, v.since_s, v.against_s, v.seen_s, v.class_id]
            for row, v in self._visits.items()
        ]

    def restore(self, saved: list[list[Any]]) -> None:
        self._visits = {
            int(row): _Visit(int(k), bool(i), float(s), None if a is None else float(a), float(t), int(c))
            for row, k, i, s, a, t, c in saved
        }
