"""Hides people in pictures that somebody keeps or shows: one place for every command that writes one.

A detector looks for them on the picture itself, at low scores and on tiles of a large picture, since a box
too many costs a patch of background and one too few a face. Who is found is pixelated, in cells sized by
their own box, or filled. A detector misses people: what is hidden is what it found, and commands
say how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.class_names import named
from pipelines.detect.detector import Detector
from pipelines.detect.errors import InferenceRejected
from pipelines.values import Bools, Detections, Floats, Frame, Image, Labels, Stamp, Tracks
from streamer.errors import ModelError

Hiding = Literal["blur", "silhouette"]
PEOPLE = ("person", "rider", "cyclist")  # classes and groups that show somebody
GROWN = 0.12  # of a box's side, on each of its sides
MIN_GROWN = 3.0  # pixels
ROUNDNESS = 4  # of the superellipse that fills a grown box: the box itself lies within it, corners and all
CELLS = 4  # across a person's shorter side: a face is one to two of them
MIN_CELL = 8.0  # pixels
FILL, RIM = (105, 100, 96), (160, 156, 152)  # B, G, R: the rim tells people who overlap apart
MAX_TILE = 640  # pixels of a tile's side: who is 30 pixels tall is still found on it
OVERLAP = 0.2  # of a tile with the next, so that who is small is whole on one
HOLD_NS = 600_000_000  # how long who was seen in a clip is hidden where no box is found of them
SAME = 0.1  # intersection over union from which a box goes on with one of the picture before

Span = tuple[int, int]


def people_classes(labels: Labels) -> Bools:
    """(C,) bool: the classes that are people. None of them where the model knows no people."""
    known = {*labels.names, *labels.groups}
    wanted = tuple(word for word in PEOPLE if named(word, known))
    return labels.mask(wanted) if wanted else np.zeros(len(labels.names), np.bool_)


def tracked_people(tracks: Tracks, labels: Labels) -> Floats:
    """(N, 4) boxes of the tracks that are people, normalised, predicted ones too."""
    return np.asarray(tracks.boxes_xyxyn[people_classes(labels)[tracks.class_ids]], np.float32)


class PeopleHider:
    """Finds people with `detector`, which must know them (ValueError), and hides them as `how` says."""

    def __init__(self, detector: Detector, how: Hiding) -> None:
        self.how = how
        self._detector = detector
        self._people = people_classes(detector.labels)
        self._held: list[tuple[Floats, int]] = []  # of a clip: boxes, and when each was last seen
        if not self._people.any():
            raise ValueError(f"the detector knows no people, only {', '.join(detector.labels.names)}")

    def hide(self, image: Image, known_xyxyn: Floats | None = None) -> int:
        """Hide people in one picture (H, W, 3) uint8 BGR, in place; returns how many boxes were hidden.

        `known_xyxyn` (N, 4): where people are known to be besides. Raises ModelError where the detector gives
        no answer; then nothing was hidden and the picture must not be used.
        """
        boxes = self._boxes(image, known_xyxyn)
        conceal(image, boxes, self.how)
        return len(boxes)

    def hide_next(self, image: Image, media_ns: int, known_xyxyn: Floats | None = None) -> int:
        """The same in the next picture of a clip: who is not found for a moment stays hidden there."""
        boxes = self._boxes(image, known_xyxyn)
        held = [
            (box, seen_ns)
            for box, seen_ns in self._held
            if media_ns - seen_ns <= HOLD_NS and not (_overlaps(box, boxes) > SAME).any()
        ]
        self._held = [*((box, media_ns) for box in boxes), *held]
        every = np.array([box for box, _ in self._held], np.float32).reshape(-1, 4)
        conceal(image, every, self.how)
        return len(every)

    def _boxes(self, image: Image, known_xyxyn: Floats | None) -> Floats:
        found = find_people(self._detector, self._people, image)
        if known_xyxyn is None or not len(known_xyxyn):
            return found
        new = [box for box in known_xyxyn if not (_overlaps(box, found) > 0.5).any()]
        return np.concatenate([found, np.array(new, np.float32).reshape(-1, 4)])


def find_people(detector: Detector, people: Bools, image: Image) -> Floats:
    """(N, 4) boxes of people, normalised: of the whole picture, and of tiles where it is large."""
    height, width = image.shape[:2]
    found = [_seen(detector, people, image)]
    for (x1, x2), (y1, y2) in tiles(width, height):
        boxes = _seen(detector, people, np.ascontiguousarray(image[y1:y2, x1:x2]))
        size = np.array([x2 - x1, y2 - y1] * 2, np.float32)
        found.append((boxes * size + np.array([x1, y1] * 2)) / np.array([width, height] * 2))
    return _distinct(np.concatenate(found).astype(np.float32))


def tiles(width: int, height: int) -> Iterator[tuple[Span, Span]]:
    """Spans (x, y) that cover a picture and overlap; none for one that is no larger than a tile."""
    columns, rows = -(-width // MAX_TILE), -(-height // MAX_TILE)
    columns = rows = max(columns, rows)  # of the picture's own shape, for which the detector is letterboxed
    if columns > 1:
        yield from ((x, y) for y in _spans(height, rows) for x in _spans(width, columns))


def _spans(length: int, count: int) -> list[Span]:
    side = length / (count - OVERLAP * (count - 1))
    starts = [round(i * side * (1 - OVERLAP)) for i in range(count)]
    return [(start, min(length, start + round(side) + 1)) for start in starts]


def _seen(detector: Detector, people: Bools, image: Image) -> Floats:
    ticket = detector.submit([Frame(Stamp("people", 0, 0, 0, 0, 0), image)])
    ticket.low_confidence = True
    try:
        (detections,) = detector.collect(ticket)
    except InferenceRejected as error:
        raise ModelError(f"people cannot be hidden, since the detector gave no answer: {error}") from error
    every: list[Detections] = [detections]
    if detections.low_confidence is not None:
        every.append(detections.low_confidence)
    return np.concatenate([each.boxes_xyxyn[people[each.class_ids]] for each in every])


def _distinct(boxes: Floats) -> Floats:
    """Without those that lie on another: a person is found on the whole picture and on a tile. The larger
    one stays, so that nothing that was found is left uncovered by much."""
    kept: list[Floats] = []
    for box in boxes[np.argsort(-_areas(boxes))]:
        if not len(kept) or not (_overlaps(box, np.array(kept)) > 0.6).any():
            kept.append(box)
    return np.array(kept, np.float32).reshape(-1, 4)


def _areas(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _overlaps(box: Floats, boxes: Floats) -> Floats:
    """(N,) intersection over union of one box with others."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0.0), axis=1)
    return np.asarray(shared / np.maximum(_areas(boxes) + _areas(box[None]) - shared, 1e-12))


