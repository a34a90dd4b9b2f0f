"""People in pictures are hidden: what their boxes hold cannot be told any more, and the rest is as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.errors import InferenceRejected
from pipelines.instance_masks import InstanceMasks
from pipelines.values import Detections, Frame, Image, Labels
from streamer.clips.outlines import Outline
from streamer.clips.people import (
    GROWN,
    HOLD_NS,
    MAX_TILE,
    MIN_GROWN,
    FoundPeople,
    Hiding,
    PeopleHider,
    _distinct,
    conceal,
    find_people,
    people_classes,
    tiles,
)
from streamer.errors import ModelError
from streamer.models.model_handle import open_detector, packaged
from tests.street_people import Mask, filled, street

HIDINGS: tuple[Hiding, ...] = ("blur", "silhouette")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector("auto", packaged(), threads=1)


def within(boxes: npt.NDArray[Any], image: Image) -> Mask:
    """What lies in the grown boxes, which are given in shares of the picture."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.bool_)
    for x1, y1, x2, y2 in np.asarray(boxes, np.float64) * (width, height, width, height):
        dx, dy = max(GROWN * (x2 - x1), MIN_GROWN), max(GROWN * (y2 - y1), MIN_GROWN)
        left, top = max(0, int(np.floor(x1 - dx))), max(0, int(np.floor(y1 - dy)))
        mask[top : int(np.ceil(y2 + dy)), left : int(np.ceil(x2 + dx))] = True
    return mask


def likeness(a: Image, b: Image) -> float:
    """How far the details of two pictures are correlated, by which somebody could be known."""
    details = [cv2.Laplacian(cv2.cvtColor(each, cv2.COLOR_BGR2GRAY), cv2.CV_64F).ravel() for each in (a, b)]
    if min(each.std() for each in details) == 0:
        return 0.0
    return float(np.corrcoef(*details)[0, 1])


# ---- rendered people, the detector in the package


def test_who_is_seen_in_a_street_is_covered(detector: Detector) -> None:
    shares = []
    for seed in (3, 4):
        image, people = street(seed)
        PeopleHider(detector, "silhouette").hide(image)
        shares += [float(filled(image)[y1:y2, x1:x2].mean()) for x1, y1, x2, y2 in people]
    assert len(shares) > 30
    assert np.mean(np.array(shares) > 0.9) >= 0.97, sorted(shares)[:5]


@pytest.mark.parametrize("how", HIDINGS)
def test_nobody_s_details_are_like_the_original_s_and_the_background_is_bit_identical(
    detector: Detector, how: Hiding
) -> None:
    image, people = street(3)
    hidden = image.copy()
    found = find_people(detector, people_classes(detector.labels), image).boxes_xyxyn
    assert PeopleHider(detector, how).hide(hidden) == len(found) >= len(people) > 3
    covered = within(found, image)
    assert 0.01 < covered.mean() < 0.8
    assert (hidden[~covered] == image[~covered]).all()
    alike = [likeness(image[y1:y2, x1:x2], hidden[y1:y2, x1:x2]) for x1, y1, x2, y2 in people]
    assert max(alike) < 0.35, alike
    assert likeness(image, image) > 0.99


def test_who_is_small_in_a_large_picture_is_found_on_its_tiles(detector: Detector) -> None:
    image, people = street(3)
    large: Image = np.full((2160, 3840, 3), 120, np.uint8)
    small = cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    large[900 : 900 + small.shape[0], 1700 : 1700 + small.shape[1]] = small
    assert PeopleHider(detector, "silhouette").hide(large) >= len(people)
    middles = [(900 + 0.3 * (y1 + y2), 1700 + 0.3 * (x1 + x2)) for x1, y1, x2, y2 in people]
    missed = [middle for middle in middles if not filled(large)[round(middle[0]), round(middle[1])]]
    assert len(missed) <= len(people) / 5, missed


# ---- what is done to the pixels


def noise(width: int = 400, height: int = 300) -> Image:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


BOX = np.array([[0.3, 0.2, 0.5, 0.8]], np.float32)
INSIDE = (slice(60, 240), slice(120, 200))


def test_a_silhouette_covers_its_box_corners_and_all() -> None:
    image = noise()
    conceal(image, BOX, "silhouette")
    assert filled(image)[INSIDE].all()


def test_a_blur_leaves_no_more_than_a_few_cells() -> None:
    image, before = noise(), noise()
    conceal(image, BOX, "blur")
    assert len(np.unique(image[INSIDE].reshape(-1, 3), axis=0)) <= 60
    correlation = np.corrcoef(image[INSIDE].ravel().astype(float), before[INSIDE].ravel().astype(float))[0, 1]
    assert abs(correlation) < 0.12, "the mean of a cell is all that is left"


def test_a_small_box_on_a_large_one_shows_no_more_of_it() -> None:
    face = np.array([[0.37, 0.25, 0.42, 0.33]], np.float32)
    alone, both = noise(), noise()
    conceal(alone, BOX, "blur")
    for order in (np.concatenate([BOX, face]), np.concatenate([face, BOX])):
        both = noise()
        conceal(both, order, "blur")
        assert (both == alone).all()


