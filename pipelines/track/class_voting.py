"""Of which class each track is: each of its detections votes with its score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.values import Bools

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


class ClassVoting:
    """`votes` (N, C) are the sums of scores of each track."""

    def __init__(self, votes: Array | None = None) -> None:
        self.votes: Array = np.zeros((0, 1)) if votes is None else votes

    def winners(self) -> npt.NDArray[np.int32]:
        """(N,) the class with most votes of each track; of equal ones the first."""
        n, classes = self.votes.shape
        return self.votes.argmax(axis=1).astype(np.int32) if classes > 1 else np.zeros(n, np.int32)

    def widen(self, classes: int) -> None:
        """There are at least so many classes."""
        more = classes - self.votes.shape[1]
        if more > 0:
            self.votes = np.pad(self.votes, ((0, 0), (0, more)))

    def count(self, matched: Bools, class_ids: Array, scores: Array) -> None:
        """The detections (N,) vote that the `matched` tracks (N,) have."""
        if self.votes.shape[1] == 1:
            return  # nothing to choose from
        self.votes[matched, class_ids[matched].astype(np.intp)] += scores[matched]

    def begin(self, class_ids: Array, scores: Array) -> None:
        """The first detections of new tracks vote."""
        votes = np.zeros((len(scores), self.votes.shape[1]))
        votes[np.arange(len(scores)), class_ids.astype(np.intp)] = scores
        self.votes = np.concatenate((self.votes, votes))

    def keep(self, tracks: Index) -> None:
        """Only these tracks are left, in this order."""
        self.votes = self.votes[tracks]
