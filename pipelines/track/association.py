"""Which detection belongs to which track: how similar they are, and who is assigned to whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import TrackState
from pipelines.values import Detections, Longs, Tracks

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]
Positions = Index | list[int]

NOTHING: Index = np.zeros(0, np.intp)
UNMATCHED = -1  # indexes what lies behind all detections, too
REFUSED = -1.0  # similarity of a pair that may not be one
# A centre errs with half of one side's error and an extent with twice it, the two sides erring by themselves:
# the variance of a side's prediction from that of the centre and that of the extent.
SIDE_FROM_BOX: Array = np.array([[1, 0, 0.25, 0], [0, 1, 0, 0.25]])
# The sides x2, y2, -x1, -y1: the least of two boxes' is that of what they share.
SHARED_SIDES: Array = np.array([[1, 0, 0.5, 0], [0, 1, 0, 0.5], [-1, 0, 0.5, 0], [0, -1, 0, 0.5]])
SAME = 1e-4  # of the picture: a box after the tracker's arithmetic


class Matches:
    """Which detection each track of a frame has: `detection_of` (T,), UNMATCHED where there is none."""

    def __init__(self, tracks: int, detections: int) -> None:
        self.detection_of: Index = np.full(tracks, UNMATCHED, np.intp)
        self._detections = self._free = detections

    def add(self, tracks: Positions, detections: Positions) -> None:
        self.detection_of[tracks] = detections
        self._free -= len(detections)

    @property
    def matched_tracks(self) -> Index:
        return (self.detection_of >= 0).nonzero()[0]

    @property
    def matched_detections(self) -> Index:
        """In the order of `matched_tracks`."""
        return self.detection_of[self.detection_of >= 0]

    @property
    def unmatched_tracks(self) -> Index:
        return (self.detection_of < 0).nonzero()[0]

    @property
    def unmatched_detections(self) -> Index:
        if not self._free:
            return NOTHING  # mostly
        free = np.ones(self._detections + 1, np.bool_)
        free[self.detection_of] = False  # and the last, which is UNMATCHED
        return free[:-1].nonzero()[0]


class BufferedIoU:
    """Intersection over union of boxes that were both grown.

    After C-BIoU (Yang et al., "Hard to Track Objects with Irregular Motions and Similar Appearances? Make It
    Easier by Buffering the Matching Space", WACV 2023). There the growth is a fixed share of the size; here
    it is `buffer` of the track's size and `buffer_sigmas` standard deviations of its prediction, at most its
    size: wide for a track that is new or hidden, narrow for one that is surely known.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._buffer, self._sigmas = settings.buffer, settings.buffer_sigmas

    def similarity(self, tracks: TrackState, boxes: Array) -> Floats:
        """(T, D) of the tracks' predictions and detected boxes (4, D), in [0, 1], single precision: enough to
        compare, and at many objects twice as fast."""
        growth = np.sqrt(SIDE_FROM_BOX.dot(tracks.p_xx))  # standard deviation of one side
        growth *= self._sigmas
        growth += self._buffer * tracks.size
        np.minimum(growth, tracks.size, out=growth)
        growth += growth  # of both sides together
        return _grown_iou_matrix(tracks.box, boxes, growth)


def _grown_iou_matrix(first: Array, second: Array, growth: Array) -> Floats:
    """(T, D) as iou_matrix() of boxes (4, T) and (4, D) that have an extent, both of a pair made wider and
    higher by `growth` (2, T). Single precision."""
    single = np.float32
    first_sides, second_sides = (
        SHARED_SIDES.dot(first).astype(single),
        SHARED_SIDES.dot(second).astype(single),
    )
    wider = growth.astype(single)[:, :, None]  # and so is what they share
    shared = np.minimum(first_sides[:, :, None], second_sides[:, None])
    shared = shared[:2] + shared[2:]
    shared += wider
    np.maximum(shared, 0.0, out=shared)
    both = shared[0] * shared[1]
    sizes = wider + second[2:].astype(single)[:, None]
    union = sizes[0] * sizes[1]
    growth = first[2:] + growth
    union += (growth[0] * growth[1]).astype(single)[:, None]
    union -= both
    both /= union
    return np.asarray(both)


def iou_matrix(first: Floats, second: Floats) -> Floats:
    """(..., T, D) intersection over union of boxes (..., 4, T) and (4, D): centre x, centre y, width, height.

    Boxes of the first kind without an extent overlap nothing.
    """
    first_size, second_size = np.maximum(first[..., 2:, :], t.MIN_SIZE), second[2:]
    first_half, second_half = 0.5 * first_size, 0.5 * second_size
    first_center, second_center = first[..., :2, :], second[:2]
    shared = np.minimum((first_center + first_half)[..., None], (second_center + second_half)[:, None])
    shared -= np.maximum((first_center - first_half)[..., None], (second_center - second_half)[:, None])
    first_area = (first_size[..., 0, :] * first_size[..., 1, :])[..., None]
    union = first_area + second_size[0] * second_size[1]
    np.maximum(shared, 0.0, out=shared)
    both = shared[..., 0, :, :] * shared[..., 1, :, :]
    union -= both
    both /= union
    return np.asarray(both)


def greedy_assignment(similarity: Floats, least: float, first: Array) -> tuple[Positions, Positions]:
    """The M rows and M columns of a matrix (T, D) that are matched: the most similar pair, the most
    similar of the rows and columns that are left, and so on down to `least`.

    Pairs of rows whose number in `first` (T,) is above 0 count as more similar by 1, which puts them first.
    SORT and ByteTrack take the pairs with the best sum (the Hungarian method); that was tried and counts no
    better (decision 015). Of equal pairs the first row's comes first.
    """
    if not similarity.size:
        return [], []
    best = similarity.argmax(axis=1)
    rows = (similarity[np.arange(len(best)), best] >= least).nonzero()[0]
    columns = best[rows]
    if len(set(columns.tolist())) == len(columns):  # each row can have its best, whatever the order: mostly
        return rows, columns
    rows, columns = (similarity >= least).nonzero()
    order = np.argsort(-(similarity[rows, columns] + (first[rows] > 0)), kind="stable")
    column_of: dict[int, int] = {}
    row_of: dict[int, int] = {}
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in column_of and column not in row_of:
            column_of[row], row_of[column] = column, row
    return list(column_of), list(row_of)


def detection_index(tracks: Tracks, detections: Detections) -> Longs:
    """(N,) for each track the row of its box among the detections that the tracker was given, UNMATCHED where
    it has none."""
    index: Longs = np.full(len(tracks), UNMATCHED, np.int64)
    measured = tracks.measured_xyxyn
    if measured is None or not len(detections) or not len(tracks):
        return index
    apart = np.abs(measured[:, None] - detections.boxes_xyxyn[None]).max(axis=2)
    nearest = apart.argmin(axis=1)
    same = tracks.observed & (apart[np.arange(len(index)), nearest] <= SAME)
    index[same] = nearest[same]
    return index
