"""The smoothed boxes of a frame as rules ask for them: of which classes, and by which point of a box."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.class_names import class_key
from pipelines.count.box_smoothing import SmoothedBoxes
from pipelines.geometry import anchor_points
from pipelines.rules import Anchor
from pipelines.values import Labels

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

FOOT_GROUPS = ("person",)  # "auto" anchors: people stand on their feet, the rest is counted by the centre


class AnchorSelection:
    """Works out each key once a frame, however many rules have it; who is of which class, once as long as
    the same tracks are there."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._is_foot = np.array([class_key(g) in FOOT_GROUPS for g in labels.groups], np.bool_)
        self._cast = np.zeros(0, np.int64)  # the class_ids of the tracks that `_of_classes` is about
        self._of_classes: dict[tuple[str, ...], tuple[Index, Index, npt.NDArray[np.int64]]] = {}
        self._selected: dict[tuple[tuple[str, ...], Anchor], tuple[SmoothedBoxes, Array]] = {}

    def set_boxes(self, smoothed: SmoothedBoxes) -> None:
        """From now on it is these boxes that are asked for."""
        self._smoothed = smoothed
        self._selected.clear()
        if smoothed.class_ids is not self._cast:
            self._cast = smoothed.class_ids
            self._of_classes.clear()

    def select(self, classes: tuple[str, ...], anchor: Anchor) -> tuple[SmoothedBoxes, Array]:
        """The boxes of tracks of these classes and groups (empty: of all), and their anchors (N, 2)."""
        key = (classes, anchor)
        if key not in self._selected:
            smoothed = self._among(classes) if classes else self._smoothed
            self._selected[key] = (smoothed, self._anchors(smoothed, anchor))
        return self._selected[key]

    def _among(self, classes: tuple[str, ...]) -> SmoothedBoxes:
        whole = self._smoothed
        if classes not in self._of_classes:
            index = np.flatnonzero(self._labels.mask(classes)[whole.class_ids])
            self._of_classes[classes] = (index, whole.rows[index], whole.class_ids[index])
        index, rows, class_ids = self._of_classes[classes]
        if len(index) == len(whole.rows):
            return whole
        boxes, noise = whole.boxes_xyxyn[index], whole.noise_xyn[index]
        return SmoothedBoxes(whole.time_s, rows, boxes, noise, class_ids, whole.evidence[index])

    def _anchors(self, smoothed: SmoothedBoxes, anchor: Anchor) -> Array:
        boxes = smoothed.boxes_xyxyn
        if anchor != "auto":
            return anchor_points(boxes, anchor)
        foot = self._is_foot[smoothed.class_ids]
        if foot.all():
            return anchor_points(boxes, "foot")
        anchors = anchor_points(boxes, "center")
        anchors[foot, 1] = boxes[foot, 3]
        return anchors
