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
from pipelines.track.association import iou_matrix
from pipelines.track.detections import PreparedDetections
from pipelines.track.kalman import SIDE_TO_BOX
from pipelines.track.state import TrackState

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Index = npt.NDArray[np.intp]

# Chosen on KITTI, MOT15 and MOT17 at three rates: what was tried besides is in decision 012.
# Looked for where one in so many of the tracks seen in the last frame meets no box better, or is new,
POOR_OVERLAP, UNSURE_ONE_IN = 0.5, 3
STILL_OVERLAP = 0.4  # and where the boxes do not lie where they were: the mean square of their overlap
MAX_GAP_S = 1.0  # between two frames
MAX_BOXES = 64  # of a frame that are compared, the tallest; of them
MAX_SCORED, MAX_SEEDS = 16, 8  # so many tell how good a motion is, and so many make motions to try
MAX_RATIO = 1.9  # of the sizes of a pair that makes one
PAIRS_AT_ONCE = 50_000  # pairs of boxes that are looked at together, so that they stay in the cache
MIN_BOXES = 3  # that make one; fewer can only follow that of the frame before
BEST, ROUNDS = 4, 3  # so many are fitted, so often
MIN_OVERLAP = 0.2  # of boxes that a motion is fitted to
# Half of the boxes must meet one closely, and three that did not before: without this 8 people who walk each
# their own way are taken for a moving scene in 23 of 30 draws, with it in 1 (decision 012).
CLOSE_OVERLAP, MIN_AGREEING, MIN_NEW = 0.6, 0.5, 3
GAIN, GAIN_BOXES, GAIN_FEW = 1.15, 0.7, 0.3  # a motion must bring so much more than none: times, and boxes
MIN_GAIN = 0.2  # a track takes the scene's motion where that meets a box so much better than its own
SPREAD, SPREAD_SIZE = 1.0, 0.5  # how unsure its speed is then, sizes / s
NOISE = 0.05  # of a box, in sizes
SAME_S = 1e-6
# What a motion between two frames may be, roughly: shift in x and y, expansion for each unit of a box's
# height, and where that comes from, away from the middle.
USUAL: Array = np.array([1.0, 1.0, 10.0, 5.0, 5.0])
MIDDLE = 0.5
MIN_GROWTH, MAX_GROWTH = 0.2, 5.0


class SceneMotion:
    """The scene of one camera; what was seen last is tried again at the next frame."""

    def __init__(self) -> None:
        self._speed: Array = np.zeros(5)  # the last motion, a second

    def follow(
        self, tracks: TrackState, similarity: Floats, detections: PreparedDetections, now_s: float, dt: float
    ) -> bool:
        """Whether the scene has moved in a way that the tracks did not foresee; they follow it, in place.

        `similarity` (T, D) is how well their predictions meet the `detections`.
        """
        if dt > MAX_GAP_S:
            return False
        last = np.abs(tracks.last_s - (now_s - dt)) < SAME_S
        one_box = tracks.step[t.TIME_S] == 0.0
        unsure = last & (one_box | (np.maximum.reduce(similarity, axis=1) < POOR_OVERLAP))
        if np.count_nonzero(unsure) * UNSURE_ONE_IN < np.count_nonzero(last):
            return False
        boxes = detections.data[t.BOX]
        tells = last & (tracks.last_evidence >= 0.0)
        motion = self.find(_tallest(tracks.last_box[:, tells]), _tallest(boxes[:, detections.high]), dt)
        if motion is None:
            return False
        goal = moved(tracks.last_box, motion[None])[0]
        gain = iou_matrix(goal, boxes).max(axis=1) - iou_matrix(tracks.box, boxes).max(axis=1)
        carry(tracks, (last & (one_box | (gain > MIN_GAIN))).nonzero()[0], goal, dt)
        return True

    def find(self, old: Array, new: Array, dt: float) -> Array | None:
        """(5,) the motion in `dt` seconds of the boxes old (4, T) that meets the boxes new (4, D) best; None
        where they lie where they were, or nobody can tell."""
        n = old.shape[1]
        if not n or not new.shape[1]:
            return None
        lying = iou_matrix(old, new)
        nearest = lying.max(axis=1)
        still, met = float(_sum_of_squares(nearest)), np.count_nonzero(nearest)
        if still > STILL_OVERLAP * (met if 3 * met >= 2 * n else n):  # a third may be gone or hidden
            return None
        tries = self._speed[None] * dt
        few = min(n, new.shape[1]) < MIN_BOXES
        if not few:
            tries = np.concatenate((tries, _seeds(_tallest(old, MAX_SEEDS), new)))
        worth = _worth(_tallest(old, MAX_SCORED), new, tries)
        best, most = None, GAIN * still + (GAIN_FEW if few else GAIN_BOXES)
        motions = _fitted(old, new, tries[np.argsort(-worth, kind="stable")[:BEST]])
        meeting = iou_matrix(moved(old, motions), new)
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
    shrunk = np.maximum(1.0 - expansion * height, 1.0 / MAX_GROWTH)
    np.minimum(shrunk, 1.0 / MIN_GROWTH, out=shrunk)
    return np.asarray(1.0 / shrunk)


def _score(overlaps: Floats) -> Array:
    """How well old boxes (..., T, D) meet new ones: a close meeting counts for more than two loose ones."""
    return _sum_of_squares(overlaps.max(axis=-1))


