"""What tracks look like, where boxes come with an embedding: the user's detector's, or colour_histogram.py.

A track's look is the mean of the unit vectors of its boxes with forgetting (as in BoT-SORT: Aharon et al.,
"BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022). How much two looks say is not assumed but
learnt from the camera: how alike a track and its next box usually are, and how alike two are who are seen in
one frame, and so are not the same. Where nobody was ever seen beside another, or all look alike, looks say
nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

KEEP = 0.8  # of a track's look, a box
UNALIKE, ALIKE = 0.5, 1.5  # what an overlap counts where looks are as of different objects, or of one
UNALIKE_LOST = 0.25  # who comes back after being hidden and looks otherwise is somebody else
UNKNOWN = 0.5  # likeness in between: an overlap counts as it is
FIRST_SAME, FIRST_N = 0.97, 20.0  # how alike one object's looks are before any were seen, and its weight
MEMORY = 1000.0  # boxes, and pairs of them
LEAST_PAIRS = 10.0  # of different objects, before looks say anything
LEAST_SPAN = 0.03  # of what is usual for one object over what is for two: less tells nobody apart,
LEAST_SHARE = 0.5  # nor does less than this of what one object's looks differ by: under a light that flickers


class Looks:
    """One look for each column of the tracker's table; zero where it is not known."""

    def __init__(self, most_tracks: int) -> None:
        self._most = most_tracks
        self._looks: Floats = np.zeros((most_tracks, 0), np.float32)
        self._forget()

    def _forget(self) -> None:
        self._same, self._n_same = FIRST_SAME, FIRST_N
        self._other, self._n_other = 0.0, 0.0

    def units(self, embeddings: Floats | None) -> Floats | None:
        """(D, E) unit vectors; a vector that is not finite, or zero, says nothing and becomes zero.

        A model of another length makes all looks unknown.
        """
        if embeddings is None or not len(embeddings):
            return None
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        sound = np.isfinite(norms) & (norms > 0)
        units = np.where(sound, embeddings / np.where(sound, norms, 1.0), 0.0).astype(np.float32)
        if units.shape[1] != self._looks.shape[1]:
            self._looks = np.zeros((self._most, units.shape[1]), np.float32)
            self._forget()
        return units

    def likeness(self, columns: Index | slice, units: Floats) -> tuple[Floats, Bools]:
        """(T, D) from 0, as alike as two objects are at this camera, to 1, as one object's boxes are; and
        where that is known."""
        looks = self._looks[columns]
        known = _there(looks)[:, None] & _there(units)
        span = self._same - self._other
        least = max(LEAST_SPAN, LEAST_SHARE * (1.0 - self._same))
        if self._n_other < LEAST_PAIRS or span < least:
            known[:] = False
        share = np.clip((looks @ units.T - self._other) / max(span, LEAST_SPAN), 0.0, 1.0)
        return np.where(known, share, UNKNOWN).astype(np.float32), known

    def weigh(self, alike: Floats, units: Floats, lost: Bools) -> None:
        """Weigh the overlaps (T, D) by how alike the looks are, in place. A track that is `lost` (T,)
        (it had no box in the frame before) does not go on with who looks otherwise."""
        likeness, known = self.likeness(slice(len(alike)), units)
        weight = UNALIKE + (ALIKE - UNALIKE) * likeness
        weight[lost] = np.where(known, UNALIKE_LOST + (ALIKE - UNALIKE_LOST) * likeness, weight)[lost]
        alike *= weight

    def learn(self, columns: Index, units: Floats) -> None:
        """Take the looks (N, E) of boxes matched with these tracks into account."""
        old, there = self._looks[columns], _there(units)
        self._learn_usual(old, units, there)
        rate = np.where(_there(old), 1.0 - KEEP, 1.0) * there
        mixed = old + rate.astype(np.float32)[:, None] * (units - old)
        norms = np.linalg.norm(mixed, axis=1, keepdims=True)
        self._looks[columns] = mixed / np.where(norms > 0, norms, 1.0)

    def _learn_usual(self, old: Floats, units: Floats, there: Bools) -> None:
        """The N boxes are of N objects: each is its own track's, and no two are the same."""
        both = there & _there(old)
        n = int(np.count_nonzero(both))
        if n:
            self._n_same = min(self._n_same + n, MEMORY)
            self._same += (float((old * units).sum()) / n - self._same) * (n / self._n_same)
        n = int(np.count_nonzero(there))
        if n > 1:
            total, pairs = units.sum(axis=0), n * (n - 1) / 2
            self._n_other = min(self._n_other + pairs, MEMORY)
            other = (float(total @ total) - n) / (2 * pairs)
            self._other += (other - self._other) * min(pairs / self._n_other, 1.0)

    def begin(self, columns: slice, units: Floats | None) -> None:
        """New tracks look as their first boxes do."""
        if self._looks.shape[1]:
            self._looks[columns] = 0.0 if units is None else units

    def keep(self, columns: Index) -> None:
        """The tracks of these columns are now the first ones."""
        if self._looks.shape[1]:
            self._looks[: len(columns)] = self._looks[columns]


def _there(vectors: Floats) -> Bools:
    """(N,) which of the vectors (N, E) are not zero."""
    return np.asarray(vectors.any(axis=1))
