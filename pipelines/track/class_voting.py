"""Of which class each track is: each of its boxes votes with its score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track.state import Table

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


class Votes:
    """`cast` (N, C) are the votes, `winners` (N,) int32 the classes with most."""

    def __init__(self, cast: Array) -> None:
        self._hold(cast, _most(cast))

    def _hold(self, cast: Array, winners: npt.NDArray[np.int32]) -> None:
        self.cast, self.winners = cast, winners
        self._first: Index = np.arange(0, cast.size, max(cast.shape[1], 1))  # of each, in the flat array

    def widen(self, classes: int) -> None:
        """There are at least so many classes."""
        more = classes - self.cast.shape[1]
        if more > 0:
            cast = np.pad(self.cast, ((0, 0), (0, more)))
            self._hold(cast, _most(cast))

    def count(self, tracks: Table, absent: list[int]) -> None:
        """The boxes vote that the tracks, but those `absent`, were just matched with."""
        if self.cast.shape[1] == 1:
            return  # nothing to choose from
        classes, scores = tracks.seen_class, tracks.seen_score
        if absent:
            scores = scores.copy()
            scores[absent] = 0.0
        at = classes.astype(np.intp)
        at += self._first
        votes = self.cast.reshape(-1)
        votes[at] += scores
        if np.count_nonzero(classes != self.winners):
            self.winners = _most(self.cast)

    def add(self, fresh: Table) -> None:
        """The first boxes of new tracks vote."""
        n, classes = self.cast.shape
        cast = np.zeros((n + fresh.n, classes))
        cast[:n] = self.cast
        first = fresh.seen_class.astype(np.int32)
        scores = fresh.seen_score.tolist()
        for row, class_id in enumerate(first.tolist()):
            cast[n + row, class_id] = scores[row]
        self._hold(cast, np.concatenate((self.winners, first)))

    def keep(self, columns: Index) -> None:
        """Only these tracks are left, in this order."""
        self._hold(self.cast.take(columns, axis=0), self.winners.take(columns))


def _most(cast: Array) -> npt.NDArray[np.int32]:
    """The class of most votes of each track."""
    n, classes = cast.shape
    return cast.argmax(axis=1).astype(np.int32) if classes else np.zeros(n, np.int32)
