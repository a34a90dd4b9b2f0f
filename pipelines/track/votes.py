"""Of which class each track is: each of its boxes votes with its score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


class Votes:
    """`cast` (N, C) are the votes, `winners` (N,) int32 the classes with most."""

    def __init__(self, cast: Array) -> None:
        self.cast = cast
        self._elect()

    def _elect(self) -> None:
        n, classes = self.cast.shape
        self.winners: npt.NDArray[np.int32] = (
            self.cast.argmax(axis=1).astype(np.int32) if classes else np.zeros(n, np.int32)
        )
        self._first: Index = np.arange(0, self.cast.size, max(classes, 1))  # of each track, in the flat array

    def widen(self, classes: int) -> None:
        """There are at least so many classes."""
        more = classes - self.cast.shape[1]
        if more > 0:
            self.cast = np.pad(self.cast, ((0, 0), (0, more)))
            self._elect()

    def count(self, tracks: Table, matched: Bools | None) -> None:
        """The boxes vote that the tracks `matched` (N,), None for all, were just matched with."""
        if self.cast.shape[1] == 1:
            return  # nothing to choose from
        classes, scores = tracks.seen[t.SEEN_CLASS], tracks.seen[t.SEEN_SCORE]
        if matched is not None:
            scores = scores * matched
        at = classes.astype(np.intp)
        at += self._first
        votes = self.cast.reshape(-1)
        votes[at] += scores
        if np.count_nonzero(classes != self.winners):
            self.winners = self.cast.argmax(axis=1).astype(np.int32)

    def add(self, fresh: Table) -> None:
        """The first boxes of new tracks vote."""
        cast = np.zeros((fresh.n, self.cast.shape[1]))
        cast[np.arange(fresh.n), fresh.seen[t.SEEN_CLASS].astype(np.intp)] = fresh.seen[t.SEEN_SCORE]
        self.cast = np.concatenate((self.cast, cast))
        self._elect()

    def keep(self, columns: Index) -> None:
        """Only these tracks are left, in this order."""
        self.cast = self.cast[columns]
        self._elect()