# ---- what is done to the pixels


def conceal(image: Image, boxes_xyxyn: Floats, how: Hiding) -> None:
    """Hide what is in the boxes (N, 4), grown, in place. The picture beyond the grown boxes stays."""
    height, width = image.shape[:2]
    original = image.copy() if how == "blur" else image
    boxes = np.asarray(boxes_xyxyn, np.float64) * (width, height, width, height)
    by_size = np.argsort(_areas(boxes.astype(np.float32)))  # the largest, with the coarsest cells, last
    for box in boxes[by_size]:
        _conceal_one(image, original, _grown(box), how)


def _conceal_one(image: Image, original: Image, box: npt.NDArray[np.float64], how: Hiding) -> None:
    height, width = image.shape[:2]
    x1, y1 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:]), (width, height)).astype(int)
    if x2 <= x1 or y2 <= y1:
        return  # predicted to have left the picture
    distance = _from_middle(box, (x1, x2), (y1, y2))
    patch = image[y1:y2, x1:x2]
    body = distance <= 1.0
    if how == "blur":
        patch[body] = _pixelated(original[y1:y2, x1:x2], box)[body]
        return
    patch[body] = FILL
    patch[body & (distance > 0.75)] = RIM


def _grown(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    more = np.maximum((box[2:] - box[:2]) * GROWN, MIN_GROWN)
    return np.concatenate([box[:2] - more, box[2:] + more])


def _from_middle(box: npt.NDArray[np.float64], xs: Span, ys: Span) -> npt.NDArray[np.float64]:
    """(H, W): 0 in the middle of the box, 1 at the edge of the superellipse that touches its sides."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    x = np.abs((np.arange(*xs) + 0.5 - middle[0]) / half[0]) ** ROUNDNESS
    y = np.abs((np.arange(*ys) + 0.5 - middle[1]) / half[1]) ** ROUNDNESS
    return np.asarray(x[None, :] + y[:, None])


def _pixelated(patch: Image, box: npt.NDArray[np.float64]) -> Image:
    """In cells, each of the mean colour of what it covers (pixelation, or mosaic)."""
    cell = max(float((box[2:] - box[:2]).min()) / CELLS, MIN_CELL)
    height, width = patch.shape[:2]
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    small = cv2.resize(patch, cells, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
