"""People of the scene who run, loiter and fall: as drawn, as known, and as told from their boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipelines.actions.factory import create_engine
from pipelines.camera_rules import CameraRules
from pipelines.detect.card import read_card
from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.labels import labels_of
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.spec import ActionsSpec
from pipelines.values import Detections, Frame, Stamp
from streamer.sources.synthetic import Scene
from streamer.sources.synthetic.acts import ActTruth, TrueAct
from streamer.sources.synthetic.truth import TrueBox, boxes

SCENE = Scene(seed=3, width=640, height=360, fps=12.0, density=0.7, mast=8.0, acts=0.5)
FALLS_S = 9.6  # into the scene
CAMERA = "a"


def people(scene: Scene, at_s: float) -> list[TrueBox]:
    world = scene.world()
    found = boxes(scene, world, world.view(scene.width, scene.height), round(at_s * scene.fps))
    return [box for box in found if box.kind == "person" and not box.rides]


@pytest.fixture(scope="module")
def truth() -> ActTruth:
    found = ActTruth(SCENE)
    found.follow(30.0)
    return found


def the_fall(truth: ActTruth) -> TrueAct:
    return next(act for act in truth.acts if act.label == "fall" and act.counts)


def unit_box(ident: int, at_s: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = next(p.box for p in people(SCENE, at_s) if p.ident == ident)
    return x1 / SCENE.width, y1 / SCENE.height, x2 / SCENE.width, y2 / SCENE.height


def test_the_scene_says_who_fell_when(truth: ActTruth) -> None:
    fall = the_fall(truth)
    assert fall.start_s == pytest.approx(FALLS_S, abs=0.3)
    assert 4.0 < fall.end_s - fall.start_s < 8.0
    assert fall in truth.between(5.0, 20.0)
    assert fall not in truth.between(10.0, 20.0)


def test_who_lies_is_wider_than_tall_and_rises_again(truth: ActTruth) -> None:
    fall = the_fall(truth)

    def shape(at_s: float) -> float:
        x1, y1, x2, y2 = unit_box(fall.ident, at_s)
        return (x2 - x1) * SCENE.width / ((y2 - y1) * SCENE.height)

    assert shape(fall.start_s - 1.0) < 0.7
    assert shape(fall.start_s + 2.0) > 1.2
    assert shape(fall.end_s + 3.0) < 0.7


def test_nobody_does_anything_of_the_kind_unless_it_is_asked_for() -> None:
    plain = Scene(seed=3, fps=12.0, density=0.7)
    world = plain.world()
    doing = {actor.doing for at_s in range(0, 60, 2) for actor in world.at(at_s)}
    assert doing & {"loiter", "fall", "rise"} == set()
    assert not any(actor.down for actor in world.at(30.0))
    assert "acts" not in plain.url
    assert "acts=0.5" in SCENE.url


def test_an_event_is_right_only_for_that_person_that_act_and_that_time(truth: ActTruth) -> None:
    fall = the_fall(truth)
    at_s = fall.start_s + 1.0
    here = unit_box(fall.ident, at_s)
    assert not truth.told("run", fall.start_s, at_s, here)
    assert not truth.told("fall", fall.start_s, at_s, (0.9, 0.0, 1.0, 0.1))
    assert fall.told_s is None
    assert truth.told("fall", fall.start_s, at_s, here)
    assert fall.told_s == at_s
    later_s = fall.end_s + 3.0
    assert not truth.told("fall", later_s - 0.5, later_s, unit_box(fall.ident, later_s))


class TrueBoxes:
    """A detector that finds everybody where they are, with some noise."""

    labels = labels_of(["person"])
    joints: tuple[str, ...] = ()
    max_batch, parallel, depth = 1, 1, 1

    def __init__(self, scene: Scene) -> None:
        self._scene, self._world = scene, scene.world()
        self._view = self._world.view(scene.width, scene.height)
        self._dice = np.random.default_rng(1)
        self._found = Detections.empty()

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        assert notify is None
        size = np.array([self._scene.width, self._scene.height] * 2)
        rows = []
        for true in boxes(self._scene, self._world, self._view, frames[0].stamp.frame_id):
            box = np.clip(np.array(true.box) / size, 0, 1)
            wide, high = box[2:] - box[:2]
            if true.kind == "person" and not true.rides and min(wide, high) > 0.005:
                rows.append(np.clip(box + self._dice.normal(0, 0.02, 4) * [wide, high, wide, high], 0, 1))
        found = np.array(rows, np.float32).reshape(-1, 4)
        self._found = Detections(found, np.full(len(found), 0.9, np.float32), np.zeros(len(found), np.int32))
        return Ticket((CAMERA,))

    def collect(self, ticket: Ticket) -> list[Detections]:
        assert ticket.cameras == (CAMERA,)
        return [self._found]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        raise AssertionError(f"nobody needs maps at {strides}")

    def forget(self, camera: str) -> None:
        assert camera == CAMERA

    def describe(self) -> dict[str, object]:
        return {}


def watch(detector: Detector, paint: bool) -> ActTruth:
    """The scene's first seconds, and what is told of them."""
    truth, painter = ActTruth(SCENE), SCENE.painter()
    pipeline = Pipeline(detector, create_engine(ActionsSpec(), detector))
    pipeline.open_camera(CAMERA, CameraRules())
    grey = np.full((36, 64, 3), 114, np.uint8)
    for number in range(round(13 * SCENE.fps)):
        ns = SCENE.media_ns(number)
        picture = SCENE.picture(painter, number) if paint else grey
        for result in pipeline.step([Frame(Stamp(CAMERA, 1, number, ns, ns, 0), picture)]):
            for event in result.events:
                if event.type == "streamer.action.detected.v1":
                    data = event.data
                    span_s = data["start_media_ns"] / 1e9, data["end_media_ns"] / 1e9
                    truth.told(data["action"], *span_s, tuple(data["box_xyxyn"]))
    truth.follow(13.0)
    return truth


def test_a_fall_that_is_drawn_is_told_from_the_true_boxes_within_two_seconds() -> None:
    fall = the_fall(watch(TrueBoxes(SCENE), paint=False))
    assert fall.told_s is not None
    assert 0.0 < fall.told_s - fall.start_s < 2.0


def test_a_fall_that_is_drawn_is_told_by_what_the_default_detector_sees_of_it() -> None:
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    fall = the_fall(watch(create_detector("openvino", PACKAGED_MODEL, threads=1, sidecar=card), paint=True))
    assert fall.told_s is not None
    assert 0.0 < fall.told_s - fall.start_s < 2.0
