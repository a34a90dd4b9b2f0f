"""Whether a camera repeats its last picture: one that sees differs from look to look, if only by its noise.

Pictures are compared by blocks with the last few that were not alike. One that stands is repeated bit by bit
as long as nobody encodes it anew; where it is encoded, again and again, it comes in the same few ways, which
differ by much less than the camera's own noise: how much that is, is learnt. An encoder may come to one more
way now and then, such as with a key frame; one that sees does not keep to one way in between. What goes on
changing in a small part of the picture is no sign of life, since a clock that the camera burns in runs on
over a frozen picture. Where an encoder never comes back to a way, the noise tells (fingerprint.py).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.scene.fingerprint import Fingerprint
from pipelines.values import Image

Floats = npt.NDArray[np.float32]

BLOCK = 16
KEPT = 6  # ways in which one picture may come; a clip that repeats has more of them
MAX_CHANGING = 0.12  # of the blocks: a burnt-in clock and the camera's name
FROZEN_S = 18.0
MAX_FROZEN_S = 60.0  # for a camera that has shown no noise yet, or writes key frames seldom
MIN_REFRESHES = 3  # pictures that were new in most of their blocks: it has noise
REFRESHED = 0.5
SPARE = 1.5  # how much longer than its longest pause between new pictures a camera may stand
LESS_THAN_NOISE = 0.3  # of its noise: so much a block that is the same may differ, in grey values
MAX_SAME = 0.25  # grey values, however much noise there is
ENCODED = (
    0.65  # of its noise: so much a picture that only came out another way may differ, in its middle block
)
MAX_ENCODED = 3  # such pictures in FROZEN_S: with more, it is the noise that has become less
LEARN = 0.05  # share of the newest look in what is learnt


class Repeats:
    """Fed with looks at one camera, about a second apart; times are seconds of any clock that rises."""

    def __init__(self) -> None:
        self._kept: list[Image] = []
        self._changed: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._refreshes = 0
        self._encoded: list[float] = []  # when the picture that stands came out another way
        self._noise = 0.0  # what a block differs by from all that are kept, learnt
        self._longest_s = 0.0  # between pictures that were new
        self._fingerprint = Fingerprint()
        self._looked_s = 0.0
        self._longest_noise_s = 0.0  # for which noise was the same, in a camera that saw
        self._ways_since_s = 0.0  # when the picture began that comes in the same ways
        self.since_s = 0.0  # when the picture began that stands now
        self.frozen = False

    def restart(self) -> None:
        """The source was opened anew: nothing that comes is a repeat of what was before."""
        self._kept.clear()
        self._encoded.clear()
        self._fingerprint.restart()
        self._looked_s = 0.0

    def update(self, grey: Image, now_s: float) -> bool:
        """Take in a look, (H, W) uint8 of a block at least; whether the picture has stood for too long."""
        noise_since_s = self._noise_since(grey, now_s)
        same_ways = self._comes_in_the_same_ways(grey, now_s)
        same_noise = now_s - noise_since_s >= self._limit_of_noise_s
        self.frozen = same_ways or same_noise
        self.since_s = self._ways_since_s if same_ways or not same_noise else noise_since_s
        return self.frozen

    def _noise_since(self, grey: Image, now_s: float) -> float:
        before_s, looked_s = self._fingerprint.since_s, self._looked_s
        self._looked_s = now_s
        since_s = self._fingerprint.update(grey, now_s)
        if since_s == now_s and not self.frozen:
            self._longest_noise_s = max(looked_s - before_s, 0.999 * self._longest_noise_s)
        return since_s

    @property
    def _limit_of_noise_s(self) -> float:
        return min(max(FROZEN_S, SPARE * self._longest_noise_s), MAX_FROZEN_S)

    def _comes_in_the_same_ways(self, grey: Image, now_s: float) -> bool:
        if not self._kept or self._kept[0].shape != grey.shape:
            self._kept = [grey]
            self._begin(now_s)
            return False
        differs = self._difference(grey)
        new = differs > min(MAX_SAME, LESS_THAN_NOISE * self._noise)
        if new.any():
            self._kept = [*self._kept[-KEPT + 1 :], grey]
        began_s = self._stands_since(differs, new, now_s)
        if began_s > self._ways_since_s:
            self._learn(differs, float(new.mean()), now_s)
            self._begin(began_s)
        return now_s - self._ways_since_s >= self._limit_s

    def _stands_since(self, differs: Floats, new: npt.NDArray[np.bool_], now_s: float) -> float:
        """Since when the picture stands, but for a small part and for its encoding; `now_s`: no more."""
        if new.mean() >= REFRESHED and self._may_be_encoded(float(np.median(differs))):
            self._encoded.append(now_s)
            return self._encoded.pop(0) if len(self._encoded) > MAX_ENCODED else self._ways_since_s
        self._encoded = [at_s for at_s in self._encoded if now_s - at_s < FROZEN_S]
        self._changed = new if self._changed.size != new.size else self._changed | new
        return self._ways_since_s if self._changed.mean() <= MAX_CHANGING else now_s

    def _may_be_encoded(self, differs: float) -> bool:
        return self._refreshes >= MIN_REFRESHES and differs <= ENCODED * self._noise

    @property
    def _limit_s(self) -> float:
        if self._refreshes < MIN_REFRESHES:
            return MAX_FROZEN_S
        return min(max(FROZEN_S, SPARE * self._longest_s), MAX_FROZEN_S)

    def _begin(self, began_s: float) -> None:
        self._ways_since_s = began_s
        self._encoded = [at_s for at_s in self._encoded if began_s < at_s]
        self._changed = np.zeros(0, bool)

    def _learn(self, differs: Floats, share_new: float, now_s: float) -> None:
        if share_new < REFRESHED:
            return
        self._refreshes += 1
        self._noise += (LEARN if self._noise else 1.0) * (float(np.median(differs)) - self._noise)
        if not self.frozen:
            self._longest_s = max(now_s - self._ways_since_s, 0.999 * self._longest_s)

    def _difference(self, grey: Image) -> Floats:
        """By block, the mean difference from the kept picture that is most like it."""
        rows, columns = max(1, grey.shape[0] // BLOCK), max(1, grey.shape[1] // BLOCK)
        least = np.full((rows, columns), 255.0, np.float32)
        for kept in self._kept:
            apart = cv2.absdiff(grey, kept)[: rows * BLOCK, : columns * BLOCK].astype(np.float32)
            np.minimum(least, cv2.resize(apart, (columns, rows), interpolation=cv2.INTER_AREA), out=least)
        return least
