"""Hides people in pictures that somebody keeps or shows: one place for every command that writes one.

A detector looks for them on the picture itself, at low scores and on tiles of a large picture, since a box
too many costs a patch of background and one too few a face. Who is found is pixelated, in cells sized by
their own box, or filled: all of the box, or, where the detector gives masks, what the mask of them covers,
grown, as long as that is not nearly nothing. A detector misses people: what is hidden is what it found, and
commands say how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.class_names import named
from pipelines.detect.detector import Detector
from pipelines.detect.errors import InferenceRejected
from pipelines.values import Bools, Detections, Floats, Frame, Image, Labels, Stamp, Tracks
from streamer.clips.outlines import Outline, grown_body, moved, outline_of, rim_of
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


@dataclass(frozen=True, slots=True, eq=False)
class FoundPeople:
    """boxes_xyxyn (N, 4), normalised to the picture; `outlines` of each: what covers somebody, together.
    None: all of their box does."""

    boxes_xyxyn: Floats
    outlines: tuple[tuple[Outline, ...], ...]

    def __len__(self) -> int:
        return len(self.boxes_xyxyn)

    def and_boxes(self, boxes: Sequence[Floats]) -> FoundPeople:
        """Together with others, each (4,), of whom no more is known."""
        more = np.array(boxes, np.float32).reshape(-1, 4)
        every = np.concatenate([self.boxes_xyxyn, more])
        return FoundPeople(every, (*self.outlines, *((),) * len(more)))


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
        found = self._found(image, known_xyxyn)
        conceal(image, found.boxes_xyxyn, self.how, found.outlines)
        return len(found)

    def hide_next(self, image: Image, media_ns: int, known_xyxyn: Floats | None = None) -> int:
        """The same in the next picture of a clip: who is not found for a moment stays hidden there."""
        found = self._found(image, known_xyxyn)
        boxes = found.boxes_xyxyn
        held = [
            (box, seen_ns)
            for box, seen_ns in self._held
            if media_ns - seen_ns <= HOLD_NS and not (_overlaps(box, boxes) > SAME).any()
        ]
        self._held = [*((box, media_ns) for box in boxes), *held]
        every = found.and_boxes([box for box, _ in held])
        conceal(image, every.boxes_xyxyn, self.how, every.outlines)
        return len(every)

    def _found(self, image: Image, known_xyxyn: Floats | None) -> FoundPeople:
        found = find_people(self._detector, self._people, image)
        if known_xyxyn is None or not len(known_xyxyn):
            return found
        return found.and_boxes([b for b in known_xyxyn if not (_overlaps(b, found.boxes_xyxyn) > 0.5).any()])


def find_people(detector: Detector, people: Bools, image: Image) -> FoundPeople:
    """People in the whole picture, and on tiles where it is large."""
    height, width = image.shape[:2]
    parts = [_seen(detector, people, image)]
    for (x1, x2), (y1, y2) in tiles(width, height):
        there = _seen(detector, people, np.ascontiguousarray(image[y1:y2, x1:x2]))
        size = np.array([x2 - x1, y2 - y1] * 2, np.float32)
        boxes = (there.boxes_xyxyn * size + np.array([x1, y1] * 2)) / np.array([width, height] * 2)
        outlines = tuple(tuple(filter(None, (moved(o, x1, y1) for o in each))) for each in there.outlines)
        parts.append(FoundPeople(boxes.astype(np.float32), outlines))
    return _distinct(_joined(parts))


def _joined(parts: Sequence[FoundPeople]) -> FoundPeople:
    boxes = np.concatenate([each.boxes_xyxyn for each in parts])
    return FoundPeople(boxes, tuple(outlines for each in parts for outlines in each.outlines))


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


def _seen(detector: Detector, people: Bools, image: Image) -> FoundPeople:
    ticket = detector.submit([Frame(Stamp("people", 0, 0, 0, 0, 0), image)])
    ticket.low_confidence = True
    try:
        (detections,) = detector.collect(ticket)
    except InferenceRejected as error:
        raise ModelError(f"people cannot be hidden, since the detector gave no answer: {error}") from error
    every: list[Detections] = [detections]
    if detections.low_confidence is not None:
        every.append(detections.low_confidence)
    height, width = image.shape[:2]
    return _joined([_outlined(each.take(people[each.class_ids]), width, height) for each in every])


def _outlined(found: Detections, width: int, height: int) -> FoundPeople:
    masks = found.masks
    if masks is None:
        return FoundPeople(found.boxes_xyxyn, ((),) * len(found))
    each = (outline_of(masks, i, width, height) for i in range(len(masks)))
    return FoundPeople(found.boxes_xyxyn, tuple(() if outline is None else (outline,) for outline in each))


def _distinct(found: FoundPeople) -> FoundPeople:
    """Without those that lie on another: a person is found on the whole picture and on a tile. The larger
    box stays, and the outlines of both, so that nothing that was found is left uncovered by much; where one
    of the two has none, all of the box is covered."""
    boxes: list[Floats] = []
    outlines: list[tuple[Outline, ...]] = []
    for i in np.argsort(-_areas(found.boxes_xyxyn)):
        box, mine = found.boxes_xyxyn[i], found.outlines[i]
        shared = _overlaps(box, np.array(boxes)) if boxes else np.zeros(1)
        if shared.max() <= 0.6:
            boxes.append(box)
            outlines.append(mine)
            continue
        at = int(shared.argmax())
        outlines[at] = (*outlines[at], *mine) if outlines[at] and mine else ()
    return FoundPeople(np.array(boxes, np.float32).reshape(-1, 4), tuple(outlines))


def _areas(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _overlaps(box: Floats, boxes: Floats) -> Floats:
    """(N,) intersection over union of one box with others."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0.0), axis=1)
    return np.asarray(shared / np.maximum(_areas(boxes) + _areas(box[None]) - shared, 1e-12))


