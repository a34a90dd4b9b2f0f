"""Boxes of one camera's frames -> tracks: predict, associate in two stages, correct, confirm, forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import good_boxes
from pipelines.track import checkpoint
from pipelines.track import table as t
from pipelines.track.appearance import Looks
from pipelines.track.association import mutual_best, similarity
from pipelines.track.camera_motion import CameraMotion
from pipelines.track.early import Early
from pipelines.track.evidence import ScoreScale
from pipelines.track.motion import Motion
from pipelines.track.settings import TrackerSettings
from pipelines.track.shown import shown
from pipelines.values import Detections, Image, Labels, Stamp, Tracks

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

MOST_EVIDENCE = 3.0  # of one box
TEACH_FROM, TEACH_TO = 5, 60  # boxes of a track, by number, that teach the usual score:
# not all, lest one person who stands for an hour sets it
BACKWARDS_S = 1.0  # media time that falls back by more begins anew; by less, the frame is dropped
OUTSIDE = 0.02  # a predicted centre this far out of the picture has left it


class Tracker:
    """The tracker of one camera. Ids start at 1 in each epoch and are never used twice within it.

    `dropped` counts what was refused, by reason; `camera_motion` tells how far the view has moved.
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
        self.camera_motion = CameraMotion()
        self._clear()

    def _clear(self) -> None:
        self._table: Array = np.zeros((t.ROWS, self.settings.max_tracks))
        self._n = 0
        self._state: Array = self._table[:, :0]  # the part of the table that is in use
        self._votes: Array = np.zeros((self.settings.max_tracks, 1))
        self._class: Index = np.zeros(0, np.intp)
        self._looks = Looks(self.settings.max_tracks)
        self._units: npt.NDArray[np.float32] | None = None  # how this frame's boxes look
        self._early = Early()
        self._base_ns: int | None = None
        self._now_s = 0.0
        self._dt = 0.0

    def update(
        self,
        stamp: Stamp,
        detections: Detections,
        labels: Labels,
        image: Image | None = None,
    ) -> Tracks:
        """Take one frame's boxes and return the live tracks at that frame.

        Boxes that are not finite or have no area are dropped and counted, and so is a frame whose media
        time does not advance. Raises ValueError where the frame is another camera's: each camera has a
        tracker of its own. `image`, the frame or its small grey copy (camera_motion.py), is asked how the
        view has moved; without it the view is taken to stand still.
        """
        if not self._advance(stamp):
            return Tracks.empty()
        boxes, scores, classes = self._accept(detections)
        evidence = self._scale.evidence(scores)
        if self._votes.shape[1] < len(labels.names):
            self._votes = np.pad(self._votes, ((0, 0), (0, len(labels.names) - self._votes.shape[1])))
        if self._n:
            self._motion.predict(self._state, self._dt)
        if image is not None:
            shift = self.camera_motion.follow(image, detections.boxes_xyxyn)
            if shift is not None:
                self._motion.shift(self._state, shift)
        free = self._associate(boxes, scores, classes, evidence, labels.group_ids())
        self._forget()
        if free is None:
            self._give_birth(boxes, scores, classes, evidence, self._units)
        elif len(free):
            units = None if self._units is None else self._units[free]
            self._give_birth(boxes[:, free], scores[free], classes[free], evidence[free], units)
        self._class = self._votes[: self._n].argmax(axis=1)
        return shown(self._state, self._class, self._motion, self._early, self._now_s, self.settings.coast_s)

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
        """The usable boxes (4, N) as centres and extents, their scores and classes."""
        boxes, scores, classes = detections.boxes_xyxyn, detections.scores, detections.class_ids
        units = self._looks.units(detections.embeddings)
        if len(boxes):
            sound = good_boxes(boxes) & np.isfinite(scores)
            keep = sound & (scores >= self.settings.low_score)
            if not keep.all():
                if not sound.all():
                    self._count("box not finite or without area", int((~sound).sum()))
                boxes, scores, classes = boxes[keep], scores[keep], classes[keep]
                units = None if units is None else units[keep]
            if len(boxes) > self.settings.max_boxes:
                self._count("more boxes than a frame may have", len(boxes) - self.settings.max_boxes)
                best = np.sort(np.argsort(-scores, kind="stable")[: self.settings.max_boxes])
                boxes, scores, classes = boxes[best], scores[best], classes[best]
                units = None if units is None else units[best]
        self._units = units
        return t.from_sides(boxes.astype(np.float64)), scores.astype(np.float64), classes

    # ---- who is who

    def _associate(
        self,
        boxes: Array,
        scores: Array,
        classes: npt.NDArray[np.int32],
        evidence: Array,
        groups: npt.NDArray[np.int32],
    ) -> Index | None:
        """Match sure boxes before unsure ones (ByteTrack: Zhang et al., ECCV 2022) and tracks that ever had
        a sure box before those that never had; return which are left over, None for all. A track is matched
        only by boxes of its own group of classes. Every box left over begins a track, but only sure ones get
        it shown: the rest is its history, should it turn out to be an object that came in badly seen."""
        if not len(scores) or not self._n:
            return None
        s = self.settings
        state = self._state
        alike = similarity(state, boxes, s.buffer, s.buffer_sigmas)
        if self._units is not None:
            self._looks.weigh(alike, self._units)
        if len(groups) > 1:
            alike[groups[self._class][:, None] != groups[classes]] = -1.0
        sure = evidence >= 0
        refused = alike < np.where(sure, s.min_similarity, s.min_similarity_low)
        alike += 2 * sure.astype(np.float32)
        alike += (state[t.SURE_HITS] > 0)[:, None]
        alike[refused] = -1.0
        rows, columns = mutual_best(alike)
        if not len(rows):
            return None
        self._correct(rows, columns, boxes, scores, classes, evidence)
        if self._units is not None:
            self._looks.learn(rows, self._units[columns])
        free = np.ones(len(scores), np.bool_)
        free[columns] = False
        return free.nonzero()[0]

    def _correct(
        self,
        rows: Index,
        columns: Index,
        boxes: Array,
        scores: Array,
        classes: npt.NDArray[np.int32],
        evidence: Array,
    ) -> None:
        """Give the tracks `rows` the boxes `columns`. What is true of unmatched tracks is written anew to
        them, so that no table has to be gathered and scattered."""
        now, state = self._now_s, self._state
        matched = np.zeros(self._n)
        matched[rows] = 1.0
        box = state[t.BOX].copy()
        box[:, rows] = boxes[:, columns]
        self._motion.correct(state, box, matched, now)
        found = np.zeros((2, self._n))
        scores, evidence = scores[columns], evidence[columns]
        there = matched > 0
        np.copyto(state[t.SEEN_2], state[t.SEEN_1], where=there)
        np.copyto(state[t.SEEN_1], box, where=there)
        np.copyto(state[t.SEEN_DT], now - state[t.SEEN_S], where=there)
        np.copyto(state[t.SEEN_S], now, where=there)
        state[t.HITS] += matched
        state[t.SCORE, rows] = scores
        state[t.LAST_EVIDENCE, rows] = evidence
        found[0, rows] = evidence >= 0
        found[1, rows] = np.minimum(evidence, MOST_EVIDENCE)
        sure = state[t.SURE_HITS]
        sure += found[0]
        found[1] *= sure > 0
        state[t.EVIDENCE] += found[1]
        s = self.settings
        proven = state[t.EVIDENCE] >= s.confirm_evidence
        proven &= sure >= s.confirm_hits
        proven &= there
        np.maximum(state[t.CONFIRMED], proven, out=state[t.CONFIRMED])
        self._votes[rows, classes[columns]] += scores
        hits = state[t.HITS, rows]
        taught = state[t.CONFIRMED, rows] > 0
        taught &= hits >= TEACH_FROM
        taught &= hits <= TEACH_TO
        self._scale.learn(scores[taught])
        self._early.remember(state, rows, now)

    # ---- life and death

    def _forget(self) -> None:
        if not self._n:
            return
        state, s = self._state, self.settings
        gap = self._now_s - state[t.SEEN_S]
        if gap.max() <= 0.0:
            return
        hasty = max(s.tentative_s, 1.5 * self._dt)
        gone = gap > hasty + (s.lost_s - hasty) * state[t.CONFIRMED]
        off = np.abs(state[:2] - 0.5)
        gone |= (off[0] > 0.5 + OUTSIDE) & (gap > 0)
        gone |= (off[1] > 0.5 + OUTSIDE) & (gap > 0)
        if gone.any():
            self._early.forget(state[t.ID, gone].tolist())
            keep = (~gone).nonzero()[0]
            self._resize(len(keep))
            self._state[:] = state[:, keep]
            self._votes[: self._n] = self._votes[keep]
            self._looks.keep(keep)

    def _resize(self, n: int) -> None:
        self._n = n
        self._state = self._table[:, :n]

    def _give_birth(
        self,
        boxes: Array,
        scores: Array,
        classes: npt.NDArray[np.int32],
        evidence: Array,
        units: npt.NDArray[np.float32] | None,
    ) -> None:
        s = self.settings
        room = s.max_tracks - self._n
        if len(scores) > room:
            self._count("more tracks than a camera may have", len(scores) - room)
            best = np.argsort(-scores, kind="stable")[:room]
            boxes, scores, classes, evidence = boxes[:, best], scores[best], classes[best], evidence[best]
            units = None if units is None else units[best]
        n = len(scores)
        if not n:
            return
        old = self._n
        self._resize(old + n)
        fresh = self._state[:, old:]
        fresh[:] = 0.0
        size = np.maximum(boxes[2:], t.LEAST_SIZE)
        fresh[t.BOX] = boxes
        self._motion.begin(fresh, size)
        self._motion.join(fresh, size, self._state[:, :old], self._now_s)
        fresh[t.SEEN_1] = boxes
        fresh[t.SEEN_2] = boxes
        fresh[t.ID] = np.arange(self._next_id, self._next_id + n)
        fresh[t.SEEN_S] = self._now_s
        fresh[t.HITS] = 1
        fresh[t.SCORE] = scores
        fresh[t.EVIDENCE] = np.clip(evidence, 0.0, MOST_EVIDENCE)
        fresh[t.SURE_HITS] = evidence >= 0
        fresh[t.LAST_EVIDENCE] = evidence
        fresh[t.MANEUVER] = 1.0
        fresh[t.CONFIRMED] = (s.confirm_hits <= 1) & (fresh[t.EVIDENCE] >= s.confirm_evidence)
        self._next_id += n
        self._votes[old : old + n] = 0.0
        self._votes[np.arange(old, old + n), classes] = scores
        self._looks.begin(slice(old, old + n), units)
        self._early.begin(self._state, range(old, old + n), self._now_s)

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on; about 0.5 KB a track.

        What tracks look like, and the last picture of the view, are learnt anew.
        """
        return checkpoint.save(
            self._state,
            self._votes[: self._n],
            {
                "camera": self._camera,
                "epoch": self._epoch,
                "base_ns": self._base_ns,
                "now_s": self._now_s,
                "next_id": self._next_id,
                "motion": self._motion.save(),
                "scale": self._scale.save(),
                "early": self._early.save(),
            },
        )

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it was saved by another version or is damaged."""
        state, votes, rest = checkpoint.restore(saved)
        if state.shape[1] > self.settings.max_tracks:
            raise ValueError(f"the saved tracker state holds {state.shape[1]} tracks, more than there may be")
        self._clear()
        self._camera = rest["camera"]
        self._epoch = rest["epoch"]
        self._base_ns = rest["base_ns"]
        self._now_s = float(rest["now_s"])
        self._next_id = int(rest["next_id"])
        self._motion.restore(rest["motion"])
        self._scale.restore(rest["scale"])
        self._early.restore(rest["early"])
        self._resize(state.shape[1])
        self._state[:] = state
        self._votes = np.zeros((self.settings.max_tracks, max(votes.shape[1], 1)))
        self._votes[: self._n, : votes.shape[1]] = votes
        self._class = self._votes[: self._n].argmax(axis=1)


def create_tracker(settings: TrackerSettings | None = None) -> Tracker:
    """A tracker for one camera; the default settings are good for all scenes."""
    return Tracker(settings)
