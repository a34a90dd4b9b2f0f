"""Who is in one polygon: entries, exits with dwell, and occupancy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import point_in_polygon
from pipelines.spec import ZoneSpec
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Visit:
    inside: bool
    since_s: float  # when the present state of `inside` began
    against_s: float | None  # since when the point says otherwise
    seen_s: float
    class_id: int


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """A track entered (`dwell_s` None) or left the zone; `row` is None where it ended inside."""

    track_id: int
    row: int | None
    class_id: int
    entered: bool
    time_s: float
    dwell_s: float | None


class ZoneCounter:
    """A track changes between inside and outside when its anchor point has said so for `SETTLE_S`.

    A track that is lost inside leaves when it was last seen, `FORGET_S` later.
    """

    SETTLE_S = 0.3
    FORGET_S = 2.0

    def __init__(self, spec: ZoneSpec) -> None:
        self.spec = spec
        self._polygon = np.asarray(spec.points, np.float64)
        self._visits: dict[int, _Visit] = {}

    @property
    def occupancy(self) -> dict[int, int]:
        """How many are inside, by class id."""
        counts: dict[int, int] = {}
        for visit in self._visits.values():
            if visit.inside:
                counts[visit.class_id] = counts.get(visit.class_id, 0) + 1
        return counts

    def update(
        self, time_s: float, tracks: Tracks, anchors: Array, rows: npt.NDArray[np.intp]
    ) -> list[ZoneChange]:
        """Look at the tracks in `rows`; `anchors` (N, 2) are the anchor points of all tracks."""
        found: list[ZoneChange] = []
        inside = point_in_polygon(anchors[rows], self._polygon) if len(rows) else np.zeros(0, np.bool_)
        for row, now_inside in zip(rows.tolist(), inside.tolist(), strict=True):
            track_id = int(tracks.track_ids[row])
            change = self._step(row, track_id, int(tracks.class_ids[row]), now_inside, time_s)
            if change is not None:
                found.append(change)
        found.extend(self._forget(time_s))
        return found

    def _step(self, row: int, track_id: int, class_id: int, inside: bool, time_s: float) -> ZoneChange | None:
        visit = self._visits.get(track_id)
        if visit is None:
            visit = self._visits[track_id] = _Visit(False, time_s, None, time_s, class_id)
        visit.seen_s = time_s
        visit.class_id = class_id
        if inside == visit.inside:
            visit.against_s = None
            return None
        if visit.against_s is None:
            visit.against_s = time_s
        if time_s - visit.against_s < self.SETTLE_S:
            return None
        began = visit.against_s
        dwell = None if inside else began - visit.since_s
        visit.inside, visit.since_s, visit.against_s = inside, began, None
        return ZoneChange(track_id, row, class_id, inside, began, dwell)

    def _forget(self, time_s: float) -> list[ZoneChange]:
        found = []
        for track_id, visit in list(self._visits.items()):
            if time_s - visit.seen_s > self.FORGET_S:
                del self._visits[track_id]
                if visit.inside:
                    dwell = visit.seen_s - visit.since_s
                    found.append(ZoneChange(track_id, None, visit.class_id, False, visit.seen_s, dwell))
        return found

    def save(self) -> list[list[Any]]:
        return [[k, v.inside, v.since_s, v.against_s, v.seen_s, v.class_id] for k, v in self._visits.items()]

    def restore(self, saved: list[list[Any]]) -> None:
        self._visits = {
            int(k): _Visit(bool(i), float(s), None if a is None else float(a), float(t), int(c))
            for k, i, s, a, t, c in saved
        }
