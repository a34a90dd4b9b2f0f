"""Boxes of one camera's frames -> tracks: predict, associate in two stages, correct, confirm, forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import good_boxes
from pipelines.track import checkpoint
from pipelines.track import table as t
from pipelines.track.association import mutual_best, similarity
from pipelines.track.evidence import ScoreScale
from pipelines.track.motion import Motion
from pipelines.track.settings import TrackerSettings
from pipelines.values import Detections, Image, Labels, Stamp, Tracks

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

MOST_EVIDENCE = 3.0  # of one box
TEACH_FROM, TEACH_TO = 5, 60  # boxes of a track, by number, that teach the usual score:
# not all, lest one person who stands for an hour sets it
BACKWARDS_S = 1.0  # media time that falls back by more begins anew; by less, the frame is dropped
HISTORY = 32  # boxes kept of a track that is not shown yet
OUTSIDE = 0.02  # a predicted centre this far out of the picture has left it


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
        self._next_id = 1
        self._epoch: int | None = None
        self._motion = Motion(self.settings)
        self._scale = ScoreScale(self.settings.border_sigmas)
        self._clear()

    def _clear(self) -> None:
        self._state: Array = np.zeros((0, t.COLUMNS))
        self._votes: Array = np.zeros((0, 0))
        self._early: dict[int, list[list[float]]] = {}
        self._base_ns: int | None = None
        self._now_s = 0.0
        self._dt = 0.0

    def update(
        self,
        stamp: Stamp,
        detections: Detections,
        labels: Labels,
        image: Image | None = None,  # noqa: ARG002
    ) -> Tracks:
        """Take one frame's boxes and return the live tracks at that frame.

        Boxes that are not finite or have no area are dropped and counted, and so is a frame whose media
        time does not advance. Raises ValueError where the frame is another camera's: each camera has a
        tracker of its own. `image` is part of the protocol; this tracker looks at boxes alone.
        """
        if not self._advance(stamp):
            return Tracks.empty()
        boxes, scores, classes = self._accept(detections)
        evidence = self._scale.evidence(scores)
        if self._votes.shape[1] < len(labels.names):
            self._votes = np.pad(self._votes, ((0, 0), (0, len(labels.names) - self._votes.shape[1])))
        if len(self._state):
            self._motion.predict(self._state, self._dt)
        free = self._associate(boxes, scores, classes, evidence, labels.group_ids())
        self._forget()
        born = np.flatnonzero(free)
        self._give_birth(boxes[born], scores[born], classes[born], evidence[born])
        return self._shown()

    # ---- what comes in

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
        if self._base_ns is None:
            self._base_ns = stamp.media_ns
            return True
        dt = (stamp.media_ns - self._base_ns) / 1e9 - self._now_s
        if dt < -BACKWARDS_S:
            self._count("media time fell back", 1)
            self._clear()
            self._base_ns = stamp.media_ns
            return True
        if dt <= 0:
            self._count("media time did not advance", 1)
            return False
        self._now_s += dt
        self._dt = dt
        return True

    def _count(self, reason: str, n: int) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + n

    def _accept(self, detections: Detections) -> tuple[Array, Array, npt.NDArray[np.int32]]:
        boxes = detections.boxes_xyxyn.astype(np.float64)
        scores = detections.scores.astype(np.float64)
        classes = detections.class_ids
        if not len(boxes):
            return boxes, scores, classes
        sound = good_boxes(boxes) & np.isfinite(scores)
        if not sound.all():
            self._count("box not finite or without area", int((~sound).sum()))
        keep = np.flatnonzero(sound & (scores >= self.settings.low_score))
        if len(keep) > self.settings.max_boxes:
            self._count("more boxes than a frame may have", len(keep) - self.settings.max_boxes)
            best = np.argsort(-scores[keep], kind="stable")[: self.settings.max_boxes]
            keep = keep[np.sort(best)]
        if len(keep) == len(boxes):
            return boxes, scores, classes
        return boxes[keep], scores[keep], classes[keep]

    # ---- who is who

    def _associate(
        self,
        boxes: Array,
        scores: Array,
        classes: npt.NDArray[np.int32],
        evidence: Array,
        groups: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.bool_]:
        """Match sure boxes before unsure ones (ByteTrack: Zhang et al., ECCV 2022) and tracks that ever had
        a sure box before those that never had; return (D,) who is left over. A track is matched only by
        boxes of its own group of classes. Every box left over begins a track, but only sure ones get it
        shown: the rest is its history, should it turn out to be an object that came in badly seen."""
        free = np.ones(len(boxes), np.bool_)
        if not len(boxes) or not len(self._state):
            return free
        s = self.settings
        alike = similarity(self._state, boxes, s.buffer, s.buffer_sigmas)
        own = groups[self._votes.argmax(axis=1)]
        other = groups[classes]
        if own.min() != own.max() or other.min() != other.max() or own[0] != other[0]:
            alike[own[:, None] != other] = -1.0
        sure = evidence >= 0
        least = np.where(sure, s.min_similarity, s.min_similarity_low)
        first = alike + np.where(sure, 2.0, 0.0) + (self._state[:, t.SURE_HITS] > 0)[:, None]
        rows, columns = mutual_best(np.where(alike >= least, first, -1.0), 0.0)
        free[columns] = False
        if len(rows):
            self._correct(rows, boxes[columns], scores[columns], classes[columns], evidence[columns])
        return free

    def _correct(
        self,
        rows: Index,
        boxes: Array,
        scores: Array,
        classes: npt.NDArray[np.int32],
        evidence: Array,
    ) -> None:
        now = self._now_s
        state = self._state[rows]
        self._motion.correct(state, boxes, now)
        state[:, t.SEEN_2] = state[:, t.SEEN_1]
        state[:, t.SEEN_1] = boxes
        state[:, t.SEEN_DT] = now - state[:, t.SEEN_S]
        state[:, t.SEEN_S] = now
        state[:, t.HITS] += 1
        state[:, t.SCORE] = scores
        state[:, t.LAST_EVIDENCE] = evidence
        state[:, t.SURE_HITS] += evidence >= 0
        state[:, t.EVIDENCE] += np.where(state[:, t.SURE_HITS] > 0, np.minimum(evidence, MOST_EVIDENCE), 0.0)
        s = self.settings
        proven = (state[:, t.SURE_HITS] >= s.confirm_hits) & (state[:, t.EVIDENCE] >= s.confirm_evidence)
        state[:, t.CONFIRMED] = np.maximum(state[:, t.CONFIRMED], proven)
        self._state[rows] = state
        self._votes[rows, classes] += scores
        taught = (
            (state[:, t.CONFIRMED] > 0) & (state[:, t.HITS] >= TEACH_FROM) & (state[:, t.HITS] <= TEACH_TO)
        )
        self._scale.learn(scores[taught])
        if self._early:
            self._remember(state)

    # ---- life and death

    def _forget(self) -> None:
        state = self._state
        if not len(state):
            return
        s = self.settings
        gap = self._now_s - state[:, t.SEEN_S]
        unseen = gap > 0
        if not unseen.any():
            return
        patience = np.where(state[:, t.CONFIRMED] > 0, s.lost_s, max(s.tentative_s, 1.5 * self._dt))
        twice = state[:, 0:2] + state[:, 2:4]
        outside = ((twice < -2 * OUTSIDE) | (twice > 2 + 2 * OUTSIDE)).any(axis=1)
        gone = unseen & ((gap > patience) | outside)
        if gone.any():
            for track_id in state[gone, t.ID].astype(np.int64).tolist():
                self._early.pop(track_id, None)
            self._state = state[~gone]
            self._votes = self._votes[~gone]

    def _give_birth(
        self, boxes: Array, scores: Array, classes: npt.NDArray[np.int32], evidence: Array
    ) -> None:
        s = self.settings
        room = s.max_tracks - len(self._state)
        if len(boxes) > room:
            self._count("more tracks than a camera may have", len(boxes) - room)
            best = np.argsort(-scores, kind="stable")[:room]
            boxes, scores, classes, evidence = boxes[best], scores[best], classes[best], evidence[best]
        n = len(boxes)
        if not n:
            return
        fresh = np.zeros((n, t.COLUMNS))
        size = t.sizes(boxes)
        fresh[:, t.SIDES] = boxes
        fresh[:, t.P_XX] = (self._motion.box_noise(fresh) * size) ** 2
        fresh[:, t.P_VV] = (s.speed_prior * size) ** 2
        fresh[:, t.SEEN_1] = boxes
        fresh[:, t.SEEN_2] = boxes
        fresh[:, t.ID] = np.arange(self._next_id, self._next_id + n)
        fresh[:, t.SEEN_S] = self._now_s
        fresh[:, t.HITS] = 1
        fresh[:, t.SCORE] = scores
        fresh[:, t.EVIDENCE] = np.clip(evidence, 0.0, MOST_EVIDENCE)
        fresh[:, t.SURE_HITS] = evidence >= 0
        fresh[:, t.LAST_EVIDENCE] = evidence
        fresh[:, t.MANEUVER] = 1.0
        fresh[:, t.CONFIRMED] = (s.confirm_hits <= 1) & (fresh[:, t.EVIDENCE] >= s.confirm_evidence)
        self._next_id += n
        votes = np.zeros((n, self._votes.shape[1]))
        votes[np.arange(n), classes] = scores
        self._state = np.concatenate([self._state, fresh])
        self._votes = np.concatenate([self._votes, votes])
        for row in fresh.tolist():
            self._early[int(row[t.ID])] = [[self._now_s, *row[t.SEEN_1], row[t.LAST_EVIDENCE]]]

    def _remember(self, state: Array) -> None:
        """Keep the boxes of tracks that are not shown yet: a line may lie behind them already."""
        for row in state.tolist():
            boxes = self._early.get(int(row[t.ID]))
            if boxes is not None and not row[t.CONFIRMED] and len(boxes) < HISTORY:
                boxes.append([self._now_s, *row[t.SEEN_1], row[t.LAST_EVIDENCE]])

    # ---- what goes out

    def _shown(self) -> Tracks:
        state = self._state
        gap = self._now_s - state[:, t.SEEN_S]
        index = np.flatnonzero((state[:, t.CONFIRMED] > 0) & (gap <= self.settings.coast_s))
        if not len(index):
            return Tracks.empty()
        rows = state[index]
        ids = rows[:, t.ID].astype(np.int64)
        noise = self._motion.box_noise(rows)[:, :2] * t.sizes(rows[:, t.SIDES])[:, :2]
        return Tracks(
            ids,
            rows[:, t.SIDES].astype(np.float32),
            rows[:, t.SCORE].astype(np.float32),
            self._votes[index].argmax(axis=1).astype(np.int32),
            gap[index] == 0,
            noise.astype(np.float32),
            measured_xyxyn=rows[:, t.SEEN_1].astype(np.float32),
            evidence=rows[:, t.LAST_EVIDENCE].astype(np.float32),
            history=self._histories(ids) if self._early else {},
        )

    def _histories(self, ids: npt.NDArray[np.int64]) -> dict[int, Array]:
        found: dict[int, Array] = {}
        for track_id in ids.tolist():
            boxes = self._early.pop(track_id, None)
            if boxes:
                table = np.array(boxes)
                table[:, 0] = self._now_s - table[:, 0]
                found[track_id] = table[table[:, 0] > 0]
        return found

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on; about 0.5 KB a track."""
        return checkpoint.save(
            self._state,
            self._votes,
            {
                "camera": self._camera,
                "epoch": self._epoch,
                "base_ns": self._base_ns,
                "now_s": self._now_s,
                "next_id": self._next_id,
                "motion": self._motion.save(),
                "scale": self._scale.save(),
                "early": [[k, rows] for k, rows in self._early.items()],
            },
        )

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it was saved by another version or is damaged."""
        state, votes, rest = checkpoint.restore(saved)
        self._camera = rest["camera"]
        self._epoch = rest["epoch"]
        self._base_ns = rest["base_ns"]
        self._now_s = float(rest["now_s"])
        self._dt = 0.0
        self._next_id = int(rest["next_id"])
        self._motion.restore(rest["motion"])
        self._scale.restore(rest["scale"])
        self._early = {int(k): [list(map(float, row)) for row in rows] for k, rows in rest["early"]}
        self._state, self._votes = state, votes


def create_tracker(settings: TrackerSettings | None = None) -> Tracker:
    """A tracker for one camera; the default settings are good for all scenes."""
    return Tracker(settings)
