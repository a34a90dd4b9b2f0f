"""Which tracks are objects: those with enough boxes that speak for one. And which boxes teach what does.

What is counted for this is kept up while it decides something: of a track that is confirmed and has taught
all it may, the counts stand still.
"""

from __future__ import annotations

import numpy as np

from pipelines.track import state as t
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import Table

MOST_EVIDENCE = 3.0  # of one box
TEACH_FROM, TEACH_TO = 5, 60  # boxes of a track, by number, that teach the usual score:
# not all, lest one person who stands for an hour sets it
MOST_STEADY = 1000  # frames


class Trust:
    """`unconfirmed` are the columns of tracks that are not confirmed yet, `young` these and those that never
    had a sure box: few, mostly, so that they are counted one by one. `all_sure`: none is without."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self.all_sure = True
        self.young: list[int] = []
        self.unconfirmed: list[int] = []
        self._teachers: list[int] = []  # whose next box teaches, for so many frames more
        self._steady = 0

    def begin(self, fresh: Table, at: int) -> None:
        """New tracks have one box, that of `fresh.seen`; their columns are those from `at`."""
        evidence = fresh.seen_evidence
        fresh.hits.fill(1.0)
        fresh.sure_hits[:] = evidence >= t.NONE
        np.minimum(np.maximum(evidence, t.NONE), MOST_EVIDENCE, out=fresh.evidence)
        if self._settings.confirm_hits <= 1:
            fresh.confirmed[:] = fresh.evidence >= self._settings.confirm_evidence
        self.young += range(at, at + fresh.n)
        self.unconfirmed += [at + k for k, known in enumerate(fresh.confirmed.tolist()) if not known]
        self.all_sure = self.all_sure and fresh.sure_hits.item(fresh.sure_hits.argmin()) > 0
        self._steady = 0

    def join(self, tracks: Table, column: int, earlier: int) -> None:
        """A track has the boxes of another too."""
        for counted in (tracks.hits, tracks.sure_hits, tracks.evidence):
            counted[column] += counted[earlier]
        self._steady = 0

    def keep(self, tracks: Table, columns: dict[int, int]) -> None:
        """Tracks have gone: which column has become which."""
        self._hold(tracks, [columns[column] for column in self.young if column in columns])
        self._steady = 0

    def look(self, tracks: Table) -> None:
        """Begin with these tracks."""
        self._hold(tracks, list(range(tracks.n)))
        self._steady = 0

    def _hold(self, tracks: Table, young: list[int]) -> None:
        """Of the tracks all are old but these, and some of these, perhaps."""
        confirmed, sure = tracks.confirmed, tracks.sure_hits
        self.young = [c for c in young if not (confirmed.item(c) and sure.item(c))]
        self.unconfirmed = [column for column in self.young if not confirmed.item(column)]
        self.all_sure = all(sure.item(column) for column in self.young)

    def count(self, tracks: Table, absent: list[int], scale: ScoreScale) -> None:
        """Count the boxes that the tracks, but those `absent`, were just matched with."""
        if self.young:
            self._confirm(tracks, absent)
        self._steady -= 1
        if self._steady < 0:
            self._grow_old(tracks.hits.tolist())
        if not self._teachers:
            return
        evidence, silent = tracks.seen_evidence, {*absent, *self.unconfirmed}
        scale.learn([evidence.item(column) for column in self._teachers if column not in silent])

    def _confirm(self, tracks: Table, absent: list[int]) -> None:
        settings = self._settings
        for column in self.young:
            if column in absent:
                continue
            evidence = tracks.seen_evidence.item(column)
            sure_hits = tracks.sure_hits.item(column) + (evidence >= 0)
            tracks.sure_hits[column] = sure_hits
            gained = tracks.evidence.item(column) + (min(evidence, MOST_EVIDENCE) if sure_hits else 0.0)
            tracks.evidence[column] = gained
            if gained >= settings.confirm_evidence and sure_hits >= settings.confirm_hits:
                tracks.confirmed[column] = 1.0
        self._hold(tracks, self.young)

    def _grow_old(self, hits: list[float]) -> None:
        """Find out who teaches, and for how many frames that surely stays as it is."""
        self._teachers = [column for column, n in enumerate(hits) if TEACH_FROM <= n <= TEACH_TO]
        ahead = [(TEACH_FROM if n < TEACH_FROM else TEACH_TO + 1) - n for n in hits if n <= TEACH_TO]
        self._steady = int(min(ahead, default=MOST_STEADY)) - 1
