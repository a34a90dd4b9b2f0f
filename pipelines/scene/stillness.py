"""Whether anything moves in front of a camera, as far as sizes of its packets and a small grey picture tell.

Both learn from the camera's own quiet, which somebody who looks at its pictures confirms. Neither says what
moves: they say when it is worth looking.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image

WINDOW = 6  # packets whose mean size is compared: a quarter of a second, usually
MAX_MEANS = 1500  # of quiet that are remembered: a minute, usually
MIN_MEANS = 100  # before these are known no size is unusual
USUAL_SHARE = 0.998  # of the means in quiet
MARGIN = 1.15  # a size is unusual from this many times the usual on ...
MAX_MARGIN = 1.8  # ... and where it was for nothing, up to this many
MARGIN_STEP = 1.1
SETTLED_S = 3.0  # what came before somebody was noticed is not of quiet
LEARN_EVERY = 25  # packets between two looks at what is usual

BLOCKS = (32, 18)  # of a picture, across and down: the mean of each is compared
MIN_LOOKS = 12  # before these no picture is changed
FOLLOWING = 0.03  # how fast what is usual follows what is seen
MIN_CHANGE = 3.0  # grey levels of a block beyond ...
DEVIATIONS = 6.0  # ... so many times what is usual of it

Floats = npt.NDArray[np.float32]


class PacketSizes:
    """Of one stream, key frames left out: they are as large as the picture is rich."""

    def __init__(self, margin: float = MARGIN) -> None:
        self._window: deque[int] = deque(maxlen=WINDOW)
        self._new: deque[tuple[float, float]] = deque(maxlen=MAX_MEANS)  # not known to be of quiet yet
        self._quiet: deque[float] = deque(maxlen=MAX_MEANS)
        self._usual = float("inf")
        self._until_learnt = 0
        self.margin = margin

    def add(self, size: int, now_s: float) -> bool:
        """Whether the last packets, with this one of `size` bytes, are unusually large."""
        self._window.append(size)
        mean = sum(self._window) / len(self._window)
        self._new.append((now_s, mean))
        return len(self._window) == WINDOW and mean > self.margin * self._usual

    def confirm_quiet(self, now_s: float) -> None:
        """Nothing has moved up to now."""
        while self._new and self._new[0][0] < now_s - SETTLED_S:
            self._quiet.append(self._new.popleft()[1])
            self._until_learnt -= 1
        if len(self._quiet) >= MIN_MEANS and self._until_learnt <= 0:
            self._until_learnt = LEARN_EVERY
            self._usual = float(np.quantile(self._quiet, USUAL_SHARE))

    def forget_new(self) -> None:
        """Something moved, or may have."""
        self._new.clear()
        self._window.clear()

    @property
    def knows(self) -> bool:
        """Whether enough of quiet was seen."""
        return self._usual < float("inf")

    def found_nothing(self) -> None:
        """It was unusual for nothing."""
        self.margin = min(MAX_MARGIN, self.margin * MARGIN_STEP)

    def found_something(self) -> None:
        self.margin = max(MARGIN, self.margin / MARGIN_STEP)


class PictureChange:
    """Of one view: blocks of the picture against what is usual of them, brighter or darker as a whole left
    out."""

    def __init__(self) -> None:
        self._usual: Floats | None = None
        self._deviation = np.ones(BLOCKS[::-1], np.float32)
        self._blocks: Floats | None = None
        self._looks = 0

    def add(self, grey: Image) -> bool:
        """Whether `grey`, (H, W) uint8 of any size, is changed."""
        self._blocks = cv2.resize(grey, BLOCKS, interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._usual is None:
            self._usual = self._blocks
        change = _change(self._blocks, self._usual)
        return self._looks >= MIN_LOOKS and bool((change > MIN_CHANGE + DEVIATIONS * self._deviation).any())

    def confirm_quiet(self) -> None:
        """Nothing moved in the picture that was added last."""
        if self._blocks is None or self._usual is None:
            return
        following = max(FOLLOWING, 1.0 / (self._looks + 1))
        self._deviation += following * (_change(self._blocks, self._usual) - self._deviation)
        self._usual = self._usual + following * (self._blocks - self._usual)
        self._blocks, self._looks = None, self._looks + 1

    @property
    def knows(self) -> bool:
        """Whether enough of quiet was seen."""
        return self._looks >= MIN_LOOKS


def _change(blocks: Floats, usual: Floats) -> Floats:
    difference = blocks - usual
    change: Floats = np.abs(difference - np.median(difference))
    return change
