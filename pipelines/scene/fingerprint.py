"""Whether the noise of a picture is the noise it had before: a camera that sees has other noise each time.

What a look has beyond the long mean of looks is noise, the sensor's and the encoder's. In a picture that is
sent again and again it stays as it is, also where an encoder brings it a little differently with every key
frame; that of a camera that sees has nothing to do with what it was, however much or little of it there is.
The mean takes in what an encoder does alike to all pictures. What moves, and a clock, concern few blocks.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image

Floats = npt.NDArray[np.float32]

BLOCK = 16
FINE = 2.0  # pixels: what is wider than that is light and shadow, no noise
MIN_LOOKS = 8  # different ones, in the mean
FOLLOW = 1 / 32  # share of the newest different look in the mean, after that
MIN_NOISE = 0.05  # grey values squared: a block with less shows none
MIN_BLOCKS = 0.3  # of all blocks show noise, or nothing is said
ALIKE = 0.25  # correlation of a block's noise
MIN_ALIKE = 0.7  # of the blocks that show noise
LESS = 0.75  # of what two looks usually differ by (power): noise that is the same goes away between them
LONG_S = 18.0  # once it was the same for so long,
MAX_FORGIVEN = 2  # looks in a row may be others: a picture that was hard to encode
GAINS = (0.6, 1.6)  # of light that has changed a little; what it has changed more is another picture
MAX_GROWN = 6.0  # of the usual power: with more it is another picture, which is learnt anew


class Fingerprint:
    """Fed with looks at one camera, (H, W) uint8 of one size, about a second apart."""

    def __init__(self) -> None:
        self._mean: Floats = np.zeros((0, 0), np.float32)  # of the fine band of looks
        self._first: Floats = np.zeros((0, 0), np.float32)  # the noise that the others are compared with
        self._power = 0.0  # of the noise, as usual
        self._looks = 0  # different ones
        self._others = MAX_FORGIVEN  # looks in a row that were not the same
        self.since_s = 0.0  # since when the noise is the same

    def restart(self) -> None:
        """The clock of the looks may begin anew, and nothing is a repeat of what was before."""
        self._first, self._others, self.since_s = np.zeros_like(self._mean), MAX_FORGIVEN, 0.0

    def update(self, grey: Image, now_s: float) -> float:
        """Take in a look; since when the noise is the same: `now_s` where it is another, or none is known."""
        fine = _fine(grey)
        if self._mean.shape != fine.shape:
            self._learn_anew(fine)
        noise = self._noise_in(fine)
        power = _blocks(noise**2)
        if self._is_another_picture(power):
            self._learn_anew(fine)
            noise, power = np.zeros_like(fine), np.zeros_like(power)
        self._others = 0 if self._is_same(noise, power) else self._others + 1
        if self._others > (MAX_FORGIVEN if now_s - self.since_s >= LONG_S else 0):
            self._learn(fine, noise, power)
            self.since_s = now_s
        return self.since_s

    def _noise_in(self, fine: Floats) -> Floats:
        """Without what is only more or less of the mean: light that has changed."""
        gain = _blocks(fine * self._mean) / (_blocks(self._mean**2) + MIN_NOISE)
        gain = np.clip(gain, *GAINS)
        return np.asarray(fine - self._mean * cv2.resize(gain, fine.shape[::-1]), np.float32)

    def _is_another_picture(self, power: Floats) -> bool:
        return self._looks >= MIN_LOOKS and float(np.median(power)) > MAX_GROWN * self._power + MIN_NOISE

    def _is_same(self, noise: Floats, power: Floats) -> bool:
        if self._looks < MIN_LOOKS:
            return False
        shown = power * (before := _blocks(self._first**2)) > MIN_NOISE**2
        if shown.mean() < MIN_BLOCKS:
            return False
        alike = _blocks(noise * self._first)[shown] >= ALIKE * np.sqrt((power * before)[shown])
        apart = float(np.median(_blocks((noise - self._first) ** 2)))
        return float(alike.mean()) >= MIN_ALIKE and apart <= LESS * 2 * self._power

    def _learn(self, fine: Floats, noise: Floats, power: Floats) -> None:
        self._looks += 1
        share = max(FOLLOW, 1 / self._looks)
        self._power += share * (float(np.median(power)) - self._power)
        self._mean += np.float32(share) * (fine - self._mean)
        self._first = noise

    def _learn_anew(self, fine: Floats) -> None:
        self._mean, self._first, self._looks, self._power = fine.copy(), np.zeros_like(fine), 0, 0.0


def _fine(grey: Image) -> Floats:
    """Of whole blocks."""
    height, width = (max(BLOCK, size // BLOCK * BLOCK) for size in grey.shape)
    look = grey[:height, :width].astype(np.float32)
    return np.asarray(look - cv2.GaussianBlur(look, (0, 0), FINE), np.float32)


def _blocks(values: Floats) -> Floats:
    """The mean of each block."""
    height, width = values.shape
    size = (max(1, width // BLOCK), max(1, height // BLOCK))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
