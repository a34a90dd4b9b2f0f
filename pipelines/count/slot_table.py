"""What a rule remembers of each track, in slots: rows that the smoother allots to tracks and gives to others
once they are over."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_NO_ROWS: Index = np.zeros(0, np.intp)
_GROWTH = 8  # slots added beyond the largest row asked for


class SlotTable:
    """Columns of float64, all 0 at first, by the rows that the smoother gives to tracks.

    Who is in the picture changes seldom: while a caller hands in the same array of rows (the same object, as
    BoxSmoother does), it gets the same columns back, and a frame costs neither gathering nor scattering.
    """

    def __init__(self, columns: int) -> None:
        self._all: Array = np.zeros((columns, 0))
        self._rows = _NO_ROWS
        self._gathered: Array = self._all

    def at(self, rows: Index) -> Array:
        """(columns, N) of the tracks in `rows` (N,), to be changed in place; good until the next call."""
        if rows is not self._rows:
            self._settle()
            missing = int(rows.max(initial=-1)) + 1 - self._all.shape[1]
            if missing > 0:
                self._all = np.pad(self._all, ((0, 0), (0, missing + _GROWTH)))
            self._rows, self._gathered = rows, np.take(self._all, rows, axis=1)
        return self._gathered

    def all(self) -> Array:
        """(columns, rows) of all tracks, to be read."""
        self._settle()
        return self._all

    def clear(self, rows: Index) -> None:
        """These rows now belong to nobody."""
        self._settle()
        self._all[:, rows[rows < self._all.shape[1]]] = 0.0
        self._rows, self._gathered = _NO_ROWS, self._all[:, :0]

    def _settle(self) -> None:
        self._all[:, self._rows] = self._gathered

    def save(self) -> Any:
        """Plain data, from which `restore` goes on."""
        return pack(self.all())

    def restore(self, saved: Any) -> None:
        """Raises ValueError where `saved` is not from a table of as many columns."""
        self._all = unpack(saved, np.float64, (len(self._all), -1))
        self._rows, self._gathered = _NO_ROWS, self._all[:, :0]


def pack(array: npt.NDArray[Any]) -> str:
    """The numbers of an array as text: base64 of its bytes, which is far cheaper than lists of numbers."""
    return base64.b64encode(array.tobytes()).decode("ascii")


def unpack(text: Any, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The inverse of `pack`, -1 in `shape` where any length will do. Raises ValueError for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
        array = np.frombuffer(raw, dtype).reshape(shape)
    except (TypeError, binascii.Error, ValueError) as error:
        raise ValueError(f"a saved table is damaged: {error}") from error
    return array.copy()
