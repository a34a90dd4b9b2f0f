"""Objects that move or grow by much of their own size between two frames: fast ones, and slow cameras.

The filter learns a motion from boxes that overlap its prediction; these do not. So two more predictions are
tried for a track that meets no box well, both from two boxes alone: that it goes straight on in the picture;
and that it comes straight on in space, where one over the height is linear in time, and so is the place in
heights. Two boxes tell it where what they differ by is many times their noise.

A track that has one box only has no motion. Its box and the one that began another track a frame before are
tried as two of one object: where what they foretell meets a box that nobody else meets, they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.association import iou_matrix
from pipelines.track.scene_motion import carry
from pipelines.track.state import TrackState
from pipelines.values import Bools

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Index = npt.NDArray[np.intp]

# Chosen on KITTI, MOT15 and MOT17 at three rates: what each value trades is tabled in decision 012.
POOR_OVERLAP = 0.5  # looked for where a track meets no box better;
ALONE_OVERLAP = 0.3  # and a track or a box that meets nobody better is alone
MIN_GAP_S, MAX_GAP_S = 0.08, 1.0  # between two frames: in less nothing leaps
MIN_OVERLAP, MIN_GAIN = 0.5, 0.3  # of such a prediction with a box, and how much more than its own
MIN_MOVE = 0.3  # sizes from box to box that tell a motion: less, and the widths of people who walk do
MIN_GROWTH, GROWTH_NOISE = 0.1, 4.0  # heights that one grows by, and how many times the noise of a side,
MIN_ARRIVAL_S = 0.5  # and how long it must take at least until it were here
MAX_MOVE, MAX_RATIO = 4.0, 1.9  # sizes between the first two boxes of a track, and of their sizes
MAX_TRIED = 64  # predictions
MIDDLE = 0.5
MIN_INVERSE_HEIGHT = 0.2  # of the present one: nothing comes nearer than to five times its height
NONE = -1
SAME_S = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Hypotheses:
    """Where K tracks may be now.

    `tracks` (K,) are their positions in the state, `boxes` (4, K), and `earlier` (K,) the positions of the
    tracks that their boxes before began, NONE where these are their own.
    """

    tracks: Index
    boxes: Array
    earlier: Index


class LargeDisplacement:
    """The large displacements of one camera's objects."""

    def __init__(self) -> None:
        self._before_last_s = -np.inf  # the frame before the last one

    def follow(
        self,
        tracks: TrackState,
        similarity: Floats,
        boxes: Array,
        class_mismatch: Bools | None,
        now_s: float,
        dt: float,
    ) -> list[tuple[int, int]]:
        """The tracks that have leapt, which follow it, in place; each with the track that is its own
        beginning, or NONE.

        `similarity` (T, D) is how well the predictions meet the detected `boxes` (4, D); `class_mismatch` (T,
        D) are pairs that may not be one.
        """
        last_s, before_last_s = now_s - dt, self._before_last_s
        self._before_last_s = last_s
        if not MIN_GAP_S <= dt <= MAX_GAP_S:
            return []
        best = similarity.max(axis=1)
        poor = ((best < POOR_OVERLAP) & _seen_at(tracks, last_s)).nonzero()[0]
        if not len(poor):
            return []
        one_box = tracks.step[t.TIME_S] == 0.0
        hypotheses = _from_last_two(tracks, poor[~one_box[poor]], dt)
        alone = poor[one_box[poor] & (best[poor] < ALONE_OVERLAP)]
        if len(alone):
            begun = (one_box & (best < ALONE_OVERLAP) & _seen_at(tracks, before_last_s)).nonzero()[0]
            hypotheses += _from_first_two(tracks, alone[:MAX_TRIED], begun[:MAX_TRIED], dt)
        if not hypotheses:
            return []
        nobodys = similarity.max(axis=0) < ALONE_OVERLAP
        return _settle(tracks, _join(hypotheses), boxes, nobodys, class_mismatch, dt)


def _seen_at(tracks: TrackState, time_s: float) -> Bools:
    return np.asarray(np.abs(tracks.last_s - time_s) < SAME_S)


def _join(hypotheses: list[Hypotheses]) -> Hypotheses:
    return Hypotheses(
        np.concatenate([h.tracks for h in hypotheses])[:MAX_TRIED],
        np.concatenate([h.boxes for h in hypotheses], axis=1)[:, :MAX_TRIED],
        np.concatenate([h.earlier for h in hypotheses])[:MAX_TRIED],
    )


