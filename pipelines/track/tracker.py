"""Boxes of one camera's frames -> tracks: predict, associate in stages, correct, confirm, forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import good_boxes
from pipelines.track.assignment import mutual_best
from pipelines.track.settings import TrackerSettings
from pipelines.values import Detections, Image, Labels, Stamp, Tracks

Array = npt.NDArray[np.float64]

# Columns of the state table, one row a track. A side is x1, y1, x2 or y2 of the box.
SIDES = slice(0, 4)  # position of each side
SPEEDS = slice(4, 8)  # speed of each side, per second
P_XX = slice(8, 12)  # variance of the positions
P_XV = slice(12, 16)
P_VV = slice(16, 20)
SEEN_1 = slice(20, 24)  # the last matched box
SEEN_2 = slice(24, 28)  # the one before
NOISE_SUM = slice(28, 30)  # sum of squared noise over size, x and y
NOISE_N = 30
ID = 31
BORN_S = 32
SEEN_S = 33  # time of the last matched box
SEEN_DT = 34  # time between the last two matched boxes
HITS = 35
SCORE = 36
CONFIRMED = 37
COLUMNS = 38

FORMAT = 1


class Tracker:
    """The tracker of one camera. Ids start at 1 in each epoch and are never used twice within it.

    `dropped` counts what was refused, by reason.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.dropped: dict[str, int] = {}
        self._camera: str | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all tracks and start ids at 1 again."""
        self._state: Array = np.zeros((0, COLUMNS))
        self._votes: Array = np.zeros((0, 0))
        self._next_id = 1
        self._epoch: int | None = None
        self._base_ns = 0
        self._now_s = 0.0

    def update(
        self, stamp: Stamp, detections: Detections, labels: Labels, image: Image | None = None
    ) -> Tracks:
        """Take one frame's boxes and return the live tracks at that frame.

        Raises ValueError where the frame is another camera's: each camera has a tracker of its own.
        """
        if not self._advance(stamp):
            return Tracks.empty()
        now = self._now_s
        found, scores, classes = self._accept(detections)
        groups = labels.group_ids()
        if self._votes.shape[1] < len(labels.names):
            more = len(labels.names) - self._votes.shape[1]
            self._votes = np.pad(self._votes, ((0, 0), (0, more)))
        self._predict(self._dt)
        s = self.settings
        state = self._state
        group_of_track = groups[self._votes.argmax(axis=1)] if len(state) else np.zeros(0, np.int32)
        group_of_box = groups[classes]
        seen = np.zeros(len(state), np.bool_)
        free = np.ones(len(found), np.bool_)
        for stage in (0, 1):
            if stage == 0:
                rows = np.arange(len(state))
                columns = np.flatnonzero(scores >= s.high_score)
                least = s.min_similarity
            else:
                rows = np.flatnonzero(~seen)
                columns = np.flatnonzero(free & (scores < s.high_score))
                least = s.min_similarity_low
            if not len(rows) or not len(columns):
                continue
            similarity = self._similarity(state[rows], found[columns])
            similarity[group_of_track[rows][:, None] != group_of_box[columns][None, :]] = -1.0
            r, c = mutual_best(similarity, least)
            r, c = rows[r], columns[c]
            self._correct(r, found[c], scores[c], now)
            self._votes[r, classes[c]] += scores[c]
            seen[r] = True
            free[c] = False
        self._retire(seen, now)
        born = free & (scores >= s.birth_score)
        self._give_birth(found[born], scores[born], classes[born], now)
        return self._shown(now)

    # ---- time and input

    def _advance(self, stamp: Stamp) -> bool:
        if self._camera is None:
            self._camera = stamp.camera
        if stamp.camera != self._camera:
            raise ValueError(
                f"a frame of camera {stamp.camera!r} was given to the tracker of {self._camera!r}: "
                "make one tracker for each camera"
            )
        if stamp.epoch != self._epoch:
            self.reset()
            self._epoch = stamp.epoch
            self._base_ns = stamp.media_ns
            self._now_s = 0.0
            self._dt = 0.0
            return True
        now = (stamp.media_ns - self._base_ns) / 1e9
        self._dt = now - self._now_s
        if self._dt <= 0:
            self._count_drop("time did not advance")
            return False
        self._now_s = now
        return True

    def _count_drop(self, reason: str, n: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + n

    def _accept(self, detections: Detections) -> tuple[Array, Array, npt.NDArray[np.int32]]:
        boxes = detections.boxes_xyxyn.astype(np.float64)
        scores = detections.scores.astype(np.float64)
        classes = detections.class_ids
        good = good_boxes(boxes) & (scores >= self.settings.low_score)
        if not good.all():
            boxes, scores, classes = boxes[good], scores[good], classes[good]
        if len(boxes) > self.settings.max_detections:
            best = np.argsort(-scores, kind="stable")[: self.settings.max_detections]
            self._count_drop("too many boxes", len(boxes) - len(best))
            boxes, scores, classes = boxes[best], scores[best], classes[best]
        return boxes, scores, classes

    # ---- motion

    def _predict(self, dt: float) -> None:
        state = self._state
        if not len(state):
            return
        size = _sizes(state[:, SIDES])
        q = (self.settings.acceleration * size) ** 2
        state[:, SIDES] += dt * state[:, SPEEDS]
        pvv = state[:, P_VV]
        pxv = state[:, P_XV]
        state[:, P_XX] += dt * (2 * pxv + dt * pvv) + q * (dt**3 / 3)
        state[:, P_XV] += dt * pvv + q * (dt**2 / 2)
        state[:, P_VV] += q * dt

    def _correct(self, rows: npt.NDArray[np.intp], boxes: Array, scores: Array, now: float) -> None:
        if not len(rows):
            return
        state = self._state[rows]
        size = _sizes(boxes)
        self._measure_noise(state, boxes, size, now)
        r = (self._noise(state) * size) ** 2
        gap = boxes - state[:, SIDES]
        pxx, pxv = state[:, P_XX].copy(), state[:, P_XV].copy()
        inverse = 1.0 / (pxx + r)
        k, kv = pxx * inverse, pxv * inverse
        state[:, SIDES] += k * gap
        state[:, SPEEDS] += kv * gap
        state[:, P_XX] = (1 - k) * pxx
        state[:, P_XV] = (1 - k) * pxv
        state[:, P_VV] -= kv * pxv
        state[:, SEEN_2] = state[:, SEEN_1]
        state[:, SEEN_1] = boxes
        state[:, SEEN_DT] = now - state[:, SEEN_S]
        state[:, SEEN_S] = now
        state[:, HITS] += 1
        state[:, SCORE] = scores
        state[:, CONFIRMED] = state[:, HITS] >= self.settings.confirm_hits
        self._state[rows] = state

    def _measure_noise(self, state: Array, boxes: Array, size: Array, now: float) -> None:
        """Second differences of three boxes in a row have 6 times the variance of one box's noise."""
        dt = now - state[:, SEEN_S]
        even = (state[:, HITS] >= 2) & (np.abs(dt - state[:, SEEN_DT]) < 0.25 * dt)
        bend = (boxes - 2 * state[:, SEEN_1] + state[:, SEEN_2]) / size
        square = np.minimum(bend * bend / 6.0, 0.04)
        both = (square[:, :2] + square[:, 2:]) / 2
        state[:, NOISE_SUM] = np.where(even[:, None], state[:, NOISE_SUM] * 0.95 + both, state[:, NOISE_SUM])
        state[:, NOISE_N] = np.where(even, state[:, NOISE_N] * 0.95 + 1, state[:, NOISE_N])

    def _noise(self, state: Array) -> Array:
        """(N, 4) standard deviation of each side's noise over the size of the box."""
        weight = 4.0
        prior = self.settings.size_noise**2
        mean = (state[:, NOISE_SUM] + weight * prior) / (state[:, NOISE_N, None] + weight)
        sigma = np.sqrt(mean)
        return np.concatenate([sigma, sigma], axis=1)

    # ---- association

    def _similarity(self, tracks: Array, boxes: Array) -> Array:
        """(T, D) overlap of grown boxes: the less is known of where a track is, the more both grow."""
        s = self.settings
        sides = tracks[:, SIDES]
        size = _sizes(sides)[:, :2]
        grow = s.buffer * size + s.buffer_sigmas * np.sqrt(
            (tracks[:, P_XX][:, :2] + tracks[:, P_XX][:, 2:]) / 2
        )
        grow = np.minimum(grow, size)
        low = np.maximum(sides[:, None, :2], boxes[None, :, :2])
        high = np.minimum(sides[:, None, 2:], boxes[None, :, 2:])
        shared = np.maximum(high - low + 2 * grow[:, None, :], 0.0)
        area = shared[..., 0] * shared[..., 1]
        own = np.prod(size + 2 * grow, axis=1)
        other = np.prod((boxes[:, 2:] - boxes[:, :2])[None] + 2 * grow[:, None, :], axis=2)
        return area / (own[:, None] + other - area)

    # ---- life and death

    def _retire(self, seen: npt.NDArray[np.bool_], now: float) -> None:
        state = self._state
        if not len(state):
            return
        s = self.settings
        gap = now - state[:, SEEN_S]
        keep = np.where(state[:, CONFIRMED] > 0, gap <= s.lost_s, seen | (gap <= 0.25))
        centre = (state[:, 0:2] + state[:, 2:4]) / 2
        outside = ((centre < -0.02) | (centre > 1.02)).any(axis=1)
        keep &= seen | ~outside
        if not keep.all():
            self._state = state[keep]
            self._votes = self._votes[keep]

    def _give_birth(self, boxes: Array, scores: Array, classes: npt.NDArray[np.int32], now: float) -> None:
        n = len(boxes)
        if not n:
            return
        s = self.settings
        fresh = np.zeros((n, COLUMNS))
        size = _sizes(boxes)
        fresh[:, SIDES] = boxes
        fresh[:, P_XX] = (s.size_noise * size) ** 2
        fresh[:, P_VV] = (s.speed_prior * size) ** 2
        fresh[:, SEEN_1] = boxes
        fresh[:, SEEN_2] = boxes
        fresh[:, ID] = np.arange(self._next_id, self._next_id + n)
        fresh[:, BORN_S] = now
        fresh[:, SEEN_S] = now
        fresh[:, HITS] = 1
        fresh[:, SCORE] = scores
        fresh[:, CONFIRMED] = s.confirm_hits <= 1
        self._next_id += n
        votes = np.zeros((n, self._votes.shape[1]))
        votes[np.arange(n), classes] = scores
        self._state = np.concatenate([self._state, fresh])
        self._votes = np.concatenate([self._votes, votes])

    def _shown(self, now: float) -> Tracks:
        state = self._state
        gap = now - state[:, SEEN_S]
        index = np.flatnonzero((state[:, CONFIRMED] > 0) & (gap <= self.settings.coast_s))
        rows = state[index]
        sides = rows[:, SIDES]
        noise = self._noise(rows)[:, :2] * _sizes(sides)[:, :2]
        return Tracks(
            rows[:, ID].astype(np.int64),
            sides.astype(np.float32),
            rows[:, SCORE].astype(np.float32),
            self._votes[index].argmax(axis=1).astype(np.int32) if len(index) else np.zeros(0, np.int32),
            gap[index] == 0,
            noise.astype(np.float32),
        )

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on."""
        return {
            "format": FORMAT,
            "camera": self._camera,
            "epoch": self._epoch,
            "base_ns": self._base_ns,
            "now_s": self._now_s,
            "next_id": self._next_id,
            "state": np.round(self._state, 7).tolist(),
            "votes": np.round(self._votes, 3).tolist(),
            "classes": self._votes.shape[1],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`; raises ValueError where it was saved by another version."""
        if saved.get("format") != FORMAT:
            raise ValueError(f"tracker state of format {saved.get('format')!r} cannot be restored")
        self._camera = saved["camera"]
        self._epoch = saved["epoch"]
        self._base_ns = int(saved["base_ns"])
        self._now_s = float(saved["now_s"])
        self._next_id = int(saved["next_id"])
        self._state = np.array(saved["state"], np.float64).reshape(-1, COLUMNS)
        self._votes = np.array(saved["votes"], np.float64).reshape(len(self._state), int(saved["classes"]))


def _sizes(sides: Array) -> Array:
    """(N, 4) width, height, width, height of (N, 4) boxes, never less than a hundredth of a percent."""
    extent = np.maximum(sides[:, 2:] - sides[:, :2], 1e-4)
    return np.concatenate([extent, extent], axis=1)


def create_tracker(settings: TrackerSettings | None = None) -> Tracker:
    """A tracker for one camera; the default settings are good for all scenes."""
    return Tracker(settings)
