"""How the whole scene moved between two frames, seen in the boxes alone: for a camera that drives or turns.

Past a moving camera parked cars stream so fast that each may lie where its neighbour was a frame ago. One box
does not tell which of the two it is; all together do, for what stands still moves as one. The motion is that
of a picture whose camera moves on and turns: a shift, and an expansion that is in proportion to the size of
things, since what is twice as near is twice as large (Longuet-Higgins and Prazdny, "The Interpretation of a
Moving Retinal Image", 1980). It is searched for by trying what each pair of an old and a new box would mean
(RANSAC: Fischler and Bolles, 1981) and fitted to the boxes that agree; where it does not bring many boxes
together that were apart, nothing is said.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.association import NOTHING, Likeness, best_of
from pipelines.track.kalman import SHARES
from pipelines.track.state import Table

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

POORLY = np.array(0.5, np.float32)  # looked for where one in so many tracks meets no box better, or is new,
UNSURE_ONE_IN = 5
WELL, ROUNDED = 0.4, 0.001  # and the boxes do not lie where they were: the mean square of their overlap
LONGEST_S = 1.0  # between two frames
MOST = 64  # boxes of a frame that are compared, the tallest; of them
MOST_OLD, MOST_SEEDS = 16, 8  # so many tell how good a motion is, and so many make motions to try
MOST_RATIO = 1.9  # of the sizes of a pair that makes one
AT_ONCE = 50_000  # pairs of boxes that are looked at together
LEAST = 3  # boxes that make one; fewer can only follow that of the frame before
BEST, ROUNDS = 4, 3  # so many are fitted, so often
LEAST_OVERLAP = 0.2  # of boxes that a motion is fitted to
CLOSE, AGREE, LEAST_NEW = 0.6, 0.5, 3  # so many of them must meet one closely, and so many that did not
GAIN, GAIN_BOXES, GAIN_FEW = 1.15, 0.7, 0.3  # a motion must bring so much more than none: times, and boxes
BETTER = 0.2  # a track takes the scene's motion where that meets a box so much better than its own
SPREAD, SPREAD_SIZE = 1.0, 0.5  # how unsure its speed is then, sizes / s
NOISE = 0.05  # of a box, in sizes
# What a motion between two frames may be, roughly: shift in x and y, expansion for each unit of a box's
# height, and where that comes from, away from the middle.
USUAL: Array = np.array([1.0, 1.0, 10.0, 5.0, 5.0])
MIDDLE = 0.5
GROWN_LEAST, GROWN_MOST = 0.2, 5.0


class SceneMotion:
    """The scene of one camera; what was seen last is tried again at the next frame."""

    def __init__(self) -> None:
        self._speed: Array = np.zeros(5)  # the last motion, a second

    def follow(
        self, tracks: Table, met: Floats, found: Array, now_s: float, dt: float, likeness: Likeness
    ) -> bool:
        """Whether the scene has moved in a way that the tracks did not foresee; they follow it, in place.

        `met` (T,) is how well their predictions meet the `found` boxes (SEEN_ROWS, D), which `likeness` has
        met.
        """
        unsure = met < POORLY
        if tracks.some_new:
            fresh = tracks.step[0] == t.NONE
            unsure |= fresh
            tracks.some_new = bool(np.count_nonzero(fresh))
        if np.count_nonzero(unsure) * UNSURE_ONE_IN < len(unsure) or dt > LONGEST_S:
            return False
        fresh = tracks.step[0] == t.NONE
        last = np.abs(tracks.seen_s - (now_s - dt)) < 1e-6
        boxes, sure = found[t.SEEN_BOX], found[t.SEEN_EVIDENCE] >= t.NONE
        tell = last & (tracks.seen[t.SEEN_EVIDENCE] >= t.NONE)
        if _surely_lie(likeness.of_boxes(tracks.seen_box), tell, sure):
            return False
        motion = self.find(_tallest(tracks.seen_box[:, tell]), _tallest(boxes[:, sure]), dt)
        if motion is None:
            return False
        goal = moved(tracks.seen_box, motion[None])[0]
        better = overlap(goal, boxes).max(axis=1) > overlap(tracks.box, boxes).max(axis=1) + BETTER
        carry(tracks, (last & (fresh | better)).nonzero()[0], goal, dt)
        return True

    def find(self, old: Array, new: Array, dt: float) -> Array | None:
        """(5,) the motion in `dt` seconds of the boxes old (4, T) that meets the boxes new (4, D) best; None
        where they lie where they were, or nobody can tell."""
        n = old.shape[1]
        if not n or not new.shape[1]:
            return None
        lying = overlap(old, new)
        still = float(_score(lying))
        met = np.count_nonzero(lying.max(axis=1))
        if still > WELL * (met if 3 * met >= 2 * n else n):  # a third may be gone or hidden
            return None
        tries = self._speed[None] * dt
        few = min(n, new.shape[1]) < LEAST
        if not few:
            tries = np.concatenate((tries, _seeds(_tallest(old, MOST_SEEDS), new)))
        worth = _worth(_tallest(old, MOST_OLD), new, tries)
        best, most = None, GAIN * still + (GAIN_FEW if few else GAIN_BOXES)
        motions = _fitted(old, new, tries[np.argsort(-worth, kind="stable")[:BEST]])
        meeting = overlap(moved(old, motions), new)
        for k, score in enumerate(_score(meeting).tolist()):
            if score >= most and (few or _agree(lying, meeting[k])):
                best, most = motions[k], score
        if best is not None:
            self._speed = best / dt
        return best


def moved(boxes: Array, motions: Array) -> Array:
    """(K, 4, T) the boxes (4, T), centres and extents, after each of the motions (K, 5)."""
    shift_x, shift_y, expansion, from_x, from_y = motions.T[:, :, None]
    grown = _grown(boxes[3], expansion)
    share = boxes[3] * grown
    after = np.empty((4, len(motions), boxes.shape[1])).transpose(1, 0, 2)  # as _worth reads it
    after[:, 0] = boxes[0] + (grown - 1.0) * (boxes[0] - MIDDLE) - share * from_x + shift_x
    after[:, 1] = boxes[1] + (grown - 1.0) * (boxes[1] - MIDDLE) - share * from_y + shift_y
    after[:, 2:] = boxes[2:] * grown[:, None]
    return after


def _grown(height: Array, expansion: Array | float) -> Array:
    """By what factor things of a height grow: what comes straight on grows ever faster."""
    shrunk = np.maximum(1.0 - expansion * height, 1.0 / GROWN_MOST)
    np.minimum(shrunk, 1.0 / GROWN_LEAST, out=shrunk)
    return np.asarray(1.0 / shrunk)


def overlap(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """(..., T, D) intersection over union of boxes (..., 4, T) and (4, D); 0 for a box without an extent."""
    first_size, second_size = np.maximum(first[..., 2:, :], t.LEAST_SIZE), second[2:]
    # Where boxes end, those at the left and the top with their signs turned: the nearer ends are the lesser.
    first_ends, second_ends = _ends(first[..., :2, :], first_size), _ends(second[:2], second_size)
    ends = np.minimum(first_ends[..., None], second_ends[:, None])
    shared = ends[..., :2, :, :]
    shared += ends[..., 2:, :, :]
    np.maximum(shared, 0.0, out=shared)
    both = shared[..., 0, :, :]
    both *= shared[..., 1, :, :]
    union = (first_size[..., 0, :] * first_size[..., 1, :])[..., None] + second_size[0] * second_size[1]
    union -= both
    return np.asarray(np.divide(both, union, out=union))


def _ends(place: npt.NDArray[np.floating], size: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """(..., 4, N) the sides of boxes by centre and extent (..., 2, N): right and bottom are positive."""
    half = 0.5 * size
    return np.concatenate((half - place, half + place), axis=-2)


def _score(overlaps: npt.NDArray[np.floating]) -> Array:
    """How well old boxes (..., T, D) meet new ones: a close meeting counts for more than two loose ones."""
    return _sum_of_squares(overlaps.max(axis=-1))


def _sum_of_squares(best: npt.NDArray[np.floating]) -> Array:
    return np.asarray((best**2).sum(axis=-1), np.float64)


def _worth(old: Array, new: Array, motions: Array) -> Array:
    """(K,) how well the old boxes (4, T) meet the new ones (4, D) under each of the motions (K, 5).

    Motions and old boxes share the last axis, and not all are tried at a time: numpy is many times as fast
    over few long rows as over many short ones, and where what it makes stays small.
    """
    few, n = new.astype(np.float32), old.shape[1]
    after = moved(old, motions).transpose(1, 0, 2).reshape(4, -1).astype(np.float32)
    np.maximum(after[2:], t.LEAST_SIZE, out=after[2:])
    long = AT_ONCE // few.shape[1]
    parts = range(0, after.shape[1], long)
    best = [overlap(few, after[:, k : k + long]).max(axis=0) for k in parts]
    return _sum_of_squares(np.concatenate(best).reshape(-1, n))


def _surely_lie(overlaps: Floats, tell: Bools, sure: Bools) -> bool:
    """Whether the old boxes that `tell` (T,) certainly lie where they were, by overlaps (T, D) of single
    precision: the question that `find` begins with, and nearly always its answer."""
    if max(overlaps.shape) > MOST:
        return False
    if np.count_nonzero(sure) < len(sure):
        overlaps = overlaps * sure
    _, value = best_of(overlaps)
    value = value[tell]
    n, met = len(value), np.count_nonzero(value > NOTHING)
    return bool(value.dot(value) > (WELL + ROUNDED) * (met if 3 * met >= 2 * n else n))


def _agree(lying: npt.NDArray[np.floating], meeting: npt.NDArray[np.floating]) -> bool:
    """Whether at least half of the old boxes (T, D) meet a new one closely, and some that did not before: a
    motion of five numbers brings a few together by chance."""
    before, after = lying.max(axis=1) > CLOSE, meeting.max(axis=1) > CLOSE
    n = np.count_nonzero(after)
    return bool(n >= AGREE * len(after) and n - np.count_nonzero(before) >= LEAST_NEW)


def _tallest(boxes: Array, most: int = MOST) -> Array:
    if boxes.shape[1] <= most:
        return boxes
    return boxes[:, np.argsort(-boxes[3], kind="stable")[:most]]


def _seeds(old: Array, new: Array) -> Array:
    """(2K, 5) motions that would bring an old box onto a new one, for all K pairs of about one size: by a
    shift alone, and by an expansion as they have grown with the shift that is left."""
    ratio = new[2:, None, :] / np.maximum(old[2:, :, None], t.LEAST_SIZE)
    i, j = (np.abs(np.log(np.maximum(ratio, t.LEAST_SIZE))) < np.log(MOST_RATIO)).all(axis=0).nonzero()
    first, grown = old[:, i], ratio[1, i, j]
    shift = new[:2, j] - first[:2]
    motions = np.zeros((2, len(i), 5))
    motions[0, :, :2] = shift.T
    motions[1, :, :2] = (shift - (grown - 1.0) * (first[:2] - MIDDLE)).T
    motions[1, :, 2] = (1.0 - 1.0 / grown) / np.maximum(first[3], t.LEAST_SIZE)
    return motions.reshape(-1, 5)


def _fitted(old: Array, new: Array, motions: Array) -> Array:
    """The motions (K, 5), each by least squares over the boxes that choose each other under it, again and
    again."""
    here = np.arange(old.shape[1])
    each = np.arange(len(motions))[:, None]
    away = old[:2] - MIDDLE
    for _ in range(ROUNDS):
        table = overlap(moved(old, motions), new)
        choice = table.argmax(axis=2)
        value = table[each, here, choice]
        good = (value > LEAST_OVERLAP) & (table.argmax(axis=1)[each, choice] == here)
        live = np.count_nonzero(good, axis=1) >= LEAST
        if not live.any():
            break
        met = new[:, choice]
        height = old[3] * _grown(old[3], motions[:, 2:3])  # (K, T)
        rows = np.zeros((len(motions), 5, 3, len(here)))  # what each number does to x, y and size
        rows[:, 0, 0] = 1.0 / old[2]
        rows[:, 1, 1] = 1.0 / old[3]
        rows[:, 2, :2] = height[:, None] * (away / old[2:])
        rows[:, 2, 2] = height
        rows[:, 3, 0] = -height / old[2]
        rows[:, 4, 1] = -height / old[3]
        change = np.concatenate(((met[:2] - old[:2, None]) / old[2:, None], met[3:] / old[3] - 1.0))
        weight = np.where(good, value, 0.0)[:, None] * np.array([[1.0], [1.0], [0.5]]) / NOISE**2
        weighted = (rows * weight[:, None]).reshape(len(motions), 5, -1)
        wanted = np.matmul(weighted, change.transpose(1, 0, 2).reshape(len(motions), -1, 1))
        normal = np.matmul(weighted, rows.reshape(len(motions), 5, -1).transpose(0, 2, 1))
        fitted = np.linalg.solve(normal + np.diag(USUAL**-2.0), wanted)[..., 0]
        motions = np.where(live[:, None], fitted, motions)
    return motions


def carry(tracks: Table, columns: Index, goal: Array, dt: float) -> None:
    """These tracks have moved to `goal` (4, T), in place."""
    before = tracks.seen_box[:, columns]
    size = np.maximum(before[2:], t.LEAST_SIZE) ** 2
    spread = np.concatenate((SPREAD**2 * size, SPREAD_SIZE**2 * size))
    tracks.box[:, columns] = goal[:, columns]
    tracks.speed[:, columns] = (goal[:, columns] - before) / dt
    tracks.p_vv[:, columns] = spread
    for twice in tracks.p_xv:
        twice[:, columns] = spread * dt
    tracks.p_xx[:, columns] = SHARES.dot(tracks.side[:, columns] * size) + spread * dt**2
