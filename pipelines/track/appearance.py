"""What tracks look like, where the user's detector brings an embedding a box; without one this is idle.

A track's look is the mean of the unit vectors of its boxes with forgetting (as in BoT-SORT: Aharon et al.,
"BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022). It weighs the overlap of a track and a box:
by a half more where they look the same, by a half where their looks have nothing in common. So looks decide
between boxes that both may be the track's, and bring none together that do not overlap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]

KEEP = 0.9  # of a track's look, a box
UNALIKE, ALIKE = 0.5, 1.5  # what an overlap counts by looks that have nothing in common, or are the same


class Looks:
    """One look for each column of the tracker's table; zero where it is not known."""

    def __init__(self, most_tracks: int) -> None:
        self._most = most_tracks
        self._looks: Floats = np.zeros((most_tracks, 0), np.float32)

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
        return units

    def weigh(self, alike: Floats, units: Floats) -> None:
        """Weigh the overlaps (T, D) by how alike the looks are, in place."""
        looks = self._looks[: len(alike)]
        cosine = np.clip(looks @ units.T, 0.0, 1.0)
        known = np.outer(np.abs(looks).sum(axis=1), np.abs(units).sum(axis=1)) > 0
        alike *= np.where(known, UNALIKE + (ALIKE - UNALIKE) * cosine, 1.0).astype(np.float32)

    def learn(self, columns: Index, units: Floats) -> None:
        """Take the looks (N, E) of boxes matched with these tracks into account."""
        old = self._looks[columns]
        rate = np.where(np.abs(old).sum(axis=1) > 0, 1.0 - KEEP, 1.0)
        rate = rate * (np.abs(units).sum(axis=1) > 0)
        mixed = old + rate.astype(np.float32)[:, None] * (units - old)
        norms = np.linalg.norm(mixed, axis=1, keepdims=True)
        self._looks[columns] = mixed / np.where(norms > 0, norms, 1.0)

    def begin(self, columns: slice, units: Floats | None) -> None:
        """New tracks look as their first boxes do."""
        if self._looks.shape[1]:
            self._looks[columns] = 0.0 if units is None else units

    def keep(self, columns: Index) -> None:
        """The tracks of these columns are now the first ones."""
        if self._looks.shape[1]:
            self._looks[: len(columns)] = self._looks[columns]