def _sum_of_squares(best: Floats) -> Array:
    return np.asarray((best**2).sum(axis=-1), np.float64)


def _worth(old: Array, new: Array, motions: Array) -> Array:
    """(K,) how well the old boxes (4, T) meet the new ones (4, D) under each of the motions (K, 5).

    Motions and old boxes share the last axis, and not all are tried at a time: numpy is many times as fast
    over few long rows as over many short ones, and where what it makes stays small.
    """
    few, n = new.astype(np.float32), old.shape[1]
    after = moved(old, motions).transpose(1, 0, 2).reshape(4, -1).astype(np.float32)
    np.maximum(after[2:], t.MIN_SIZE, out=after[2:])
    long = PAIRS_AT_ONCE // few.shape[1]
    parts = range(0, after.shape[1], long)
    best = [iou_matrix(few, after[:, k : k + long]).max(axis=0) for k in parts]
    return _sum_of_squares(np.concatenate(best).reshape(-1, n))


def _agree(lying: Floats, meeting: Floats) -> bool:
    """Whether at least half of the old boxes (T, D) meet a new one closely, and some that did not before: a
    motion of five numbers brings a few together by chance."""
    before, after = lying.max(axis=1) > CLOSE_OVERLAP, meeting.max(axis=1) > CLOSE_OVERLAP
    n = np.count_nonzero(after)
    return bool(n >= MIN_AGREEING * len(after) and n - np.count_nonzero(before) >= MIN_NEW)


def _tallest(boxes: Array, most: int = MAX_BOXES) -> Array:
    if boxes.shape[1] <= most:
        return boxes
    return boxes[:, np.argsort(-boxes[3], kind="stable")[:most]]


def _seeds(old: Array, new: Array) -> Array:
    """(2K, 5) motions that would bring an old box onto a new one, for all K pairs of about one size: by a
    shift alone, and by an expansion as they have grown with the shift that is left."""
    ratio = new[2:, None, :] / np.maximum(old[2:, :, None], t.MIN_SIZE)
    i, j = (np.abs(np.log(np.maximum(ratio, t.MIN_SIZE))) < np.log(MAX_RATIO)).all(axis=0).nonzero()
    first, grown = old[:, i], ratio[1, i, j]
    shift = new[:2, j] - first[:2]
    motions = np.zeros((2, len(i), 5))
    motions[0, :, :2] = shift.T
    motions[1, :, :2] = (shift - (grown - 1.0) * (first[:2] - MIDDLE)).T
    motions[1, :, 2] = (1.0 - 1.0 / grown) / np.maximum(first[3], t.MIN_SIZE)
    return motions.reshape(-1, 5)


def _fitted(old: Array, new: Array, motions: Array) -> Array:
    """The motions (K, 5), each by least squares over the boxes that choose each other under it, again and
    again."""
    box_index = np.arange(old.shape[1])
    motion_index = np.arange(len(motions))[:, None]
    away = old[:2] - MIDDLE
    for _ in range(ROUNDS):
        overlap = iou_matrix(moved(old, motions), new)
        choice = overlap.argmax(axis=2)
        best = overlap[motion_index, box_index, choice]
        good = (best > MIN_OVERLAP) & (overlap.argmax(axis=1)[motion_index, choice] == box_index)
        live = np.count_nonzero(good, axis=1) >= MIN_BOXES
        if not live.any():
            break
        met = new[:, choice]
        height = old[3] * _grown(old[3], motions[:, 2:3])  # (K, T)
        jacobian = np.zeros((len(motions), 5, 3, len(box_index)))  # what each number does to x, y and size
        jacobian[:, 0, 0] = 1.0 / old[2]
        jacobian[:, 1, 1] = 1.0 / old[3]
        jacobian[:, 2, :2] = height[:, None] * (away / old[2:])
        jacobian[:, 2, 2] = height
        jacobian[:, 3, 0] = -height / old[2]
        jacobian[:, 4, 1] = -height / old[3]
        change = np.concatenate(((met[:2] - old[:2, None]) / old[2:, None], met[3:] / old[3] - 1.0))
        weight = np.where(good, best, 0.0)[:, None] * np.array([[1.0], [1.0], [0.5]]) / NOISE**2
        weighted = (jacobian * weight[:, None]).reshape(len(motions), 5, -1)
        right_side = np.matmul(weighted, change.transpose(1, 0, 2).reshape(len(motions), -1, 1))
        normal = np.matmul(weighted, jacobian.reshape(len(motions), 5, -1).transpose(0, 2, 1))
        fitted = np.linalg.solve(normal + np.diag(USUAL**-2.0), right_side)[..., 0]
        motions = np.where(live[:, None], fitted, motions)
    return motions


def carry(tracks: TrackState, columns: Index, goal: Array, dt: float) -> None:
    """These tracks have moved to `goal` (4, T), in place."""
    before = tracks.last_box[:, columns]
    size = np.maximum(before[2:], t.MIN_SIZE) ** 2
    spread = np.concatenate((SPREAD**2 * size, SPREAD_SIZE**2 * size))
    tracks.box[:, columns] = goal[:, columns]
    tracks.speed[:, columns] = (goal[:, columns] - before) / dt
    tracks.p_vv[:, columns] = spread
    tracks.p_xv[:, columns] = spread * dt
    tracks.p_xx[:, columns] = SIDE_TO_BOX.dot(tracks.noise[:, columns] * size) + spread * dt**2
