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
from pipelines.track.scene_motion import carry, overlap
from pipelines.track.state import Table

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

POORLY = 0.5  # looked for where a track meets no box better;
NOT_MET = 0.3  # and a track or a box that meets nobody better is alone
SHORTEST_S, LONGEST_S = 0.08, 1.0  # between two frames: in less nothing leaps
MEETS, BETTER = 0.5, 0.3  # overlap of such a prediction with a box, and how much more than its own
FAR = 0.3  # sizes from box to box that tell a motion,
GROWN, GROWN_NOISE = 0.1, 4.0  # heights that one grows by, and how many times the noise of a side,
SOONEST_S = 0.5  # and how long it must take at least until it were here
FARTHEST, RATIO = 4.0, 1.9  # sizes between the first two boxes of a track, and most that their sizes differ
MOST = 64  # predictions that are tried
MIDDLE = 0.5
LEAST_LEFT = 0.2  # of one over the height
NONE = -1
SAME_S = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Where tracks may be now: their columns (K,), boxes (4, K), and the columns of the tracks that their
    boxes before began, or NONE (K,)."""

    columns: Index
    goals: Array
    earlier: Index

    def first(self, most: int) -> Ways:
        return Ways(self.columns[:most], self.goals[:, :most], self.earlier[:most])


class Leaps:
    """The leaps of one camera's objects."""

    def __init__(self) -> None:
        self._before_s = -np.inf  # the frame before the last one

    def follow(
        self,
        tracks: Table,
        alike: Floats,
        value: Floats,
        found: Array,
        strange: Bools | None,
        now_s: float,
        dt: float,
    ) -> list[tuple[int, int]]:
        """The tracks that have leapt, which follow it, in place; each with the column of the track that is
        its own beginning, or NONE.

        `alike` (T, D) is how well the predictions meet the `found` boxes (SEEN_ROWS, D), `value` (T,) the
        best of each; `strange` (T, D) which may not be one.
        """
        last_s, before_s = now_s - dt, self._before_s
        self._before_s = last_s
        if not SHORTEST_S <= dt <= LONGEST_S or value.item(value.argmin()) >= POORLY:
            return []
        rows = ((value < POORLY) & (np.abs(tracks.seen_s - last_s) < SAME_S)).nonzero()[0]
        if not len(rows):
            return []
        fresh = tracks.step_s.take(rows) == 0.0
        ways = [*_further(tracks, rows[~fresh], dt)]
        if fresh.any():
            alone = rows[fresh & (value.take(rows) < NOT_MET)]
            begun = (tracks.step_s == 0.0) & (value < NOT_MET) & (np.abs(tracks.seen_s - before_s) < SAME_S)
            ways += _begun(tracks, alone[:MOST], begun.nonzero()[0][:MOST], dt)
        if not ways:
            return []
        tried = Ways(
            np.concatenate([w.columns for w in ways]),
            np.concatenate([w.goals for w in ways], axis=1),
            np.concatenate([w.earlier for w in ways]),
        )
        return _settle(tracks, tried.first(MOST), found[t.SEEN_BOX], alike.max(axis=0) < NOT_MET, strange, dt)


def _further(tracks: Table, rows: Index, dt: float) -> list[Ways]:
    """Where tracks of two boxes and more may be that moved or grew by much from one to the other."""
    if not len(rows):
        return []
    new, step = tracks.seen_box.take(rows, axis=1), tracks.step.take(rows, axis=1)
    far = (np.abs(step[1:3]) > FAR * new[2:]).any(axis=0)
    growth = np.abs(step[4]) / new[3]
    grown = growth > np.maximum(GROWN, GROWN_NOISE * np.sqrt(tracks.side[1].take(rows)))
    grown &= SOONEST_S * growth < step[0]
    old, share = new - step[1:], dt / step[0]
    return [
        Ways(rows[which], way(old[:, which], new[:, which], share[which]), np.full(len(rows), NONE)[which])
        for way, which in ((straight, far), (coming, grown))
        if which.any()
    ]


def _begun(tracks: Table, rows: Index, begun: Index, dt: float) -> list[Ways]:
    """Where tracks of one box may be whose objects began the tracks `begun`, of one box too, just before."""
    columns, earlier = np.repeat(rows, len(begun)), np.tile(begun, len(rows))
    new, old = tracks.seen_box.take(columns, axis=1), tracks.seen_box.take(earlier, axis=1)
    may = (np.abs(new[:2] - old[:2]) < FARTHEST * new[2:]).all(axis=0)
    may &= tracks.seen_class[columns] == tracks.seen_class[earlier]
    may &= (np.abs(np.log(new[2:] / old[2:])) < np.log(RATIO)).all(axis=0)
    columns, earlier, new, old = columns[may][:MOST], earlier[may][:MOST], new[:, may], old[:, may]
    if not len(columns):
        return []
    share = dt / (tracks.seen_s[columns] - tracks.seen_s[earlier])
    return [Ways(columns, way(old[:, :MOST], new[:, :MOST], share), earlier) for way in (straight, coming)]


def straight(old: Array, new: Array, share: Array) -> Array:
    """The boxes (4, K) that go on from old ones over new ones in the picture, by a share (K,) of that way."""
    return np.concatenate(
        (
            new[:2] + (new[:2] - old[:2]) * share,
            np.maximum(new[2:] + (new[2:] - old[2:]) * share, t.LEAST_SIZE),
        )
    )


def coming(old: Array, new: Array, share: Array) -> Array:
    """The same in space, of things that come straight on or go away."""
    left = np.maximum(1.0 + (1.0 - new[3] / old[3]) * share, LEAST_LEFT)  # of one over the height
    place, before = (new[:2] - MIDDLE) / new[3], (old[:2] - MIDDLE) / old[3]
    height = new[3] / left
    return np.concatenate((MIDDLE + (place + (place - before) * share) * height, new[2:] / left))


def _settle(
    tracks: Table, tried: Ways, boxes: Array, alone: Bools, strange: Bools | None, dt: float
) -> list[tuple[int, int]]:
    """Let tracks go where they meet a box, the best first, each track and each box once. A box that somebody
    else meets is for tracks that meet it better than their own prediction does."""
    meets = overlap(tried.goals, boxes)
    own = overlap(tracks.box.take(tried.columns, axis=1), boxes).max(axis=1)
    meets *= alone | ((meets > own[:, None] + BETTER) & (tried.earlier[:, None] == NONE))
    if strange is not None:
        meets[strange[tried.columns]] = 0.0
    leapt: list[tuple[int, int]] = []
    goals = tracks.box.copy()
    while meets.size and meets.max() >= MEETS:
        way, box = divmod(int(meets.argmax()), meets.shape[1])
        column, earlier = int(tried.columns[way]), int(tried.earlier[way])
        goals[:, column] = tried.goals[:, way]
        leapt.append((column, earlier))
        gone = {column, earlier} - {NONE}
        over = [
            c in gone or e in gone
            for c, e in zip(tried.columns.tolist(), tried.earlier.tolist(), strict=True)
        ]
        meets[over] = 0.0
        meets[:, box] = 0.0
    if leapt:
        carry(tracks, np.array([column for column, _ in leapt], np.intp), goals, dt)
    return leapt
