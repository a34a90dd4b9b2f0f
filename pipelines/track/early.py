"""The boxes of tracks that are not shown yet: a line may lie behind them already when they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HISTORY = 32  # boxes of a track


class Early:
    """Rows of time in seconds, sides and evidence, by track id, for each track until it is shown."""

    def __init__(self) -> None:
        self._rows: dict[int, list[list[float]]] = {}

    def begin(self, fresh: Table) -> None:
        """New tracks have one box."""
        self._rows.update((track_id, [row]) for track_id, row in _rows(fresh))

    def remember(self, tracks: Table, matched: Bools | None) -> None:
        """Keep the boxes that the tracks `matched` (N,), None for all, were just matched with."""
        if not self._rows:
            return
        young = tracks.confirmed == 0
        if matched is not None:
            young &= matched
        for track_id, row in _rows(tracks, young.nonzero()[0]):
            rows = self._rows.get(track_id)
            if rows is not None and len(rows) < HISTORY:
                rows.append(row)

    def forget(self, track_ids: list[float]) -> None:
        for track_id in track_ids:
            self._rows.pop(int(track_id), None)

    def give(self, track_ids: npt.NDArray[np.int64], now_s: float) -> dict[int, Array]:
        """For those of the tracks that were never given: (K, 6) ages in seconds, sides and evidence of
        their boxes before now, oldest first."""
        found: dict[int, Array] = {}
        if not self._rows:
            return found
        wanted = set(track_ids.tolist())
        for track_id in [k for k in self._rows if k in wanted]:
            table = np.array(self._rows.pop(track_id))
            table[:, 0] = now_s - table[:, 0]
            found[track_id] = table[table[:, 0] > 0]
        return found

    def save(self) -> list[Any]:
        return [[track_id, rows] for track_id, rows in self._rows.items()]

    def restore(self, saved: list[Any]) -> None:
        self._rows = {int(k): [list(map(float, row)) for row in rows] for k, rows in saved}


def _rows(tracks: Table, columns: npt.NDArray[np.intp] | None = None) -> list[tuple[int, list[float]]]:
    """(id, row) of the last boxes of all tracks, or of those of these columns: few, mostly."""
    seen, ids = tracks.seen, tracks.id
    if columns is not None:
        seen, ids = seen.take(columns, axis=1), ids.take(columns)
    return [
        (int(k), [s, x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h, evidence])
        for k, (s, x, y, w, h, _, evidence, _) in zip(ids.tolist(), seen.T.tolist(), strict=True)
    ]
