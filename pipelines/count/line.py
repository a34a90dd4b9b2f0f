"""Crossings of one directed line by tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import Polyline
from pipelines.spec import LineSpec
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Path:
    """What a line remembers of one track: its settled side and the last place there."""

    side: int  # -1 left, +1 right, 0 not settled yet
    distance: float  # at `time_s`, the last moment it was beyond the band on `side`
    time_s: float
    x: float
    y: float
    seen_s: float


@dataclass(frozen=True, slots=True)
class LineCrossing:
    """A track went over the line: `row` in the Tracks given, `side` +1 to the right, -1 to the left."""

    row: int
    side: int
    time_s: float
    point_xyn: tuple[float, float]
    margin: float


class LineCounter:
    """Counts a track when its anchor point has settled on one side of the line and then on the other.

    Settled means farther from the line than a band, which is a share of the box's extent across the line
    and not less than the measured jitter of the box; so that standing on the line counts nothing.
    """

    BAND = 0.05
    JITTERS = 1.0
    FORGET_S = 10.0

    def __init__(self, spec: LineSpec) -> None:
        self.spec = spec
        self._line = Polyline(spec.points)
        self._paths: dict[int, _Path] = {}

    def update(
        self, time_s: float, tracks: Tracks, anchors: Array, rows: npt.NDArray[np.intp]
    ) -> list[LineCrossing]:
        """Look at the tracks in `rows`; `anchors` (N, 2) are the anchor points of all tracks."""
        found: list[LineCrossing] = []
        if len(rows):
            points = anchors[rows]
            distance, normal, beyond = self._line.locate(points)
            boxes = tracks.boxes_xyxyn[rows].astype(np.float64)
            extent = np.abs(normal * (boxes[:, 2:] - boxes[:, :2])).sum(axis=1)
            jitter = np.abs(normal * tracks.jitter_xyn[rows]).sum(axis=1)
            band = np.maximum(self.BAND * extent, self.JITTERS * jitter)
            for i, row in enumerate(rows.tolist()):
                crossing = self._step(
                    row, int(tracks.track_ids[row]), float(distance[i]), float(band[i]), points[i], time_s
                )
                if crossing is not None:
                    found.append(crossing)
        self._forget(time_s)
        return found

    def _step(
        self, row: int, track_id: int, distance: float, band: float, point: Array, time_s: float
    ) -> LineCrossing | None:
        x, y = float(point[0]), float(point[1])
        path = self._paths.get(track_id)
        if path is None:
            path = self._paths[track_id] = _Path(0, distance, time_s, x, y, time_s)
        path.seen_s = time_s
        if abs(distance) <= band:
            return None
        side = 1 if distance > 0 else -1
        crossing = None
        if path.side and side != path.side:
            share = path.distance / (path.distance - distance)
            at = (path.x + share * (x - path.x), path.y + share * (y - path.y))
            if self._line.locate(np.array([at]))[2][0] <= band:
                when = path.time_s + share * (time_s - path.time_s)
                crossing = LineCrossing(row, side, when, at, abs(distance))
        path.side, path.distance, path.time_s, path.x, path.y = side, distance, time_s, x, y
        return crossing

    def _forget(self, time_s: float) -> None:
        old = [k for k, p in self._paths.items() if time_s - p.seen_s > self.FORGET_S]
        for key in old:
            del self._paths[key]

    def save(self) -> list[list[float]]:
        return [[k, p.side, p.distance, p.time_s, p.x, p.y, p.seen_s] for k, p in self._paths.items()]

    def restore(self, saved: list[list[Any]]) -> None:
        self._paths = {int(k): _Path(int(side), *map(float, rest)) for k, side, *rest in saved}
