"""Which tracks are objects: a track is tentative until enough detections speak for one, then confirmed, as in
SORT. And the boxes of tentative tracks: a line may lie behind them already when they are shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import TrackState
from pipelines.values import Bools

Array = npt.NDArray[np.float64]

MAX_EVIDENCE = 3.0  # of one detection: no single one makes an object
TEACH_FROM, TEACH_TO = 5, 60  # detections of a track, by number, that teach the usual score: the first may be
# of nothing, and not all, lest one person who stands for an hour sets it
HISTORY = 32  # boxes of a tentative track that are remembered: more than it needs at any usual score


class Confirmation:
    """SORT confirms after so many hits in a row; here each hit counts by how much its score speaks for an
    object, from the first high detection on, since before that it may be anything."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings

    def begin(self, new: TrackState) -> None:
        """New tracks have one detection."""
        new.hits[:] = 1.0
        new.sure_hits[:] = new.last_evidence >= 0
        new.evidence[:] = np.clip(new.last_evidence, 0.0, MAX_EVIDENCE)
        for track in range(new.n):
            self._confirm(new, track)

    def count(self, tracks: TrackState, matched: Bools) -> None:
        """The `matched` ones (N,) of the tracks, in place, just got one detection more."""
        tracks.hits += matched
        tentative = (tracks.confirmed * tracks.sure_hits < matched).nonzero()[0]
        for track in tentative.tolist():  # few, mostly
            evidence = tracks.last_evidence.item(track)
            tracks.sure_hits[track] += evidence >= 0
            if tracks.sure_hits.item(track):
                tracks.evidence[track] += min(evidence, MAX_EVIDENCE)
            self._confirm(tracks, track)

    def _confirm(self, tracks: TrackState, track: int) -> None:
        sure_hits, evidence = tracks.sure_hits.item(track), tracks.evidence.item(track)
        if sure_hits >= self._settings.confirm_hits and evidence >= self._settings.confirm_evidence:
            tracks.confirmed[track] = 1.0

    @staticmethod
    def teach(tracks: TrackState, matched: Bools, scale: ScoreScale) -> None:
        """The detections that the `matched` ones (N,) of the tracks just got teach what scores are usual, as
        far as they surely are objects'."""
        teaches = (tracks.hits <= TEACH_TO) & matched
        if not np.count_nonzero(teaches):
            return  # where the tracks are old
        teaches &= tracks.hits * tracks.confirmed >= TEACH_FROM
        scale.learn(tracks.last_evidence[teaches])

    @staticmethod
    def join(tracks: TrackState, column: int, earlier: int) -> None:
        """A track has the detections of another too."""
        for count in (tracks.hits, tracks.sure_hits, tracks.evidence):
            count[column] += count[earlier]


class TentativeHistory:
    """By track id, for each track until it is shown: rows of time in seconds, sides and evidence."""

    def __init__(self) -> None:
        self._boxes: dict[int, list[list[float]]] = {}

    def begin(self, new: TrackState) -> None:
        """New tracks have one box."""
        self._boxes.update((track_id, []) for track_id in new.ids.tolist())
        self.remember(new, np.ones(new.n, np.bool_))

    def remember(self, tracks: TrackState, matched: Bools) -> None:
        """Keep the last boxes of the `matched` ones (N,) of the tracks, as far as they were never shown."""
        if not self._boxes:
            return  # often
        for track in matched.nonzero()[0].tolist():
            boxes = self._boxes.get(int(tracks.id.item(track)))
            if boxes is not None and len(boxes) < HISTORY:
                sides = (t.TO_SIDES @ tracks.last_box[:, track]).tolist()
                boxes.append([tracks.last_s.item(track), *sides, tracks.last_evidence.item(track)])

    def join(self, track_id: int, earlier: int) -> None:
        """A track begins with the boxes of another."""
        self._boxes[track_id] = (self._boxes.get(earlier, []) + self._boxes.get(track_id, []))[:HISTORY]

    def forget(self, track_ids: list[int]) -> None:
        for track_id in track_ids:
            self._boxes.pop(track_id, None)

    def give(self, track_ids: npt.NDArray[np.int64], now_s: float) -> dict[int, Array]:
        """For those of the shown tracks that are shown for the first time: (K, 6) ages in seconds, sides and
        evidence of their boxes before now, oldest first."""
        history: dict[int, Array] = {}
        if not self._boxes:
            return history
        for track_id in self._boxes.keys() & track_ids.tolist():
            before = [[now_s - box[0], *box[1:]] for box in self._boxes.pop(track_id) if box[0] < now_s]
            history[track_id] = np.array(before, np.float64).reshape(-1, 6)
        return history

    def save(self) -> list[Any]:
        return [[track_id, boxes] for track_id, boxes in self._boxes.items()]

    def restore(self, saved: list[Any]) -> None:
        self._boxes = {int(k): [list(map(float, box)) for box in boxes] for k, boxes in saved}
