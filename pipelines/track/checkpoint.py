"""A tracker's state as plain data, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t

Array = npt.NDArray[np.float64]

FORMAT = 5


def save(state: Array, votes: Array, rest: dict[str, Any]) -> dict[str, Any]:
    """Of the votes only those that were cast are kept. Cheap: it runs before every event that leaves."""
    cast = np.argwhere(votes > 0)
    return {
        **rest,
        "format": FORMAT,
        "tracks": state.T.tolist(),
        "votes": [
            [r, c, count] for (r, c), count in zip(cast.tolist(), votes[votes > 0].tolist(), strict=True)
        ],
        "classes": int(votes.shape[1]),
    }


def restore(saved: dict[str, Any]) -> tuple[Array, Array, dict[str, Any]]:
    """The state table, the votes and the rest. Raises ValueError where it cannot be understood."""
    if saved.get("format") != FORMAT:
        raise ValueError(f"a tracker state of format {saved.get('format')!r} cannot be restored")
    state = np.array(saved["tracks"], np.float64).reshape(-1, t.ROWS).T.copy()
    if not np.isfinite(state).all():
        raise ValueError("the saved tracker state is damaged: it holds numbers that are not finite")
    votes = np.zeros((state.shape[1], int(saved["classes"])))
    for row, column, count in saved["votes"]:
        votes[int(row), int(column)] = count
    return state, votes, saved
