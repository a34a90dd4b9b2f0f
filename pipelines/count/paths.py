"""The compact path of every track, from its first place to its last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.smoothing import Places, Smoother

Index = npt.NDArray[np.intp]

EVERY_S = 0.2
MOST = 600  # points; of a longer path every second point of the older half goes, again and again
SCALE = 10_000  # sides are whole numbers in 1/10000 of the picture


@dataclass(slots=True)
class TrackPath:
    """One track so far. `points` are [milliseconds since `first_s`, x1, y1, x2, y2]; `votes` count places
    by class id; `crossings` counts the lines it was counted on."""

    track_id: int
    first_s: float
    last_s: float
    class_id: int
    crossings: int = 0
    votes: dict[int, int] = field(default_factory=dict)
    points: list[list[int]] = field(default_factory=list)


class PathRecorder:
    """Keeps a point of each track every `EVERY_S` of its smoothed path."""

    def __init__(self) -> None:
        self._paths: dict[int, TrackPath] = {}  # by row

    def update(self, places: Places, smoother: Smoother) -> None:
        """Take the places of one frame."""
        if not len(places.rows):
            return
        sides: list[list[int]] | None = None
        time_s = places.time_s
        for i, (row, class_id) in enumerate(
            zip(places.rows.tolist(), places.class_ids.tolist(), strict=True)
        ):
            path = self._paths.get(row)
            if path is None:
                path = self._paths[row] = TrackPath(int(smoother.ids[row]), time_s, time_s, class_id)
            path.last_s = time_s
            path.class_id = class_id
            path.votes[class_id] = path.votes.get(class_id, 0) + 1
            since_ms = round((time_s - path.first_s) * 1000)
            if path.points and since_ms - path.points[-1][0] < EVERY_S * 1000 - 1:
                continue
            if sides is None:
                sides = np.rint(places.boxes_xyxyn * SCALE).astype(np.int64).tolist()
            path.points.append([since_ms, *sides[i]])
            if len(path.points) > MOST:
                half = MOST // 2
                path.points[:half] = path.points[:half:2]

    def counted(self, row: int) -> None:
        """The track of this row was counted on a line."""
        if row in self._paths:
            self._paths[row].crossings += 1

    def forget(self, rows: Index) -> list[TrackPath]:
        """These tracks are over: their paths."""
        return [self._paths.pop(row) for row in rows.tolist() if row in self._paths]

    def close(self) -> list[TrackPath]:
        """All tracks are over: their paths."""
        left = list(self._paths.values())
        self._paths = {}
        return left

    def save(self) -> list[list[Any]]:
        return [
            [row, p.track_id, p.first_s, p.last_s, p.class_id, p.crossings, list(p.votes.items()), p.points]
            for row, p in self._paths.items()
        ]

    def restore(self, saved: list[list[Any]]) -> None:
        self._paths = {}
        for row, track_id, first_s, last_s, class_id, crossings, votes, points in saved:
            self._paths[int(row)] = TrackPath(
                int(track_id),
                float(first_s),
                float(last_s),
                int(class_id),
                int(crossings),
                {int(c): int(n) for c, n in votes},
                [list(point) for point in points],
            )
