"""Labels by agreement of two models."""

from __future__ import annotations

import numpy as np

from pipelines.train.detector.dataset import CLASSES, Labelled, bits_of
from pipelines.train.detector.pseudo_labels import TeacherDetections, agree, complete

PERSON, CAR, BUS, TRUCK = (CLASSES.index(name) for name in ("person", "car", "bus", "truck"))
VEHICLES = bits_of([2, 3, 4, 5])


def seen(*rows: tuple[list[float], float, int]) -> TeacherDetections:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return TeacherDetections(
        (boxes, np.array([r[1] for r in rows], np.float32), np.array([r[2] for r in rows], np.int32))
    )


def test_what_both_see_is_an_object_and_what_one_sees_is_unknown() -> None:
    one = seen(([0, 0, 10, 20], 0.8, PERSON), ([50, 0, 60, 20], 0.9, PERSON))
    other = seen(([1, 0, 11, 20], 0.6, PERSON), ([80, 0, 90, 20], 0.4, CAR))
    objects, areas = agree(one, other)
    assert objects.classes.tolist() == [PERSON]
    assert 0 < objects.boxes[0][0] < 0.5  # nearer to the surer one
    assert sorted(areas.ignore.tolist()) == [1, VEHICLES]


def test_two_faint_sights_are_no_object() -> None:
    objects, areas = agree(seen(([0, 0, 10, 20], 0.3, PERSON)), seen(([0, 0, 10, 20], 0.9, PERSON)))
    assert len(objects) == 0
    assert areas.ignore.tolist() == [1]


def test_a_van_seen_as_car_and_truck_is_one_vehicle_of_the_surer_class() -> None:
    objects, areas = agree(seen(([0, 0, 50, 40], 0.5, CAR)), seen(([0, 0, 52, 40], 0.8, TRUCK)))
    assert objects.classes.tolist() == [TRUCK]
    assert len(areas) == 0


def test_one_box_agrees_with_one_other_alone() -> None:
    objects, areas = agree(
        seen(([0, 0, 10, 20], 0.9, PERSON), ([1, 0, 11, 20], 0.8, PERSON)),
        seen(([0, 0, 10, 20], 0.9, PERSON)),
    )
    assert len(objects) == 1
    assert len(areas) == 1


def test_given_labels_win_over_what_the_teachers_see() -> None:
    given = Labelled.of([[0, 0, 50, 40]], [BUS])
    objects, areas = agree(seen(([0, 0, 51, 40], 0.9, TRUCK)), seen(([0, 0, 50, 41], 0.9, TRUCK)))
    result = complete(given, objects, areas, frozenset({CAR, BUS, TRUCK}), whole=True)
    assert result.classes.tolist() == [BUS]
    assert result.ignore.tolist() == [0]


def test_a_class_that_the_set_does_not_label_is_added() -> None:
    objects, areas = agree(seen(([0, 0, 10, 20], 0.9, PERSON)), seen(([0, 0, 10, 20], 0.9, PERSON)))
    result = complete(Labelled.of([[60, 0, 90, 20]], [CAR]), objects, areas, frozenset({CAR}), whole=False)
    assert result.classes.tolist() == [CAR, PERSON]


def test_what_a_complete_set_left_out_is_unknown_not_an_object() -> None:
    objects, areas = agree(seen(([0, 0, 10, 20], 0.9, PERSON)), seen(([0, 0, 10, 20], 0.9, PERSON)))
    result = complete(Labelled.of(), objects, areas, frozenset({PERSON}), whole=True)
    assert result.classes.tolist() == [-1]
    assert result.ignore.tolist() == [1]
    incomplete = complete(Labelled.of(), objects, areas, frozenset({PERSON}), whole=False)
    assert incomplete.classes.tolist() == [PERSON]


def test_what_one_teacher_sees_beyond_a_complete_set_is_background() -> None:
    objects, areas = agree(seen(([0, 0, 10, 20], 0.9, PERSON), ([50, 0, 90, 20], 0.9, CAR)), seen())
    result = complete(Labelled.of(), objects, areas, frozenset({PERSON}), whole=True)
    assert result.ignore.tolist() == [VEHICLES]
