"""The boxes of tracks that are not shown yet: a line may lie behind them already when they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track.state import Table

Array = npt.NDArray[np.float64]

HISTORY = 32  # boxes of a track


class Early:
    """Rows of time in seconds, sides and evidence, by track id, for each track until it is shown."""

    def __init__(self) -> None:
        self._rows: dict[int, list[list[float]]] = {}

    def begin(self, fresh: Table) -> None:
        """New tracks have one box."""
        for column, track_id in enumerate(fresh.ids.tolist()):
            self._rows[track_id] = [_row(fresh, column)]

    def remember(self, tracks: Table, columns: list[int]) -> None:
        """Keep the last boxes of these tracks."""
        for column in columns:
            rows = self._rows.get(int(tracks.id.item(column)))
            if rows is not None and len(rows) < HISTORY:
                rows.append(_row(tracks, column))

    def join(self, track_id: int, earlier: int) -> None:
        """A track begins with the boxes of another."""
        self._rows[track_id] = (self._rows.get(earlier, []) + self._rows.get(track_id, []))[:HISTORY]

    def forget(self, track_ids: list[float]) -> None:
        for track_id in track_ids:
            self._rows.pop(int(track_id), None)

    def give(self, track_ids: npt.NDArray[np.int64], now_s: float) -> dict[int, Array]:
        """For those of the tracks that were never given: (K, 6) ages in seconds, sides and evidence of
        their boxes before now, oldest first."""
        found: dict[int, Array] = {}
        if not self._rows:
            return found
        for track_id in self._rows.keys() & track_ids.tolist():
            before = [[now_s - row[0], *row[1:]] for row in self._rows.pop(track_id) if row[0] < now_s]
            found[track_id] = np.array(before, np.float64).reshape(-1, 6)
        return found

    def save(self) -> list[Any]:
        return [[track_id, rows] for track_id, rows in self._rows.items()]

    def restore(self, saved: list[Any]) -> None:
        self._rows = {int(k): [list(map(float, row)) for row in rows] for k, rows in saved}


def _row(tracks: Table, column: int) -> list[float]:
    s, x, y, width, height, _, evidence, _ = tracks.seen_columns[column].tolist()
    half_width, half_height = 0.5 * width, 0.5 * height
    return [s, x - half_width, y - half_height, x + half_width, y + half_height, evidence]
