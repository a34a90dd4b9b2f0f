"""The boxes of tracks that are not shown yet: a line may lie behind them already when they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

HISTORY = 32  # boxes of a track


class Early:
    """Rows of time in seconds, sides and evidence, by track id, for each track until it is shown."""

    def __init__(self) -> None:
        self._rows: dict[int, list[list[float]]] = {}

    def begin(self, state: Array, columns: range, now_s: float) -> None:
        for column in columns:
            self._rows[int(state[t.ID, column])] = [_row(state, column, now_s)]

    def remember(self, state: Array, columns: Index, now_s: float) -> None:
        """Keep the boxes that these tracks were just matched with."""
        if not self._rows:
            return
        for column in columns[state[t.CONFIRMED, columns] == 0].tolist():
            rows = self._rows.get(int(state[t.ID, column]))
            if rows is not None and len(rows) < HISTORY:
                rows.append(_row(state, column, now_s))

    def forget(self, track_ids: list[float]) -> None:
        for track_id in track_ids:
            self._rows.pop(int(track_id), None)

    def give(self, track_ids: list[int], now_s: float) -> dict[int, Array]:
        """For those of the tracks that were never given: (K, 6) ages in seconds, sides and evidence of
        their boxes before now, oldest first."""
        found: dict[int, Array] = {}
        if not self._rows:
            return found
        wanted = set(track_ids)
        for track_id in [k for k in self._rows if k in wanted]:
            table = np.array(self._rows.pop(track_id))
            table[:, 0] = now_s - table[:, 0]
            found[track_id] = table[table[:, 0] > 0]
        return found

    def save(self) -> list[Any]:
        return [[track_id, rows] for track_id, rows in self._rows.items()]

    def restore(self, saved: list[Any]) -> None:
        self._rows = {int(k): [list(map(float, row)) for row in rows] for k, rows in saved}


def _row(state: Array, column: int, now_s: float) -> list[float]:
    x, y, w, h = state[t.SEEN_1, column].tolist()
    sides = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    return [now_s, *sides, float(state[t.LAST_EVIDENCE, column])]
