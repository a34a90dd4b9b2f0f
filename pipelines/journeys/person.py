"""Somebody or something that a camera followed, and what it looked like on its good boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.geometry import BORDER
from pipelines.values import Bools, Floats, FrameResult, Stamp

MIN_LOOKS = 4  # good boxes, before a look is compared: about a second of whoever walks through
MIN_HEIGHT = 0.07  # of the picture: smaller boxes have too few pixels for a look
MAX_HIDDEN = 0.1  # of a box, by others: more, and it shows them as well


@dataclass(slots=True, eq=False)
class Person:
    """A track of a camera; a vehicle too. `total` is the sum of its looks, `arrives` whether it came in
    while the camera was watched, so that when it came is known."""

    group: str
    class_name: str
    track_id: int
    first: Stamp
    last: Stamp
    arrives: bool
    total: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    looks: int = 0
    known_ns: int = 0  # on the clock of `received_mono_ns`: when it had looks enough
    decided: bool = False
    chain: int = 0  # equal of tracks that are more probably one object than not

    @property
    def known(self) -> bool:
        return self.looks >= MIN_LOOKS

    def see(self, look: Floats, now_ns: int) -> None:
        """Take one box's look (E,) into account; a model of another length begins anew."""
        if self.total.shape != look.shape:
            self.total, self.looks = np.zeros_like(look, np.float32), 0
        self.total = self.total + look
        self.looks += 1
        if self.looks == MIN_LOOKS:
            self.known_ns = now_ns

    def mean(self) -> Floats:
        """(E,) its mean look."""
        return np.asarray(self.total / np.float32(max(self.looks, 1)))


def good_boxes(result: FrameResult) -> Bools:
    """(N,) which detections show one object whole: sure, large enough, cut by nothing, hidden by nobody."""
    found = result.detections
    if result.looks is None or not len(found):
        return np.zeros(len(found), np.bool_)
    boxes = found.boxes_xyxyn
    whole = ((boxes >= BORDER) & (boxes <= 1.0 - BORDER)).all(axis=1)
    large = boxes[:, 3] - boxes[:, 1] >= MIN_HEIGHT
    sound = np.isfinite(result.looks).all(axis=1) & result.looks.any(axis=1)
    sure = found.scores >= found.high_threshold
    return np.asarray(whole & large & sound & sure & (hidden(boxes) <= MAX_HIDDEN))


def hidden(boxes: Floats) -> Floats:
    """(N,) the largest share of each box that another one covers."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    np.fill_diagonal(shared, 0.0)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 1e-6, None).prod(axis=1)
    return np.asarray(shared.max(axis=1, initial=0.0) / area)
