"""Whether a lens is covered or out of focus, against what the same camera has shown lately.

Two bands of the picture's logarithm are compared block by block: a coarse one, which says whether the same
things stand in the same places, and a fine one, which says whether they have edges. Light that changes, and
fog, take contrast from both bands alike and leave the coarse one as it was; a lens out of focus loses the
fine band alone; a hand before it loses both, and shows nothing where it was. The reference follows slowly,
so that dusk and fog that come in minutes are followed, and a hand that comes in seconds is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image

Floats = npt.NDArray[np.float32]

BLOCK = 16
LOG_OFFSET = 32.0  # below this grey value noise would count for more than what is seen
FOLLOW_S = 120.0  # how slowly the reference follows
FIRST_LOOKS = 20  # it follows faster than that
HOLD_S = 600.0  # for so long it does not follow what is another picture
CURRENT = 0.5  # share of the newest look in the fine band that is compared: noise counts for less
MIN_LOOKS = 5  # before a reference is worth comparing with
MIN_STRUCTURE = 4e-4  # energy of the fine band, from which on a block has edges that can be lost
MIN_BLOCKS = 0.05  # of all blocks have edges, or nothing can be said of covers
LOST_EDGES = 0.3  # of the reference's energy
SAME = 0.4  # correlation of the coarse band
LOST_BLOCKS = 0.6
FOLLOWED = 0.6  # correlation of the coarse band with what the reference follows
OTHER_VIEW = 0.4  # below it a picture shows something else
LIGHT = 0.9  # so far apart (natural logarithm) two pictures are not to be compared
SHOWS_NOTHING = 2.5  # standard deviation of a picture that shows nothing at all, in grey values


@dataclass(frozen=True, slots=True)
class Obstruction:
    """`covered` and `defocused` are shares of the blocks that had edges; `other_view`: something else is seen
    than in the reference, and in a similar light."""

    covered: float = 0.0
    defocused: float = 0.0
    other_view: bool = False

    @property
    def is_covered(self) -> bool:
        both = self.covered + self.defocused
        return self.covered >= LOST_BLOCKS or (both >= LOST_BLOCKS and self.covered >= self.defocused)

    @property
    def is_defocused(self) -> bool:
        return not self.is_covered and self.covered + self.defocused >= LOST_BLOCKS


@dataclass(slots=True)
class _Bands:
    fine: Floats
    coarse: Floats
    light: float  # mean of the logarithm


class ObstructionDetector:
    """Fed with looks at one camera; times are seconds of any clock that rises."""

    def __init__(self) -> None:
        self._current: _Bands | None = None
        self._reference: _Bands | None = None
        self._edges: Floats = np.zeros(0, np.float32)  # energy of the fine band, followed by itself
        self._looks = 0
        self._at_s = 0.0
        self._held_s: float | None = None  # since when the reference does not follow

    def restart(self) -> None:
        """The clock of the looks may begin anew."""
        self._held_s = None

    def update(self, grey: Image, now_s: float) -> Obstruction:
        """What a look, (H, W) uint8, shows of the reference."""
        bands = _bands(grey)
        if self._current is None or self._current.fine.shape != bands.fine.shape:
            self._current = self._reference = None
            self._looks = 0
        if self._current is not None:  # of the coarse band what stood before would shine through a dark hand
            bands = _Bands(_mixed(self._current, bands, CURRENT).fine, bands.coarse, bands.light)
        self._current = bands
        found = self._compare(grey)
        if self._may_follow(found, now_s):
            self._follow(bands, now_s)
        self._at_s = now_s
        return found

    def _may_follow(self, found: Obstruction, now_s: float) -> bool:
        """What blinds is never followed, and what is another picture only when it stays."""
        if found.is_covered or found.is_defocused:
            return False
        if self._reference is None or self._current is None or self._looks < MIN_LOOKS:
            return True
        if _correlation(self._current.coarse, self._reference.coarse) >= FOLLOWED:
            self._held_s = None
            return True
        self._held_s = now_s if self._held_s is None else self._held_s
        return now_s - self._held_s >= HOLD_S

    def _follow(self, bands: _Bands, now_s: float) -> None:
        edges = _blocks(bands.fine**2)
        self._looks += 1
        if self._reference is None:
            self._reference, self._edges = bands, edges
            return
        first = 1.0 / self._looks if self._looks <= FIRST_LOOKS else 0.0
        share = max(first, 1.0 - float(np.exp(min(0.0, self._at_s - now_s) / FOLLOW_S)))
        self._reference = _mixed(self._reference, bands, share)
        self._edges = self._edges + share * (edges - self._edges)

    def _compare(self, grey: Image) -> Obstruction:
        if float(grey.std()) < SHOWS_NOTHING:
            return Obstruction(covered=1.0)
        reference, current = self._reference, self._current
        if reference is None or current is None or self._looks < MIN_LOOKS:
            return Obstruction()
        had_edges = self._edges > MIN_STRUCTURE
        alike_in_light = abs(current.light - reference.light) < LIGHT
        other = alike_in_light and _correlation(current.coarse, reference.coarse) < OTHER_VIEW
        if had_edges.mean() < MIN_BLOCKS:
            return Obstruction(other_view=other)
        fine = _blocks(current.fine**2)
        coarse, coarse_before = _blocks(current.coarse**2), _blocks(reference.coarse**2)
        alike = _blocks(current.coarse * reference.coarse) / np.sqrt(coarse * coarse_before + 1e-12)
        kept = fine / np.maximum(self._edges, 1e-9)
        contrast = np.minimum(coarse / np.maximum(coarse_before, 1e-9), 1.0)
        covered = (kept < LOST_EDGES) & (alike < SAME)
        defocused = (kept < LOST_EDGES * contrast) & (alike >= SAME)
        return Obstruction(float(covered[had_edges].mean()), float(defocused[had_edges].mean()), other)


def _bands(grey: Image) -> _Bands:
    light = cv2.log(grey.astype(np.float32) + LOG_OFFSET)
    near = cv2.GaussianBlur(light, (0, 0), 0.8)
    middle = np.asarray(cv2.GaussianBlur(near, (0, 0), 2.0), np.float32)
    wide = _widely_blurred(middle)
    return _Bands(near - middle, middle - wide, float(light.mean()))


def _widely_blurred(values: Floats) -> Floats:
    """As by a Gaussian of about 8 pixels, at a tenth of its cost."""
    height, width = values.shape
    small = cv2.resize(values, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.0), (width, height)))


def _mixed(before: _Bands, now: _Bands, share: float) -> _Bands:
    return _Bands(
        before.fine + np.float32(share) * (now.fine - before.fine),
        before.coarse + np.float32(share) * (now.coarse - before.coarse),
        before.light + share * (now.light - before.light),
    )


def _blocks(values: Floats) -> Floats:
    """The mean of each block."""
    height, width = values.shape
    size = (max(1, width // BLOCK), max(1, height // BLOCK))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _correlation(a: Floats, b: Floats) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-12))
