"""A pipeline with a region: the detector sees a part, and all that follows speaks of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import InferenceRejected
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Event, Frame, Image, Labels, Stamp

WIDTH, HEIGHT, FPS = 320, 180, 10
REGION = (0.25, 0.0, 0.75, 1.0)
LINE = {"name": "middle", "points": [[0.5, 0.0], [0.5, 1.0]], "anchor": "center"}
SIDE = 30  # pixels of the white square that the detector knows


class WhiteSquares:
    """Finds what is white in whatever it is given, in places of that."""

    labels = Labels(("object",), ("object",))
    joints: tuple[str, ...] = ()
    max_batch, parallel, depth = 1, 1, 4

    def __init__(self) -> None:
        self.given: list[tuple[int, ...]] = []
        self.forgotten: list[str] = []
        self.bad = False

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        del notify
        self.given += [frame.image.shape[:2] for frame in frames]
        ticket = Ticket(tuple(frame.stamp.camera for frame in frames))
        self._answers = [white(frame.image) for frame in frames]
        return ticket

    def collect(self, ticket: Ticket) -> list[Detections]:
        del ticket
        if self.bad:
            raise InferenceRejected({1: "a bad answer"}, tuple(self._answers))
        return self._answers

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        raise NotImplementedError(strides)

    def forget(self, camera: str) -> None:
        self.forgotten.append(camera)

    def describe(self) -> dict[str, Any]:
        return {}


def white(image: Image) -> Detections:
    ys, xs = np.nonzero(image[..., 0] == 255)
    if not len(xs):
        return Detections.empty()
    size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32) / size
    return Detections(box.astype(np.float32), np.full(1, 0.9, np.float32), np.zeros(1, np.int32))


def frame(number: int, x: float, y: float = 75) -> Frame:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top = round(x), round(y)
    image[max(0, top) : max(0, top + SIDE), max(0, left) : max(0, left + SIDE)] = 255
    ns = round(number * 1e9 / FPS)
    return Frame(Stamp("gate", 1, number, ns, ns, ns), image)


def opened(region: object, **more: Any) -> tuple[Pipeline, WhiteSquares]:
    detector = WhiteSquares()
    pipeline = Pipeline(detector)
    pipeline.open_camera("gate", CameraRules.model_validate({"region": region, "lines": [LINE], **more}))
    return pipeline, detector


def crossings(pipeline: Pipeline, places: Sequence[tuple[float, float]]) -> list[Event]:
    events: list[Event] = []
    for number, (x, y) in enumerate(places):
        (result,) = pipeline.step([frame(number, x, y)])
        events += result.events
    events += pipeline.end_tracks("gate", result.stamp)
    return [event for event in events if event.type == LINE_CROSSED]


ACROSS = [(x, 75.0) for x in range(-SIDE, WIDTH, 8)]


def test_who_crosses_is_counted_at_the_same_place_and_time_as_without_a_region() -> None:
    (whole,) = crossings(opened("off")[0], ACROSS)
    (part,) = crossings(opened(REGION)[0], ACROSS)
    assert part.data["direction"] == whole.data["direction"]
    assert part.data["crossed_media_ns"] == pytest.approx(whole.data["crossed_media_ns"], abs=5e7)


def test_the_detector_is_given_the_region_alone_and_boxes_are_of_the_whole_picture() -> None:
    pipeline, detector = opened(REGION)
    (result,) = pipeline.step([frame(0, 160)])
    assert detector.given == [(HEIGHT, WIDTH // 2)]
    wanted = [160 / WIDTH, 75 / HEIGHT, 190 / WIDTH, 105 / HEIGHT]
    assert result.detections.boxes_xyxyn[0] == pytest.approx(wanted, abs=1e-5)


def test_boxes_that_a_rejected_batch_still_gives_are_of_the_whole_picture() -> None:
    pipeline, detector = opened(REGION)
    detector.bad = True
    (result,) = pipeline.collect_each(pipeline.submit([frame(0, 160)]))
    assert not isinstance(result, str)
    assert result.detections.boxes_xyxyn[0, 0] == pytest.approx(160 / WIDTH, abs=1e-5)


@pytest.mark.parametrize("edge", [REGION[0] * WIDTH, REGION[2] * WIDTH])
def test_who_comes_and_goes_at_the_regions_edge_crosses_nothing(edge: float) -> None:
    there_and_back = [edge - SIDE / 2 + 25 * np.sin(i / 4) for i in range(100)]
    pipeline, _ = opened(REGION)
    assert crossings(pipeline, [(x, 75.0) for x in there_and_back]) == []


def test_who_leaves_at_one_edge_is_not_who_comes_in_at_the_other() -> None:
    out_and_in = [(x, 75.0) for x in range(200, 260, 6)] + [(x, 75.0) for x in range(40, 140, 6)]
    assert crossings(opened(REGION)[0], out_and_in) == []


def test_a_track_that_has_left_the_region_is_not_waited_for() -> None:
    pipeline, _ = opened(REGION)
    number = 0
    for x in range(160, 300, 8):
        pipeline.step([frame(number, x)])
        number += 1
    for _ in range(FPS // 2):  # a quarter of the time for which one who is not seen is waited for
        pipeline.step([frame(number, 300)])
        number += 1
    assert not pipeline.follows("gate")


def test_another_region_lets_go_of_what_the_detector_kept_and_of_no_track() -> None:
    pipeline, detector = opened("off")
    for number in range(5):
        pipeline.step([frame(number, 140 + 2 * number)])
    detector.forgotten.clear()
    pipeline.set_rules("gate", CameraRules.model_validate({"region": REGION, "lines": [LINE]}))
    results = [pipeline.step([frame(number, 140 + 2 * number)])[0] for number in range(5, 10)]
    assert detector.forgotten == ["gate"]
    assert {i for result in results for i in result.tracks.track_ids.tolist()} == {1}
    assert pipeline.region("gate") == {
        "asked": "fixed",
        "box": list(REGION),
        "share": 0.5,
        "zoom": False,
        "why": "as configured",
    }


def test_the_region_that_was_learnt_goes_through_a_checkpoint() -> None:
    pipeline, _ = opened("auto")
    for passer in range(13):
        for number, (x, y) in enumerate(ACROSS):
            pipeline.step([frame(passer * 80 + number, x, y)])
        for pause in range(80 - len(ACROSS)):
            pipeline.step([frame(passer * 80 + len(ACROSS) + pause, -SIDE)])
    learnt = pipeline.region("gate")
    assert learnt is not None
    assert learnt["share"] < 1
    after, detector = opened("auto")
    after.restore("gate", pipeline.save("gate"))
    restored = after.region("gate")
    assert restored is not None
    assert restored["box"] == learnt["box"]
    after.step([frame(2000, 160)])
    assert detector.given[0][1] < WIDTH
