"""Which tracks are objects: those with enough boxes that speak for one. And which boxes teach what does.

What is counted for this is kept up while it decides something: of a track that is confirmed and has taught
all it may, the counts stand still.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.evidence import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_EVIDENCE = 3.0  # of one box
TEACH_FROM, TEACH_TO = 5, 60  # boxes of a track, by number, that teach the usual score:
# not all, lest one person who stands for an hour sets it
_ONE = np.array(1.0)


class Trust:
    """`all_confirmed` and `all_sure` say whether all tracks are confirmed, and have had a sure box."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self.all_confirmed = self.all_sure = True
        self._all_old = True
        self._teaches: Bools = np.zeros(0, np.bool_)  # whose next box teaches, for so many frames more
        self._steady = 0

    def begin(self, fresh: Table) -> None:
        """New tracks have one box, that of `fresh.seen`."""
        evidence = fresh.seen[t.SEEN_EVIDENCE]
        fresh.hits[:] = 1.0
        fresh.sure_hits[:] = evidence >= 0
        fresh.evidence[:] = np.minimum(np.maximum(evidence, 0.0), MOST_EVIDENCE)
        if self._settings.confirm_hits <= 1:
            fresh.confirmed[:] = fresh.evidence >= self._settings.confirm_evidence
        self.all_confirmed = self._all_old = False
        self.all_sure = self.all_sure and fresh.sure_hits.item(fresh.sure_hits.argmin()) > 0
        self._steady = 0

    def count(self, tracks: Table, matched: Bools | None, scale: ScoreScale) -> None:
        """Count the boxes that the tracks `matched` (N,), None for all, were just matched with."""
        if self._all_old:
            return
        tracks.hits += _ONE if matched is None else matched
        if not self.all_confirmed:
            self._confirm(tracks, matched)
        self._steady -= 1
        if self._steady < 0:
            self._grow_old(tracks.hits)
        taught = self._teaches if matched is None else self._teaches & matched
        if not self.all_confirmed:
            taught = taught & (tracks.confirmed > t.NONE)
            self._look(tracks)
        scale.learn(tracks.seen[t.SEEN_EVIDENCE], taught)

    def _grow_old(self, hits: Array) -> None:
        """Find out who teaches, and for how many frames that surely stays as it is."""
        self._teaches = (hits >= TEACH_FROM) & (hits <= TEACH_TO)
        ahead = [(TEACH_FROM if n < TEACH_FROM else TEACH_TO + 1) - n for n in hits.tolist() if n <= TEACH_TO]
        self._all_old = self.all_confirmed and not ahead
        self._steady = int(min(ahead, default=0)) - 1

    def _confirm(self, tracks: Table, matched: Bools | None) -> None:
        evidence, settings = tracks.seen[t.SEEN_EVIDENCE], self._settings
        sure = evidence >= 0
        gained = np.minimum(evidence, MOST_EVIDENCE)
        if matched is not None:
            sure &= matched
            gained *= matched
        tracks.sure_hits += sure
        gained *= tracks.sure_hits > 0
        tracks.evidence += gained
        proven = tracks.evidence >= settings.confirm_evidence
        proven &= tracks.sure_hits >= settings.confirm_hits
        if matched is not None:
            proven &= matched
        np.maximum(tracks.confirmed, proven, out=tracks.confirmed)

    def look(self, tracks: Table) -> None:
        """Find out whether there is anything to count, where tracks have come or gone."""
        self._steady = 0
        self._look(tracks)

    def _look(self, tracks: Table) -> None:
        if not tracks.n:
            self.all_confirmed = self.all_sure = self._all_old = True
            return
        self.all_confirmed = tracks.confirmed.item(tracks.confirmed.argmin()) > 0
        self.all_sure = tracks.sure_hits.item(tracks.sure_hits.argmin()) > 0
        self._all_old = self.all_confirmed and tracks.hits.item(tracks.hits.argmin()) > TEACH_TO