@pytest.mark.parametrize("how", HIDINGS)
def test_boxes_over_the_edge_and_beyond_it_are_no_fault(how: Hiding) -> None:
    image = noise()
    boxes = np.array([[-0.2, -0.1, 0.1, 0.4], [1.2, 1.2, 1.4, 1.5], [0.9, 0.9, 1.3, 1.1]], np.float32)
    conceal(image, boxes, how)
    before = noise()
    assert (image[0:100, 0:40] != before[0:100, 0:40]).any(axis=2).mean() > 0.9
    assert (image[150:250, 100:300] == before[150:250, 100:300]).all()


@pytest.mark.parametrize(
    "size", [(640, 360), (360, 640), (960, 540), (1280, 720), (1920, 1080), (3840, 2160), (600, 2000)]
)
def test_tiles_cover_a_large_picture_and_overlap(size: tuple[int, int]) -> None:
    width, height = size
    seen = np.zeros((height, width), np.uint8)
    for (x1, x2), (y1, y2) in tiles(width, height):
        assert x2 - x1 <= MAX_TILE * 1.25
        seen[y1:y2, x1:x2] += 1
    if max(size) <= MAX_TILE:
        assert seen.max() == 0
    else:
        assert seen.min() >= 1
        assert seen.max() >= 2


# ---- a detector that sees what it is told


class Scripted:
    """Sees, in every picture, the next of its lists of boxes; raises where it is told None."""

    max_batch, parallel, depth = 1, 1, 1
    joints: tuple[str, ...] = ()

    def __init__(self, answers: Sequence[Any], names: tuple[str, ...] = ("person", "car")) -> None:
        self.labels = Labels(names, names)
        self._answers = list(answers)

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:  # noqa: ARG002
        return Ticket(tuple(frame.stamp.camera for frame in frames))

    def collect(self, ticket: Ticket) -> list[Detections]:
        assert ticket.low_confidence, "who is hardly seen is to be hidden too"
        answer = self._answers.pop(0)
        if answer is None:
            raise InferenceRejected({0: "no boxes"}, (None,))
        boxes = np.array([box for box, _ in answer], np.float32).reshape(-1, 4)
        classes = np.array([class_id for _, class_id in answer], np.int32)
        sure = Detections(boxes[:1], np.full(len(boxes[:1]), 0.9, np.float32), classes[:1])
        low = Detections(boxes[1:], np.full(len(boxes[1:]), 0.2, np.float32), classes[1:])
        return [
            Detections(sure.boxes_xyxyn, sure.scores, sure.class_ids, low_confidence=low)
            if len(boxes)
            else Detections.empty()
        ]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:  # noqa: ARG002
        return 0

    def forget(self, camera: str) -> None:
        """Nothing is kept."""

    def describe(self) -> dict[str, Any]:
        return {}


HERE, BESIDE, FAR = (0.2, 0.2, 0.3, 0.6), (0.24, 0.2, 0.34, 0.6), (0.7, 0.2, 0.8, 0.6)


def test_who_is_hardly_seen_is_hidden_and_a_car_is_not() -> None:
    image = noise()
    assert PeopleHider(Scripted([[(FAR, 1), (HERE, 0)]]), "silhouette").hide(image) == 1
    assert filled(image)[120, 100]
    assert not filled(image)[120, 300]


def test_who_is_not_found_for_a_moment_in_a_clip_stays_hidden_for_that_moment() -> None:
    hider = PeopleHider(Scripted([[(HERE, 0)], [], [], [(HERE, 0)], []]), "silhouette")
    times_ns = (0, HOLD_NS, HOLD_NS + 1, HOLD_NS + 2, HOLD_NS + 3)
    assert [hider.hide_next(noise(), at_ns) for at_ns in times_ns] == [1, 1, 0, 1, 1]


def test_who_walks_on_in_a_clip_leaves_nothing_hidden_behind() -> None:
    hider = PeopleHider(Scripted([[(HERE, 0)], [(BESIDE, 0)]]), "silhouette")
    assert [hider.hide_next(noise(), at_ns) for at_ns in (0, 40_000_000)] == [1, 1]


def test_where_a_track_is_somebody_is_hidden_whether_found_or_not() -> None:
    image = noise()
    known = np.array([FAR, HERE], np.float32)
    assert PeopleHider(Scripted([[(HERE, 0)]]), "silhouette").hide(image, known) == 2
    assert filled(image)[120, 300]


class Masked(Scripted):
    """The same, with a mask of each box: its left half where `coefficient` is 1, nothing where it is 0."""

    def __init__(self, answers: Sequence[Any], coefficient: float = 1.0) -> None:
        super().__init__(answers)
        self._coefficient = coefficient

    def collect(self, ticket: Ticket) -> list[Detections]:
        return [self._masked(each) for each in super().collect(ticket)]

    def _masked(self, found: Detections) -> Detections:
        if not len(found):
            return found
        x1, _, x2, _ = found.boxes_xyxyn[0]
        wide, high = 400, 300  # a cell a pixel of noise(), so that a mask ends where it is said to
        across = np.where((np.arange(wide) + 0.5) / wide < (x1 + x2) / 2, 1.0, -1.0)
        prototypes = np.tile(across, (high, 1))[None].astype(np.float32)
        numbers = np.full((len(found), 1), self._coefficient, np.float32)
        masks = InstanceMasks(numbers, prototypes, found.boxes_xyxyn, (0.0, 0.0), (wide, high))
        return replace(found, masks=masks)


