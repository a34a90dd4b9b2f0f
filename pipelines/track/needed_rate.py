"""How often a camera is to be looked at for its counts to be right: by what its tracks do.

Between two frames an object should move by no more than a part of its own box: there counts go wrong
(decision 015), since the next box then overlaps with another's as well as with its own. So the rate is the
speed of the fastest, in its own box lengths a second, over that part, and more where objects are close to
each other or to a line. In a crowd it is every frame. What is new has no speed yet: it is looked at often
until it has one. Nothing clocks this but the frames' own time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Segments = npt.NDArray[np.float64]  # (S, 2, 2): two points each, shares of the picture

EVERY_FRAME: Final = 0.0
IDLE_FPS: Final = 5.0  # while nothing is followed
MIN_FPS: Final = 4.0  # while anything is
NEW_FPS: Final = 12.5  # of what has been seen too few times to have a speed, and of a camera that begins
BEGINS_S: Final = 2.0
MAX_MOVE: Final = 0.25  # of an object's box between two frames
CLOSE_MOVE: Final = 0.5  # of MAX_MOVE, where another is within a box, or a line soon reached
CROWD: Final = 3  # objects that are close to each other: there every frame counts, ...
CROWD_FPS: Final = 60.0  # ... of any camera
SOON_S: Final = 0.5
HOLD_S: Final = 1.0  # a rate falls when it was not wanted for so long; it rises at once
MIN_HITS: Final = 3  # detections until a track has a speed


@dataclass(frozen=True, slots=True, eq=False)
class TrackMotion:
    """Of N tracks: centre x, y, width, height (4, N) in shares of the picture, their speeds in shares a
    second (2, N), and how often each was seen (N,)."""

    boxes: Array
    speeds: Array
    hits: Array

    @property
    def boxes_a_second(self) -> Array:
        """Speeds in lengths of the own box (N,)."""
        return np.asarray(np.hypot(*(self.speeds / np.maximum(self.boxes[2:], 1e-4))))


class NeededRate:
    """Of one camera. `fps` frames a second are wanted, EVERY_FRAME for all, and `why` in a few words."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float, str]] = deque()  # media time, what was wanted then, and why
        self._begun_ns: int | None = None
        self._epoch: int | None = None
        self.fps, self.why = EVERY_FRAME, "its picture is new"

    def update(self, epoch: int, media_ns: int, motion: TrackMotion, lines: Segments) -> None:
        """Take the tracks after a frame into account."""
        if self._begun_ns is None or epoch != self._epoch or media_ns < self._begun_ns:
            self._begun_ns, self._epoch = media_ns, epoch
            self._recent.clear()
        fps, why = needed(motion, lines)
        if media_ns - self._begun_ns < BEGINS_S * 1e9 and fps < NEW_FPS:
            fps, why = NEW_FPS, "its picture is new"
        while self._recent and (media_ns - self._recent[0][0] > HOLD_S * 1e9 or self._recent[0][1] <= fps):
            self._recent.popleft()
        while self._recent and self._recent[-1][1] <= fps:
            self._recent.pop()
        self._recent.append((media_ns, fps, why))
        _, self.fps, self.why = self._recent[0]


def needed(motion: TrackMotion, lines: Segments) -> tuple[float, str]:
    """Frames a second for these tracks, and which of their doings asks for them."""
    if not motion.hits.size:
        return IDLE_FPS, "nothing is followed"
    known = motion.hits >= MIN_HITS
    fps = motion.boxes_a_second / MAX_MOVE * known
    crowded = is_crowded(motion)
    if np.count_nonzero(crowded & known) >= CROWD:
        return CROWD_FPS, "many are close to each other"
    near = reaches_soon(motion, lines)
    fps = np.where((crowded | near) & known, fps / CLOSE_MOVE, fps)
    fastest = int(np.argmax(fps))
    most = float(fps[fastest])
    if not known.all() and most < NEW_FPS:
        return NEW_FPS, "something new"
    if most <= MIN_FPS:
        return MIN_FPS, "what is followed hardly moves"
    why = f"{motion.boxes_a_second[fastest]:.1f} box lengths a second"
    if crowded[fastest] or near[fastest]:
        why += ", near a line" if near[fastest] else ", close to others"
    return most, why


def is_crowded(motion: TrackMotion) -> npt.NDArray[np.bool_]:
    """Whether another's centre is within the length of a box of each (N,)."""
    centres, sizes = motion.boxes[:2], np.maximum(motion.boxes[2:], 1e-4)
    apart = np.abs(centres[:, :, None] - centres[:, None, :]) / sizes[:, :, None]
    close = np.asarray((apart < 1.0).all(axis=0))
    np.fill_diagonal(close, False)
    return np.asarray(np.any(close, axis=1))


def reaches_soon(motion: TrackMotion, lines: Segments) -> npt.NDArray[np.bool_]:
    """Whether its way of the next SOON_S, by its box's middle or any of its sides, meets a line (N,)."""
    soon = np.zeros(motion.hits.size, bool)
    way = motion.speeds * SOON_S
    reach = np.hypot(*way) + np.hypot(*motion.boxes[2:]) / 2
    for first, second in lines:
        soon |= _distance(motion.boxes[:2].T, first, second) < reach
    return np.asarray(soon & (np.hypot(*way) > 0))


def _distance(points: Array, first: Array, second: Array) -> Array:
    """Of points (N, 2) to a segment (N,)."""
    along = second - first
    length = max(float(along @ along), 1e-12)
    share = np.clip((points - first) @ along / length, 0, 1)
    return np.asarray(np.hypot(*(points - first - share[:, None] * along).T))


def segments(
    lines: Sequence[Sequence[tuple[float, float]]], zones: Sequence[Sequence[tuple[float, float]]]
) -> Segments:
    """The pieces of lines and the sides of zones."""
    pieces = [pair for line in lines for pair in itertools.pairwise(line)]
    pieces += [pair for zone in zones for pair in zip(zone, (*zone[1:], zone[0]), strict=True)]
    return np.array(pieces, float).reshape(-1, 2, 2)
