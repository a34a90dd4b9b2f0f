"""What leaves a tracker: the tracks that are shown of each frame, and its state as plain data and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.confirmation import TentativeHistory
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import TrackState
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The shown box of a track with this factor of acceleration is half estimate, half matched box: the estimate
# is behind where an object speeds up or turns, the box is noisy where it does not.
LIVELY = 0.3

FORMAT = 6


class TrackOutput:
    """Makes what is shown of the tracks of a camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings

    def tracks(
        self, tracks: TrackState, class_ids: npt.NDArray[np.int32], history: TentativeHistory, now_s: float
    ) -> Tracks:
        """The confirmed tracks that have a box now, or that one has missed whose place is surely known.

        `class_ids` (N,) are those of all tracks.
        """
        observed = tracks.last_s == now_s
        shown = (now_s - tracks.last_s <= self._settings.coast_s) & (tracks.confirmed > 0)
        for track in (shown > observed).nonzero()[0].tolist():  # few
            shown[track] = self._surely_there(tracks, track)
        index = shown.nonzero()[0]
        if not len(index):
            return Tracks.empty()
        lively = observed.astype(np.float64)
        lively *= tracks.maneuver / (tracks.maneuver + LIVELY)
        boxes = tracks.box + lively * (tracks.last_box - tracks.box)
        jitter = np.sqrt(tracks.noise) * tracks.size
        last = tracks.last[t.SCORE : t.EVIDENCE + 1]
        # Rows: the shown sides, the measured sides, jitter in x and y, score, evidence.
        rows = (t.TO_SIDES.dot(boxes), t.TO_SIDES.dot(tracks.last_box), jitter, last)
        numbers = np.concatenate(rows, dtype=np.float32, casting="same_kind").take(index, axis=1)
        ids = tracks.ids[index]
        return Tracks(
            track_ids=ids,
            boxes_xyxyn=numbers[0:4].T,
            scores=numbers[10],
            class_ids=class_ids[index],
            observed=observed[index],
            jitter_xyn=numbers[8:10].T,
            measured_xyxyn=numbers[4:8].T,
            evidence=numbers[11],
            history=history.give(ids, now_s),
        )

    def _surely_there(self, tracks: TrackState, track: int) -> bool:
        """Whether the place of a track has a standard deviation of `coast_doubt` sizes at most."""
        size, variance, doubt = tracks.size.item, tracks.p_xx.item, self._settings.coast_doubt
        return all(variance(axis, track) <= (doubt * size(axis, track)) ** 2 for axis in (0, 1))


def save(tracks: TrackState, votes: Array, rest: dict[str, Any]) -> dict[str, Any]:
    """Of the votes only those that were cast are kept. Cheap: it runs before every event that leaves."""
    cast = np.argwhere(votes > 0)
    return {
        **rest,
        "format": FORMAT,
        "tracks": tracks.data.T.tolist(),
        "votes": [
            [r, c, count] for (r, c), count in zip(cast.tolist(), votes[votes > 0].tolist(), strict=True)
        ],
        "classes": int(votes.shape[1]),
    }


def restore(saved: dict[str, Any]) -> tuple[TrackState, Array, dict[str, Any]]:
    """The tracks, their votes and the rest. Raises ValueError where it cannot be understood."""
    if saved.get("format") != FORMAT:
        raise ValueError(f"a tracker state of format {saved.get('format')!r} cannot be restored")
    data = np.array(saved["tracks"], np.float64).reshape(-1, t.ROWS).T
    if not np.isfinite(data).all():
        raise ValueError("the saved tracker state is damaged: it holds numbers that are not finite")
    tracks = TrackState(np.ascontiguousarray(data))
    votes = np.zeros((tracks.n, int(saved["classes"])))
    for row, column, count in saved["votes"]:
        votes[int(row), int(column)] = count
    return tracks, votes, saved
