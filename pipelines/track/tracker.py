"""Boxes of one camera's frames -> tracks: predict, associate in two stages, correct, confirm, forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import checkpoint
from pipelines.track import state as t
from pipelines.track.appearance import Looks
from pipelines.track.association import NOTHING, Likeness, best_of, pairs, rank
from pipelines.track.buffers import Rooms
from pipelines.track.class_voting import Votes
from pipelines.track.confirmation import Trust
from pipelines.track.detections import Finder, Found
from pipelines.track.global_motion import CameraMotion
from pipelines.track.kalman import Motion
from pipelines.track.large_displacement import Leaps
from pipelines.track.output import Shown
from pipelines.track.scene_motion import SceneMotion
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import Table
from pipelines.track.stitching import LONGEST_S, NEXT, SLOW_S, reunite
from pipelines.track.tentative_history import Early
from pipelines.values import Detections, Image, Labels, Stamp, Tracks

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

BACKWARDS_S = 1.0  # media time that falls back by more begins anew; by less, the frame is dropped
GONE_S = 1e6  # not seen for so long: a track that is another's beginning
OUTSIDE = 0.02  # a predicted centre this far out of the picture has left it


class Tracker:
    """The tracker of one camera. Ids start at 1 in each epoch and are never used twice within it.

    `dropped` counts what was refused, by reason; `camera_motion` tells how far the view has moved.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._least = np.array(self.settings.min_similarity, np.float32)
        self.dropped: dict[str, int] = {}
        self._finder = Finder(self.settings, self._drop)
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

    def reset(self) -> None:
        """Forget all tracks. Ids start at 1 with the next epoch, and go on where that is the same."""
        if self._epoch is not None:
            self._spent[self._epoch] = self._next_id
        self._next_id = 1
        self._epoch = None
        self._motion = Motion(self.settings)
        self._likeness = Likeness(self.settings.buffer, self.settings.buffer_sigmas)
        self._scale = ScoreScale(self.settings.border_sigmas)
        self.camera_motion = CameraMotion()
        self._clear()

    def _clear(self) -> None:
        self._tables, self._fresh = Rooms(Table), Rooms(Table)
        self._tracks = self._tables[0]
        self._votes = Votes(np.zeros((0, 1)))
        self._trust = Trust(self.settings)
        self._looks = Looks(self.settings.max_tracks)
        self._early = Early()
        self._shown = Shown()
        self._scene = SceneMotion()
        self._leaps = Leaps()
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
        tracker of its own. `image`, the frame or its small grey copy (camera_motion.py), is asked how the
        view has moved; without it the view is taken to stand still.
        """
        if not self._advance(stamp):
            return Tracks.empty()
        tracks = self._tracks
        found = self._finder.find(detections, self._now_s, self._scale)
        units = self._looks.units(found.detections.embeddings)
        self._votes.widen(len(labels.names))
        if tracks.n:
            self._motion.predict(tracks, self._dt)
        if image is not None:
            shift = self.camera_motion.follow(image, detections.boxes_xyxyn)
            if shift is not None:
                self._motion.shift(tracks, shift)
        free, absent = self._associate(found, units, labels.group_ids())
        late: list[int] = []
        if absent:
            absent, late = self._forget(absent)
        if free is None or free:
            self._give_birth(found, units, free)
        confirmed, classes = not self._trust.unconfirmed, self._votes.winners
        return self._shown.tracks(self._tracks, absent, late, confirmed, classes, self._early, self._now_s)

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

    # ---- who is who

    def _associate(
        self, found: Found, units: Floats | None, groups: npt.NDArray[np.int32]
    ) -> tuple[list[int] | None, list[int]]:
        """Match sure boxes before unsure ones (ByteTrack: Zhang et al., ECCV 2022) and tracks that ever had
        a sure box before those that never had; return which boxes are left over, None for all, and which
        tracks. A track is matched only by boxes of its own group of classes. Every box left over begins a
        track, but only sure ones get it shown: the rest is its history, should it turn out to be an object
        that came in badly seen."""
        tracks = self._tracks
        if not found.n or not tracks.n:
            return None, list(range(tracks.n))
        self._likeness.meet(found.others)
        alike = self._likeness.of(tracks)
        best, value = best_of(alike)
        if self._scene.follow(tracks, value, found.rows, self._now_s, self._dt, self._likeness):
            alike = self._likeness.of(tracks)
            best, value = best_of(alike)
        strange = None
        if len(groups) > 1:
            strange = groups[self._votes.winners][:, None] != groups[found.detections.class_ids]
        if self._leap(alike, value, found, strange):
            alike = self._likeness.of(tracks)
            best, value = best_of(alike)
        if units is not None:
            self._looks.weigh(alike, units, tracks.seen_s < self._now_s - NEXT * self._dt)
        if strange is not None:
            np.copyto(alike, -1.0, where=strange)
        least, all_sure = self._least, found.all_sure and self._trust.all_sure
        if not all_sure:
            settings = self.settings
            sure = found.rows[t.SEEN_EVIDENCE] >= t.NONE
            rank(alike, sure, tracks.sure_hits > 0, settings.min_similarity, settings.min_similarity_low)
            least = NOTHING
        if not all_sure or units is not None or len(groups) > 1:
            best, value = best_of(alike)
        absent, taken = pairs(alike, least, best, value)
        apart = self._dt >= SLOW_S or units is not None
        if apart and absent and len(taken) < found.n:
            absent, taken = self._reunite(found, units, groups, best, absent)
        if not taken:
            return None, absent
        self._correct(found, best, absent)
        if units is not None:
            self._looks.learn(np.delete(np.arange(tracks.n), absent), units[taken])
        if len(taken) == found.n:
            return [], absent
        return sorted(set(range(found.n)).difference(taken)), absent

    def _leap(self, alike: Floats, value: Floats, found: Found, strange: Bools | None) -> bool:
        """Whether tracks have leapt (large_displacement.py); one that began a frame before goes on as the
        other."""
        tracks = self._tracks
        leapt = self._leaps.follow(tracks, alike, value, found.rows, strange, self._now_s, self._dt)
        for column, earlier in leapt:
            if earlier >= 0:
                self._trust.join(tracks, column, earlier)
                self._early.join(int(tracks.ids[column]), int(tracks.ids[earlier]))
                tracks.seen_s[earlier] -= GONE_S
        return bool(leapt)

    def _reunite(
        self,
        found: Found,
        units: Floats | None,
        groups: npt.NDArray[np.int32],
        columns: Index,
        absent: list[int],
    ) -> tuple[list[int], list[int]]:
        """Which tracks have no box after all, and the boxes of the others, which `columns` (N,) has too."""
        tracks = self._tracks
        matched = np.ones(tracks.n, np.bool_)
        matched[absent] = False
        may = groups[self._votes.winners][:, None] == groups[found.detections.class_ids]
        likeness = None if units is None else self._looks.likeness(slice(tracks.n), units)
        near_s = NEXT * self._dt if SLOW_S <= self._dt <= LONGEST_S else 0.0
        since_s = (self._now_s - self.settings.lost_s, self._now_s - near_s)
        taken = reunite(tracks, found.rows, (columns, matched), likeness, may, since_s)
        return (~matched).nonzero()[0].tolist(), taken

    def _correct(self, found: Found, columns: Index, absent: list[int]) -> None:
        """Give the tracks the boxes `columns` (N,), but for those `absent`."""
        tracks = self._tracks
        self._motion.correct(tracks, found.rows, columns, absent)
        self._trust.count(tracks, absent, self._scale)
        self._votes.count(tracks, absent)
        young = self._trust.young
        if young:
            self._early.remember(tracks, [column for column in young if column not in absent])

    # ---- life and death

    def _forget(self, absent: list[int]) -> tuple[list[int], list[int]]:
        """Of the tracks `absent`, which have no box now, forget those that are gone; return the others, and
        which of them are not shown for it."""
        tracks, s = self._tracks, self.settings
        hasty = max(s.tentative_s, 1.5 * self._dt)
        first_s = min(hasty, s.lost_s)
        late: list[int] = []
        gone: set[int] = set()
        # Few, mostly: one by one they are asked sooner than as arrays.
        for column in absent:
            unseen_s = self._now_s - tracks.seen_s.item(column)
            if unseen_s > s.coast_s or not tracks.is_surer(column, s.coast_doubt):
                late.append(column)
            if unseen_s > first_s and unseen_s > (s.lost_s if tracks.confirmed.item(column) else hasty):
                gone.add(column)
            x, y = tracks.x.item(column), tracks.y.item(column)
            if not (-OUTSIDE <= x <= 1 + OUTSIDE and -OUTSIDE <= y <= 1 + OUTSIDE):
                gone.add(column)
        if not gone:
            return absent, late
        self._early.forget([tracks.id.item(column) for column in gone])
        left = np.ones(tracks.n, np.bool_)
        for column in gone:
            left[column] = False
        keep = left.nonzero()[0]
        now_at = {c: c - sum(g < c for g in gone) for c in {*absent, *self._trust.young} if c not in gone}
        self._tracks = self._tables[len(keep)]
        self._tracks.keep(tracks, keep)
        self._trust.keep(self._tracks, now_at)
        self._votes.keep(keep)
        self._looks.keep(keep)
        return [now_at[c] for c in absent if c in now_at], [now_at[c] for c in late if c in now_at]

    def _give_birth(self, found: Found, units: Floats | None, free: list[int] | None) -> None:
        """The boxes `free`, None for all, begin tracks."""
        tracks, seen = self._tracks, found.rows
        if free is not None:
            seen, units = seen.take(free, axis=1), None if units is None else units[free]
        room = self.settings.max_tracks - tracks.n
        if seen.shape[1] > room:
            self._drop("more tracks than a camera may have", seen.shape[1] - room)
            best = np.argsort(-seen[t.SEEN_SCORE], kind="stable")[:room]
            seen, units = seen[:, best], None if units is None else units[best]
        n, old = seen.shape[1], tracks.n
        if not n:
            return
        fresh = self._fresh[n]
        fresh.begin(seen, self._next_id)
        self._next_id += n
        self._motion.begin(fresh)
        self._motion.join(fresh, tracks, self._now_s)
        self._trust.begin(fresh, old)
        self._votes.add(fresh)
        self._looks.begin(slice(old, old + n), units)
        self._early.begin(fresh)
        self._tracks = self._tables[old + n]
        self._tracks.join(tracks, fresh)

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on; about 1 KB a track.

        What tracks look like, the last picture of the view, the scene's last motion and the time of the frame
        before the last are learnt anew.
        """
        return checkpoint.save(
            self._tracks.all,
            self._votes.cast,
            {
                "camera": self._camera,
                "epoch": self._epoch,
                "base_ns": self._base_ns,
                "now_s": self._now_s,
                "next_id": self._next_id,
                "noise": self._motion.noise.save(),
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
        self._last_ns = (self._base_ns or 0) + round(self._now_s * 1e9)
        self._next_id = int(rest["next_id"])
        self._motion.noise.restore(rest["noise"])
        self._scale.restore(rest["scale"])
        self._early.restore(rest["early"])
        self._tracks = self._tables[state.shape[1]]
        self._tracks.read(state)
        self._trust.look(self._tracks)
        self._votes = Votes(votes)


def create_tracker(settings: TrackerSettings | None = None) -> Tracker:
    """A tracker for one camera; the default settings are good for all scenes."""
    return Tracker(settings)