def _from_last_two(state: TrackState, tracks: Index, dt: float) -> list[Hypotheses]:
    """Where tracks of two boxes and more may be that moved or grew by much from one to the other."""
    if not len(tracks):
        return []
    new, step = state.last_box[:, tracks], state.step[:, tracks]
    moved = (np.abs(step[1:3]) > MIN_MOVE * new[2:]).any(axis=0)
    growth = np.abs(step[4]) / new[3]
    grown = growth > np.maximum(MIN_GROWTH, GROWTH_NOISE * np.sqrt(state.noise[1, tracks]))
    grown &= MIN_ARRIVAL_S * growth < step[t.TIME_S]
    old, share = new - step[t.BOX], dt / step[t.TIME_S]
    return [
        Hypotheses(
            tracks[which],
            predict(old[:, which], new[:, which], share[which]),
            np.full(np.count_nonzero(which), NONE),
        )
        for predict, which in ((straight, moved), (coming, grown))
        if which.any()
    ]


def _from_first_two(state: TrackState, tracks: Index, begun: Index, dt: float) -> list[Hypotheses]:
    """Where tracks of one box may be whose objects began the tracks `begun`, of one box too, just before."""
    tracks, earlier = np.repeat(tracks, len(begun)), np.tile(begun, len(tracks))
    new, old = state.last_box[:, tracks], state.last_box[:, earlier]
    may = (np.abs(new[:2] - old[:2]) < MAX_MOVE * new[2:]).all(axis=0)
    may &= state.last[t.CLASS, tracks] == state.last[t.CLASS, earlier]
    may &= (
        state.last_s[tracks] > state.last_s[earlier]
    )  # of two frames of one moment, as damaged streams have
    may &= (np.abs(np.log(new[2:] / old[2:])) < np.log(MAX_RATIO)).all(axis=0)
    may = may.nonzero()[0][:MAX_TRIED]
    if not len(may):
        return []
    tracks, earlier, new, old = tracks[may], earlier[may], new[:, may], old[:, may]
    share = dt / (state.last_s[tracks] - state.last_s[earlier])
    return [Hypotheses(tracks, predict(old, new, share), earlier) for predict in (straight, coming)]


def straight(old: Array, new: Array, share: Array) -> Array:
    """The boxes (4, K) that go on from old ones over new ones in the picture, by a share (K,) of that way."""
    return np.concatenate(
        (
            new[:2] + (new[:2] - old[:2]) * share,
            np.maximum(new[2:] + (new[2:] - old[2:]) * share, t.MIN_SIZE),
        )
    )


def coming(old: Array, new: Array, share: Array) -> Array:
    """The same in space, of things that come straight on or go away."""
    inverse_height = np.maximum(
        1.0 + (1.0 - new[3] / old[3]) * share, MIN_INVERSE_HEIGHT
    )  # times that of `new`
    place, before = (new[:2] - MIDDLE) / new[3], (old[:2] - MIDDLE) / old[3]  # in heights
    height = new[3] / inverse_height
    return np.concatenate((MIDDLE + (place + (place - before) * share) * height, new[2:] / inverse_height))


def _settle(
    tracks: TrackState,
    tried: Hypotheses,
    boxes: Array,
    nobodys: Bools,
    class_mismatch: Bools | None,
    dt: float,
) -> list[tuple[int, int]]:
    """Let tracks go where they meet a box, the best first, each track and each box once. A box that somebody
    else meets is for tracks that meet it better than their own prediction does."""
    overlap = iou_matrix(tried.boxes, boxes)
    own = iou_matrix(tracks.box[:, tried.tracks], boxes).max(axis=1)
    overlap *= nobodys | ((overlap > own[:, None] + MIN_GAIN) & (tried.earlier[:, None] == NONE))
    if class_mismatch is not None:
        overlap[class_mismatch[tried.tracks]] = 0.0
    leapt: list[tuple[int, int]] = []
    goals = tracks.box.copy()
    while overlap.size and overlap.max() >= MIN_OVERLAP:
        row, box = divmod(int(overlap.argmax()), overlap.shape[1])
        track, earlier = int(tried.tracks[row]), int(tried.earlier[row])
        goals[:, track] = tried.boxes[:, row]
        leapt.append((track, earlier))
        used = [track] if earlier == NONE else [track, earlier]
        overlap[np.isin(tried.tracks, used) | np.isin(tried.earlier, used)] = 0.0
        overlap[:, box] = 0.0
    if leapt:
        carry(tracks, np.array([track for track, _ in leapt], np.intp), goals, dt)
    return leapt
