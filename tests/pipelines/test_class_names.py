"""Names of classes in other spellings: one thing is one group, one track and one count."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.class_names import class_key, find, named
from pipelines.detect.card import ModelCard
from pipelines.detect.labels import group_of, labels_of
from pipelines.detect.nms import suppress
from pipelines.evaluate.crossings import Crossing
from pipelines.evaluate.truth import TrueCrossings, is_asked, keep_classes
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Event, Labels, Stamp
from tests.infer_rig import DOOR, ScriptedDetector, boxes

OTHER = labels_of(("pedestrian", "Car", "TRUCK", "Bus ", "motorbike", "Traffic_Light"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Car", "car"),
        (" TRUCK", "truck"),
        ("Bus ", "bus"),
        ("Pedestrian", "person"),
        ("human", "person"),
        ("motor-bike", "motorcycle"),
        ("Motor_Bike", "motorcycle"),
        ("automobile", "car"),
        ("lorry", "truck"),
        ("cycle", "bicycle"),
        ("traffic-light", "traffic light"),
        ("bike", "bike"),  # not clear: a class of its own
        ("rider", "rider"),
        ("dog", "dog"),
    ],
)
def test_names_that_mean_the_same_have_one_key(name: str, key: str) -> None:
    assert class_key(name) == key


def test_groups_do_not_hang_on_the_spelling() -> None:
    assert OTHER.groups == ("person", "vehicle", "vehicle", "vehicle", "vehicle", "traffic light")
    assert group_of("van") == group_of("Mini-Van") == "vehicle"
    assert group_of("Bicycle") == "bicycle"


def test_a_rule_means_a_class_or_group_in_whatever_spelling() -> None:
    def chosen(*wanted: str) -> list[str]:
        return [OTHER.names[i] for i in np.flatnonzero(OTHER.mask(wanted))]

    assert chosen("car") == ["Car"]
    assert chosen("person", "BUS") == ["pedestrian", "Bus "]
    assert chosen("Vehicles") == ["Car", "TRUCK", "Bus ", "motorbike"]
    assert chosen("traffic light") == ["Traffic_Light"]
    with pytest.raises(ValueError, match="no class or group 'dog'"):
        OTHER.mask(("dog",))


def test_the_word_for_all_means_each_and_the_word_for_one_that_alone() -> None:
    assert named("car", {"car", "sedan", "bus"}) == {"car", "sedan"}
    assert named("sedan", {"car", "sedan", "bus"}) == {"sedan"}
    assert named("automobile", {"car", "bus"}) == {"car"}
    assert find("Person", ("pedestrian", "person")) == "person"
    assert find("people", ("car", "pedestrian")) == "pedestrian"
    assert find("bike", ("bicycle", "motorcycle")) is None


def test_a_sidecar_parts_classes_by_groups_but_not_by_their_spelling() -> None:
    assert ModelCard(classes={"Car": "Car", "Truck": "Truck"}).classes == {
        "Car": "vehicle",
        "Truck": "vehicle",
    }
    assert ModelCard(classes={"car": "vehicle", "truck": "truck"}).classes["truck"] == "truck"
    assert ModelCard(classes={"Car": "light", "Truck": "heavy"}).classes == {"Car": "light", "Truck": "heavy"}
    assert Labels(("a", "b", "c"), ("Vehicle", "vehicle ", "x")).group_ids().tolist() == [0, 0, 1]


def test_two_boxes_of_one_vehicle_under_two_names_suppress_each_other() -> None:
    pair = np.array([[10, 10, 50, 40], [11, 10, 50, 41]], np.float32)
    ids = np.array([OTHER.names.index("Car"), OTHER.names.index("TRUCK")])
    kept = suppress(pair, np.array([0.8, 0.7], np.float32), OTHER.group_ids()[ids], 0.5)
    assert kept.tolist() == [0]


def crossings(labels: Labels, seen_as: tuple[str, ...], **rules: object) -> list[Event]:
    """Of one object that crosses the door and is called by these names in turn."""

    def look(stamp: Stamp) -> Detections:
        name = seen_as[stamp.frame_id % len(seen_as)]
        return boxes((0.3 + 0.02 * stamp.frame_id, 0.6), class_id=labels.names.index(name))

    pipeline = Pipeline(ScriptedDetector(look, labels=labels))
    pipeline.open_camera("gate", CameraRules.model_validate({**DOOR, **rules}))
    stamps = [Stamp("gate", 1, n, n * 100_000_000, n * 100_000_000, 0) for n in range(25)]
    events = [event for stamp in stamps for event in pipeline.advance(stamp, look(stamp)).events]
    events += pipeline.end_tracks("gate", stamps[-1])
    return [event for event in events if event.type == LINE_CROSSED]


@pytest.mark.parametrize("names", [("Car", "Truck"), ("car", "TRUCK"), ("sedan", "Lorry"), ("Bus ", "van")])
def test_a_vehicle_called_by_two_names_in_turn_is_one_track_and_one_count(names: tuple[str, ...]) -> None:
    (crossed,) = crossings(labels_of(("person", *names)), names)
    assert crossed.data["class"] in names  # the model's own name
    assert crossed.data["group"] == "vehicle"


def test_a_rule_for_cars_counts_what_a_model_calls_car_in_its_own_way() -> None:
    labels = labels_of(("Pedestrian", "Car"))
    line = {**DOOR["lines"][0], "classes": ["car"]}
    (crossed,) = crossings(labels, ("Car",), lines=[line], classes=["vehicle"])
    assert crossed.data["class"] == "Car"
    assert crossings(labels, ("Pedestrian",), lines=[line]) == []
    (crossed,) = crossings(labels, ("Pedestrian",), classes=["person"])
    assert (crossed.data["class"], crossed.data["group"]) == ("Pedestrian", "person")


def test_people_are_counted_by_their_feet_whatever_a_model_calls_them() -> None:
    """A line just below the middle of the picture's height: feet cross it, centres do not."""
    line = {"name": "kerb", "points": [[0.0, 0.58], [1.0, 0.58]]}
    labels = labels_of(("Pedestrian",))

    def look(stamp: Stamp) -> Detections:
        return boxes((0.5, 0.5 + 0.006 * stamp.frame_id))

    pipeline = Pipeline(ScriptedDetector(look, labels=labels))
    pipeline.open_camera("gate", CameraRules.model_validate({"lines": [line]}))
    stamps = [Stamp("gate", 1, n, n * 100_000_000, n * 100_000_000, 0) for n in range(25)]
    events = [event for stamp in stamps for event in pipeline.advance(stamp, look(stamp)).events]
    events += pipeline.end_tracks("gate", stamps[-1])
    assert [event.type for event in events].count(LINE_CROSSED) == 1


def test_truth_is_compared_under_the_names_that_the_model_has() -> None:
    groups = dict(zip(OTHER.names, OTHER.groups, strict=True))
    truth = TrueCrossings(
        tuple(Crossing("door", "in", float(i), kind) for i, kind in enumerate(("car", "person", "")))
    )
    kept = keep_classes(truth, ("people",), groups)
    assert [c.class_name for c in kept.crossings] == ["pedestrian", ""]
    assert len(kept.warnings) == 1
    assert "class 'Car' left out" in kept.warnings[0]
    assert is_asked("Vehicle", ("car",), groups)
    assert not is_asked("bicycle", ("car",), groups)