# ---- what is done to the pixels


def conceal(
    image: Image, boxes_xyxyn: Floats, how: Hiding, outlines: Sequence[Sequence[Outline]] = ()
) -> None:
    """Hide what is in the boxes (N, 4), grown, in place. The picture beyond the grown boxes stays; where
    `outlines` has any of a box, so does what is beyond these, grown."""
    height, width = image.shape[:2]
    original = image.copy() if how == "blur" else image
    boxes = np.asarray(boxes_xyxyn, np.float64) * (width, height, width, height)
    by_size = np.argsort(_areas(boxes.astype(np.float32)))  # the largest, with the coarsest cells, last
    for i in by_size:
        _conceal_one(image, original, _grown(boxes[i]), how, outlines[i] if outlines else ())


def _conceal_one(
    image: Image,
    original: Image,
    box: npt.NDArray[np.float64],
    how: Hiding,
    outlines: Sequence[Outline],
) -> None:
    height, width = image.shape[:2]
    x1, y1 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:]), (width, height)).astype(int)
    if x2 <= x1 or y2 <= y1:
        return  # predicted to have left the picture
    body, rim = _body(box, (int(x1), int(x2)), (int(y1), int(y2)), outlines)
    patch = image[y1:y2, x1:x2]
    if how == "blur":
        patch[body] = _pixelated(original[y1:y2, x1:x2], box)[body]
        return
    patch[body] = FILL
    patch[rim] = RIM


def _body(
    box: npt.NDArray[np.float64], xs: Span, ys: Span, outlines: Sequence[Outline]
) -> tuple[Bools, Bools]:
    """What of a grown box is covered, and the rim of that, (ys, xs) each."""
    if outlines:
        shorter = float((box[2:] - box[:2]).min())
        body = grown_body(outlines, xs, ys, shorter)
        return body, rim_of(body, shorter)
    distance = _from_middle(box, xs, ys)
    body = np.asarray(distance <= 1.0)
    return body, np.asarray(body & (distance > 0.75))


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
