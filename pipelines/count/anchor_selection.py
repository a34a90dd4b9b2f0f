"""The places of a frame as rules ask for them: of which classes, and by which point of a box."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.class_names import class_key
from pipelines.count.box_smoothing import Places
from pipelines.geometry import anchor_points
from pipelines.rules import Anchor
from pipelines.values import Labels

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

FOOT_GROUPS = ("person",)  # "auto" anchors: people stand on their feet, the rest is counted by the centre


class Selection:
    """Works out each wish once a frame, however many rules have it; who is of which class, once as long as
    the same tracks are there."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._is_foot = np.array([class_key(g) in FOOT_GROUPS for g in labels.groups], np.bool_)
        self._cast = np.zeros(0, np.int64)  # the class_ids of the tracks that `_of_classes` is about
        self._of_classes: dict[tuple[str, ...], tuple[Index, Index, npt.NDArray[np.int64]]] = {}
        self._found: dict[tuple[tuple[str, ...], Anchor], tuple[Places, Array]] = {}

    def show(self, places: Places) -> None:
        """From now on it is these places that are asked for."""
        self._places = places
        self._found.clear()
        if places.class_ids is not self._cast:
            self._cast = places.class_ids
            self._of_classes.clear()

    def of(self, classes: tuple[str, ...], anchor: Anchor) -> tuple[Places, Array]:
        """The places of tracks of these classes and groups (empty: of all), and their anchors (N, 2)."""
        wish = (classes, anchor)
        if wish not in self._found:
            places = self._among(classes) if classes else self._places
            self._found[wish] = (places, self._anchors(places, anchor))
        return self._found[wish]

    def _among(self, classes: tuple[str, ...]) -> Places:
        whole = self._places
        if classes not in self._of_classes:
            index = np.flatnonzero(self._labels.mask(classes)[whole.class_ids])
            self._of_classes[classes] = (index, whole.rows[index], whole.class_ids[index])
        index, rows, class_ids = self._of_classes[classes]
        if len(index) == len(whole.rows):
            return whole
        boxes, noise = whole.boxes_xyxyn[index], whole.noise_xyn[index]
        return Places(whole.time_s, rows, boxes, noise, class_ids, whole.evidence[index])

    def _anchors(self, places: Places, anchor: Anchor) -> Array:
        boxes = places.boxes_xyxyn
        if anchor != "auto":
            return anchor_points(boxes, anchor)
        foot = self._is_foot[places.class_ids]
        if foot.all():
            return anchor_points(boxes, "foot")
        anchors = anchor_points(boxes, "center")
        anchors[foot, 1] = boxes[foot, 3]
        return anchors