WIDE = (0.2, 0.2, 0.6, 0.8)  # of 400x300 pixels: columns 80 to 240, rows 60 to 240
LEFT_HALF, RIGHT_THIRD = (slice(60, 240), slice(80, 160)), (slice(60, 240), slice(190, 240))


@pytest.mark.parametrize("how", HIDINGS)
def test_where_the_detector_gives_a_mask_that_is_hidden_and_a_little_around_it(how: Hiding) -> None:
    image, before = noise(), noise()
    assert PeopleHider(Masked([[(WIDE, 0)]]), how).hide(image) == 1
    changed = (image != before).any(axis=2)
    assert changed[LEFT_HALF].mean() > 0.99
    assert changed[60:240, 162:165].mean() > 0.5, "the mask is grown beyond its edge at 160"
    assert not changed[RIGHT_THIRD].any(), "the rest of the box is not who was found"
    if how == "silhouette":
        assert filled(image)[LEFT_HALF].all()


@pytest.mark.parametrize("coefficient", [0.0, -1e-9])
def test_a_mask_that_is_nearly_nothing_is_not_relied_on(coefficient: float) -> None:
    image = noise()
    thin = (0.2, 0.2, 0.6, 0.8)
    detector = Masked([[(thin, 0)]], coefficient)
    if coefficient:
        detector._masked = lambda found: replace(  # type: ignore[method-assign]
            found, masks=InstanceMasks(SLIT, SLIT_PROTOTYPES, found.boxes_xyxyn, (0.0, 0.0), (20.0, 1.0))
        )
    PeopleHider(detector, "silhouette").hide(image)
    assert filled(image)[LEFT_HALF].all()
    assert filled(image)[60:240, 190:235].all()


SLIT = np.ones((1, 1), np.float32)
SLIT_PROTOTYPES = np.where(np.arange(20) == 4, 0.5, -1.0).astype(np.float32).reshape(1, 1, 20)


def test_who_is_held_or_known_without_a_mask_is_hidden_by_the_box() -> None:
    image, before = noise(), noise()
    hider = PeopleHider(Masked([[(WIDE, 0)], []]), "silhouette")
    hider.hide_next(image, 0)
    assert not filled(image)[RIGHT_THIRD].any()
    hider.hide_next(before, 1)
    assert filled(before)[RIGHT_THIRD][:, :-4].all()


def test_a_mask_found_on_a_tile_lies_at_the_tile_s_place_in_the_picture() -> None:
    image: Image = np.random.default_rng(5).integers(0, 256, (1080, 1920, 3), np.uint8)
    before = image.copy()
    places = list(tiles(1920, 1080))
    (x1, x2), (y1, y2) = places[4]
    answers: list[Any] = [[] for _ in range(1 + len(places))]
    answers[1 + 4] = [(WIDE, 0)]
    PeopleHider(Masked(answers), "silhouette").hide(image)
    left, right = (round(x1 + share * (x2 - x1)) for share in (0.2, 0.4))
    top, bottom = (round(y1 + share * (y2 - y1)) for share in (0.2, 0.8))
    assert filled(image)[top:bottom, left:right].all()
    changed = np.argwhere((image != before).any(axis=2))
    assert (changed.max(axis=0) - (bottom, right)).max() < 0.1 * (x2 - x1)


def test_of_who_is_found_twice_both_masks_are_hidden_and_all_of_the_box_where_one_is_missing() -> None:
    boxes = np.array([[0.2, 0.2, 0.6, 0.8], [0.21, 0.2, 0.6, 0.8]], np.float32)
    half: Mask = np.ones((180, 80), np.bool_)
    left, right = Outline(80, 60, half, 1.0), Outline(160, 60, half, 1.0)
    both = _distinct(FoundPeople(boxes, ((left,), (right,))))
    assert (len(both), both.outlines) == (1, ((left, right),))
    assert _distinct(FoundPeople(boxes, ((left,), ()))).outlines == ((),)
    assert _distinct(FoundPeople(boxes, ((), (right,)))).outlines == ((),)
    image = noise()
    conceal(image, both.boxes_xyxyn, "silhouette", both.outlines)
    assert filled(image)[60:240, 80:240].all()


def test_without_an_answer_there_is_an_error_and_no_half_hidden_picture() -> None:
    image = noise()
    with pytest.raises(ModelError, match="people cannot be hidden"):
        PeopleHider(Scripted([None]), "blur").hide(image)
    assert (image == noise()).all()


def test_people_are_known_by_their_names_and_a_model_without_them_is_refused() -> None:
    names = ("Pedestrian", "car", "rider")
    assert people_classes(Labels(names, ("person", "vehicle", "rider"))).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="knows no people, only car, bus"):
        PeopleHider(Scripted([], ("car", "bus")), "blur")
