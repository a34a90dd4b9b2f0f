"""Who is in one polygon: entries, exits with dwell, and occupancy, on places smoothed with hindsight.

A track changes between inside and outside when its point has said so for `SETTLE_S` and came farther from the
edge than the band of a line (line.py), so that who stands on the edge does not come and go; in a zone that is
hardly wider than the band, than `SHARE` of the way to its middle. Where a track is first seen it is at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.count.box_smoothing import SmoothedBoxes
from pipelines.count.line import band_widths
from pipelines.count.slot_table import SlotTable
from pipelines.geometry import Polygon
from pipelines.rules import ZoneSpec

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

SETTLE_S = 0.2
SHARE = 0.5
LOST_S = 2.0  # a track lost inside has left when it was last seen; that is known so much later


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """A track entered (`dwell_s` None) or left the zone."""

    track_id: int
    class_id: int
    entered: bool
    time_s: float
    dwell_s: float | None


# Columns of the table over the rows of the tracks, 0 where a track has not been seen in this zone's classes.
_VISIT = 0  # numbers the tracks in the order in which they were first seen, from 1
_ID = 1
_CLASS = 2
_INSIDE = 3  # 1 inside, 0 outside
_SINCE_S = 4  # when the present state began
_DOUBT = 5  # 1 while the point says otherwise,
_DOUBT_S = 6  # and since when it does
_SEEN_S = 7
_CALM = 8  # what a point says that changes nothing: 1 outside, 2 inside; 0 where any matters
_REACHED = 9  # 1 where a place was beyond the band since then, or the track has no side yet
_SIDED = 10  # 1 once it has
_COLUMNS = 11


class HasIds(Protocol):
    """A smoother, as far as it matters here: the track of each row."""

    ids: npt.NDArray[np.int64]


class ZoneCounter:
    """The visits of one zone. A track that is seen inside from its first moment entered at that moment."""

    def __init__(self, spec: ZoneSpec) -> None:
        self.spec = spec
        self._polygon = Polygon(np.asarray(spec.points))
        self._widest = SHARE * self._polygon.inner_radius()  # band
        self._table = SlotTable(_COLUMNS)
        self._visits = 0
        self._oldest_s = -np.inf  # no track of the table was last seen before

    @property
    def occupancy(self) -> dict[int, int]:
        """How many are inside, by class id."""
        counts: dict[int, int] = {}
        table = self._table.all()
        for class_id in table[_CLASS, table[_INSIDE] > 0].astype(int).tolist():
            counts[class_id] = counts.get(class_id, 0) + 1
        return counts

    @property
    def inside(self) -> dict[int, float]:
        """Who is inside: track id -> since when, in seconds."""
        table = self._table.all()
        rows = self._in_order(table[_INSIDE] > 0)
        return dict(zip(table[_ID, rows].astype(int).tolist(), table[_SINCE_S, rows].tolist(), strict=True))

    def _in_order(self, which: npt.NDArray[np.bool_]) -> Index:
        """The rows that `which` tells, in the order in which their tracks were first seen."""
        rows = np.flatnonzero(which)
        order = self._table.all()[_VISIT, rows].argsort()
        return np.asarray(rows[order])

    def update(self, places: SmoothedBoxes, anchors: Array, smoother: HasIds) -> list[ZoneChange]:
        """Take the places of one frame of the tracks that this zone counts, and their points (N, 2)."""
        found: list[ZoneChange] = []
        time_s = places.time_s
        if len(places.rows):
            state = self._table.at(places.rows)
            inside = self._polygon.holds(anchors)
            state[_SEEN_S] = time_s
            state[_CLASS] = places.class_ids
            news = inside + 1 != state[_CALM]
            if news.any():
                for i in np.flatnonzero(news).tolist():
                    track: list[float] = state[:, i].tolist()
                    if not track[_VISIT]:
                        self._begin(track, int(smoother.ids[places.rows[i]]), time_s)
                    beyond = bool(inside[i]) != bool(track[_INSIDE]) and self._beyond(places, anchors, i)
                    change = _step(track, bool(inside[i]), beyond, time_s)
                    state[:, i] = track
                    if change is not None:
                        found.append(change)
        if time_s - self._oldest_s > LOST_S:
            found.extend(self._lose(time_s))
        return found

    def _beyond(self, places: SmoothedBoxes, anchors: Array, i: int) -> bool:
        """Whether the point of the track is farther from the edge than the band."""
        way = self._polygon.to_edge(anchors[i : i + 1])[0]
        far = float(np.hypot(*way))
        if not far:
            return False
        normal = (way / far).tolist()
        width, _ = band_widths(normal, places.boxes_xyxyn[i].tolist(), places.noise_xyn[i].tolist())
        return far > min(width, self._widest)

    def _begin(self, track: list[float], track_id: int, time_s: float) -> None:
        self._visits += 1
        track[_VISIT], track[_ID], track[_SINCE_S] = self._visits, track_id, time_s
        self._oldest_s = min(self._oldest_s, time_s)

    def _lose(self, time_s: float) -> list[ZoneChange]:
        table = self._table.all()
        late = (table[_VISIT] > 0) & (time_s - table[_SEEN_S] > LOST_S)
        found = self._leave(self._in_order(late))
        self._oldest_s = float(table[_SEEN_S, table[_VISIT] > 0].min(initial=time_s))
        return found

    def _leave(self, rows: Index) -> list[ZoneChange]:
        """These tracks are gone; those that were inside left when they were last seen."""
        table = self._table.all()
        found = []
        for row in rows.tolist():
            track: list[float] = table[:, row].tolist()
            if track[_INSIDE]:
                dwell_s = track[_SEEN_S] - track[_SINCE_S]
                found.append(ZoneChange(int(track[_ID]), int(track[_CLASS]), False, track[_SEEN_S], dwell_s))
        self._table.clear(rows)
        return found

    def close(self) -> list[ZoneChange]:
        """All that are inside leave when they were last seen."""
        return self._leave(self._in_order(self._table.all()[_VISIT] > 0))

    def forget(self, rows: Index) -> list[ZoneChange]:
        """These rows now belong to nobody."""
        return self._leave(rows[rows < self._table.all().shape[1]])

    def save(self) -> list[Any]:
        return [self._visits, self._table.save()]

    def restore(self, saved: list[Any]) -> None:
        """Go on from `save`. Raises ValueError where it is damaged."""
        visits, table = saved
        self._table.restore(table)
        self._visits, self._oldest_s = int(visits), -np.inf


def _step(track: list[float], inside: bool, beyond: bool, time_s: float) -> ZoneChange | None:
    """What one place of a track changes, `beyond` the band or not, if it has said so for long enough."""
    if inside == bool(track[_INSIDE]):
        track[_DOUBT], track[_CALM], track[_SIDED] = 0.0, 1.0 + inside, 1.0
        return None
    if not track[_DOUBT]:
        track[_DOUBT], track[_DOUBT_S], track[_CALM] = 1.0, time_s, 0.0
        track[_REACHED] = float(not track[_SIDED])
    track[_REACHED] = max(track[_REACHED], float(beyond))
    began_s = track[_DOUBT_S]
    if not track[_REACHED] or time_s - began_s < SETTLE_S - 1e-6:
        return None
    dwell_s = None if inside else began_s - track[_SINCE_S]
    track[_INSIDE], track[_SINCE_S], track[_DOUBT] = float(inside), began_s, 0.0
    track[_CALM], track[_SIDED] = 1.0 + inside, 1.0
    return ZoneChange(int(track[_ID]), int(track[_CLASS]), inside, began_s, dwell_s)
