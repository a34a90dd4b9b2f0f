"""Boxes of one camera's frames -> tracks.

A frame goes the way of SORT (Bewley et al., ICIP 2016) and ByteTrack (Zhang et al., "ByteTrack: Multi-Object
Tracking by Associating Every Detection Box", ECCV 2022): predict, associate high detections, associate low
ones, stitch, correct, remove, spawn. What differs is measured at each camera instead of set: the border
between high and low (score_calibration.py), the noise and the acceleration of the filter (kalman.py), the
buffer of the boxes that are compared (association.py) and what looks say (appearance.py). Decisions 012 and
015 tell what each step brought, and what was tried besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import output
from pipelines.track.appearance import AppearanceModel
from pipelines.track.association import REFUSED, BufferedIoU, Matches, greedy_assignment
from pipelines.track.class_voting import ClassVoting
from pipelines.track.confirmation import Confirmation, TentativeHistory
from pipelines.track.detections import PreparedDetections, prepare
from pipelines.track.global_motion import CameraMotion
from pipelines.track.kalman import KalmanFilter
from pipelines.track.large_displacement import NONE, LargeDisplacement
from pipelines.track.needed_rate import TrackMotion
from pipelines.track.output import TrackOutput
from pipelines.track.scene_motion import SceneMotion
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.standstill import Standstill
from pipelines.track.state import BOX, CLASS, SCORE, TrackState
from pipelines.track.stitching import Appearance, stitch_tracks
from pipelines.values import Bools, Detections, Floats, Image, Labels, Stamp, Tracks

Index = npt.NDArray[np.intp]

BACKWARDS_S = 1.0  # media time that falls back by more begins anew; by less, the frame is dropped
MERGED_S = 1e6  # not seen for so long: a track that is another's beginning, and goes at this frame
OUTSIDE = 0.02  # a predicted centre this far out of the picture, or of what is looked at of it, has left
PREVIOUS = 1.5  # frames: a track that was seen since so many was seen in the last one


@dataclass(slots=True, eq=False)
class _Association:
    """What is known of one frame's pairs of T tracks and D detections while it is associated.

    `embeddings` (D, E) are unit vectors; `similarity` (T, D) is the IoU of buffered boxes, weighed by looks;
    `class_mismatch` (T, D) are the pairs whose classes are of two groups, None where there is but one.
    """

    detections: PreparedDetections
    embeddings: Floats | None
    similarity: npt.NDArray[np.floating]
    class_mismatch: Bools | None
    matches: Matches


class Tracker:
    """The tracker of one camera. Ids start at 1 in each epoch and are never used twice within it.

    `dropped` counts what was refused, by reason; `camera_motion` tells how far the view has moved. `view` is
    the part x1, y1, x2, y2 of the picture that is looked at: outside of it nobody is found again.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.dropped: dict[str, int] = {}
        self._iou = BufferedIoU(self.settings)
        self._confirmation = Confirmation(self.settings)
        self._output = TrackOutput(self.settings)
        self.view: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
        self._camera: str | None = None
        self._epoch: int | None = None
        self._next_id = 1
        self._spent: dict[int, int] = {}  # by epoch, other than the present one: the next id
        self.reset()

    @property
    def spent(self) -> tuple[int | None, int]:
        """The epoch, and within it the lowest id that no track has had."""
        if self._epoch is not None:
            return self._epoch, self._next_id
        return next(reversed(self._spent.items()), (None, 1))

    def spend(self, epoch: int, next_id: int) -> None:
        """Give no track of `epoch` an id below `next_id`: others of this camera have had those."""
        if self._epoch == epoch:
            self._next_id = max(self._next_id, next_id)
        else:
            self._spent[epoch] = max(self._spent.pop(epoch, 1), next_id)

    @property
    def follows(self) -> bool:
        """Whether there is a track, be it tentative or lost for the moment."""
        return bool(self._tracks.n)

    @property
    def stands_still(self) -> bool:
        """Whether there are tracks, and all of them have stood still for long."""
        return self._standstill.all_stand

    @property
    def motion(self) -> TrackMotion:
        """What its tracks do after the last frame, tentative ones too; a copy."""
        tracks = self._tracks
        return TrackMotion(tracks.box.copy(), tracks.speed[:2].copy(), tracks.hits.copy())

    def reset(self) -> None:
        """Forget all tracks. Ids start at 1 with the next epoch, and go on where that is the same."""
        if self._epoch is not None:
            self._spent[self._epoch] = self._next_id
        self._next_id = 1
        self._epoch = None
        self._filter = KalmanFilter(self.settings)
        self._scale = ScoreScale(self.settings.border_sigmas)
        self.camera_motion = CameraMotion()
        self._clear()

    def _clear(self) -> None:
        self._tracks = TrackState.empty()
        self._classes = ClassVoting()
        self._appearance = AppearanceModel(self.settings.max_tracks)
        self._history = TentativeHistory()
        self._scene = SceneMotion()
        self._displacement = LargeDisplacement()
        self._standstill = Standstill()
        self._base_ns: int | None = None  # the first frame's media time, and the last one's
        self._last_ns = 0
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
        tracker of its own. `image`, the frame or its small grey copy (global_motion.py), is asked how the
        view has moved; without it the view is taken to stand still.
        """
        if not self._advance(stamp):
            return Tracks.empty()
        prepared = prepare(detections, self._now_s, self._scale, self.settings, self._drop)
        self._classes.widen(len(labels.names))
        self._predict()
        self._compensate_camera_motion(image, detections)
        frame = self._compare(prepared, labels)
        self._associate_high(frame)
        self._associate_low(frame)
        self._stitch(frame)
        self._correct(frame)
        self._remove_lost(frame)  # first, for there may be only so many
        self._spawn_tracks(frame)
        self._standstill.follow(self._tracks, self._now_s)
        return self._output.tracks(self._tracks, self._classes.winners(), self._history, self._now_s)

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
            self._next_id = self._spent.pop(stamp.epoch, 1)
            self._spent.clear()  # epochs only rise
        if self._base_ns is None:
            self._base_ns = self._last_ns = stamp.media_ns
            return True
        dt = (stamp.media_ns - self._last_ns) / 1e9
        if dt < -BACKWARDS_S:
            self._drop("media time fell back", 1)
            self._clear()
            self._base_ns = self._last_ns = stamp.media_ns
            return True
        if dt <= 0:
            self._drop("media time did not advance", 1)
            return False
        self._last_ns = stamp.media_ns
        self._now_s = (stamp.media_ns - self._base_ns) / 1e9
        self._dt = dt
        return True

    def _drop(self, reason: str, n: int) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + n

    def _predict(self) -> None:
        if self._tracks.n:
            self._filter.predict(self._tracks, self._dt)

    def _compensate_camera_motion(self, image: Image | None, detections: Detections) -> None:
        """Carry the tracks over into a view that has moved, as seen in the pictures."""
        if image is None:
            return
        shift = self.camera_motion.follow(image, detections.boxes_xyxyn)
        if shift is not None:
            self._filter.shift(self._tracks, shift)

    # ---- who is who

    def _compare(self, detections: PreparedDetections, labels: Labels) -> _Association:
        """How similar tracks and detections are, after the tracks have followed what moves them by more than
        the filter foresees."""
        tracks, boxes = self._tracks, detections.data[BOX]
        embeddings = self._appearance.normalise(detections.source.embeddings)
        matches = Matches(tracks.n, detections.n)
        if not tracks.n or not detections.n:
            nothing = np.zeros((tracks.n, detections.n), np.float32)
            return _Association(detections, embeddings, nothing, None, matches)
        mismatch = self._class_mismatch(detections, labels)
        similarity = self._iou.similarity(tracks, boxes)
        if self._scene.follow(tracks, similarity, detections, self._now_s, self._dt):
            similarity = self._iou.similarity(tracks, boxes)
        if self._follow_large_displacements(similarity, boxes, mismatch):
            similarity = self._iou.similarity(tracks, boxes)
        if embeddings is not None:
            lost = tracks.last_s < self._now_s - PREVIOUS * self._dt
            self._appearance.weigh(similarity, embeddings, lost)
        if mismatch is not None:
            similarity[mismatch] = REFUSED
        return _Association(detections, embeddings, similarity, mismatch, matches)

    def _class_mismatch(self, detections: PreparedDetections, labels: Labels) -> Bools | None:
        groups = labels.group_ids()
        if len(groups) <= 1:
            return None
        of_tracks, of_detections = groups[self._classes.winners()], groups[detections.source.class_ids]
        return np.asarray(of_tracks[:, None] != of_detections)

    def _follow_large_displacements(
        self, similarity: npt.NDArray[np.floating], boxes: npt.NDArray[np.float64], mismatch: Bools | None
    ) -> bool:
        """Whether tracks have leapt; one that began a frame before goes on as the other."""
        tracks = self._tracks
        leapt = self._displacement.follow(tracks, similarity, boxes, mismatch, self._now_s, self._dt)
        for column, earlier in leapt:
            if earlier != NONE:
                self._confirmation.join(tracks, column, earlier)
                self._history.join(int(tracks.id[column]), int(tracks.id[earlier]))
                tracks.last_s[earlier] -= MERGED_S
        return bool(leapt)

    def _associate_high(self, frame: _Association) -> None:
        """ByteTrack's first association: all tracks with high detections."""
        similarity = frame.similarity
        if not frame.detections.all_high:
            similarity = np.where(frame.detections.high, similarity, REFUSED)
        self._associate(frame, similarity, self.settings.min_similarity)

    def _associate_low(self, frame: _Association) -> None:
        """ByteTrack's second association: the tracks that are left with low detections."""
        if frame.detections.all_high:
            return  # mostly
        left = (frame.matches.detection_of < 0)[:, None] & ~frame.detections.high
        similarity = np.where(left, frame.similarity, REFUSED)
        self._associate(frame, similarity, self.settings.min_similarity_low)

    def _associate(self, frame: _Association, similarity: npt.NDArray[np.floating], least: float) -> None:
        """Match the pairs (T, D) that are similar by `least`, those of tracks that ever had a high detection
        first: the others may be of nothing."""
        frame.matches.add(*greedy_assignment(similarity, least, first=self._tracks.sure_hits))

    def _stitch(self, frame: _Association) -> None:
        """Match what is left by looks, where motion says little."""
        matches = frame.matches
        if frame.embeddings is None or not len(matches.unmatched_tracks) * len(matches.unmatched_detections):
            return
        appearance = Appearance(*self._appearance.similarity(slice(self._tracks.n), frame.embeddings))
        since_s = self._now_s - self.settings.lost_s
        stitch_tracks(self._tracks, frame.detections.data, matches, appearance, frame.class_mismatch, since_s)

    def _correct(self, frame: _Association) -> None:
        """Take the matched detections into account: filter, confirmation, class and looks."""
        tracks, matches = self._tracks, frame.matches
        matched = matches.detection_of >= 0
        if not np.count_nonzero(matched):
            return
        # Of each track its detection; of those that have none the last, which the masks keep out.
        detections = frame.detections.data.take(matches.detection_of, axis=1)
        self._filter.correct(tracks, detections, matched)
        self._confirmation.count(tracks, matched)
        self._confirmation.teach(tracks, matched, self._scale)
        self._history.remember(tracks, matched)
        self._classes.count(matched, detections[CLASS], detections[SCORE])
        if frame.embeddings is not None:
            self._appearance.learn(matches.matched_tracks, frame.embeddings[matches.matched_detections])

    # ---- life and death

    def _remove_lost(self, frame: _Association) -> None:
        """Forget tracks that are not seen for too long, or were predicted out of the picture."""
        gone = [track for track in frame.matches.unmatched_tracks.tolist() if self._is_lost(track)]
        if not gone:
            return
        tracks = self._tracks
        self._history.forget(tracks.ids[gone].tolist())
        left = np.delete(np.arange(tracks.n), gone)
        self._tracks = tracks.take(left)
        self._classes.keep(left)
        self._appearance.keep(left)

    def _is_lost(self, track: int) -> bool:
        tracks, s = self._tracks, self.settings
        tentative_s = max(s.tentative_s, 1.5 * self._dt)  # one frame may be missed at any rate
        unseen_s = self._now_s - tracks.last_s.item(track)
        confirmed = tracks.confirmed.item(track) > 0
        if unseen_s > (s.lost_s if confirmed else tentative_s):
            return True
        if confirmed and unseen_s > PREVIOUS * self._dt and tracks.doubt(track) > s.lost_doubt:
            return True
        x, y = tracks.box.item(0, track), tracks.box.item(1, track)
        x1, y1, x2, y2 = self.view
        return not (x1 - OUTSIDE <= x <= x2 + OUTSIDE and y1 - OUTSIDE <= y <= y2 + OUTSIDE)

    def _spawn_tracks(self, frame: _Association) -> None:
        """Each unmatched detection begins a track, but only high ones get it confirmed: the rest is its
        history, should it turn out to be an object that came in badly seen."""
        tracks, columns = self._tracks, frame.matches.unmatched_detections
        room = self.settings.max_tracks - tracks.n
        if len(columns) > room:
            self._drop("more tracks than a camera may have", len(columns) - room)
            scores = frame.detections.data[SCORE, columns]
            columns = columns[np.argsort(-scores, kind="stable")[:room]]
        if not len(columns):
            return
        new = TrackState.begin(frame.detections.data[:, columns], self._next_id)
        self._next_id += new.n
        self._filter.begin(new)
        self._confirmation.begin(new)
        self._classes.begin(new.last[CLASS], new.last[SCORE])
        embeddings = None if frame.embeddings is None else frame.embeddings[columns]
        self._appearance.begin(slice(tracks.n, tracks.n + new.n), embeddings)
        self._history.begin(new)
        self._tracks = tracks.join(new)

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on; about 1 KB a track.

        What tracks look like, the last picture of the view, the scene's last motion and the time of the frame
        before the last are learnt anew.
        """
        return output.save(
            self._tracks,
            self._classes.votes,
            {
                "camera": self._camera,
                "epoch": self._epoch,
                "base_ns": self._base_ns,
                "now_s": self._now_s,
                "next_id": self._next_id,
                "noise": self._filter.noise.save(),
                "scale": self._scale.save(),
                "early": self._history.save(),
            },
        )

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it was saved by another version or is damaged."""
        tracks, votes, rest = output.restore(saved)
        if tracks.n > self.settings.max_tracks:
            raise ValueError(f"the saved tracker state holds {tracks.n} tracks, more than there may be")
        self._clear()
        self._camera = rest["camera"]
        self._epoch = rest["epoch"]
        self._base_ns = rest["base_ns"]
        self._now_s = float(rest["now_s"])
        self._last_ns = (self._base_ns or 0) + round(self._now_s * 1e9)
        self._next_id = int(rest["next_id"])
        self._filter.noise.restore(rest["noise"])
        self._scale.restore(rest["scale"])
        self._history.restore(rest["early"])
        self._tracks = tracks
        self._classes = ClassVoting(votes)


def create_tracker(settings: TrackerSettings | None = None) -> Tracker:
    """A tracker for one camera; the default settings are good for all scenes."""
    return Tracker(settings)
