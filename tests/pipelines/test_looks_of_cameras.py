"""Where frames are far apart, the pipeline gives boxes the looks of their colours, and tracks go by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Ticket
from pipelines.pipeline import Pipeline
from pipelines.track.appearance import LENGTH
from pipelines.values import Detections, Floats, Frame, FrameResult, Image, Labels, Stamp

RED, BLUE = (40, 30, 200), (200, 60, 30)
MET, SEEN_AGAIN, FRAMES = 16, 19, 30
HIDDEN = range(MET, SEEN_AGAIN)


class Told:
    """A detector that finds the boxes it is told."""

    labels = Labels(("person",), ("person",))
    joints: tuple[str, ...] = ()
    max_batch, parallel, depth = 4, 1, 1

    def __init__(self, boxes: Callable[[int], Floats], embeddings: bool = False) -> None:
        self._boxes, self._embeddings = boxes, embeddings
        self._numbers: list[int] = []

    def submit(self, frames: Sequence[Frame], notify: object = None) -> Ticket:  # noqa: ARG002
        self._numbers = [frame.stamp.frame_id for frame in frames]
        return Ticket(tuple(frame.stamp.camera for frame in frames))

    def collect(self, ticket: Ticket) -> list[Detections]:  # noqa: ARG002
        return [self._found(self._boxes(number)) for number in self._numbers]

    def _found(self, boxes: Floats) -> Detections:
        n = len(boxes)
        looks = np.ones((n, 5), np.float32) if self._embeddings else None
        return Detections(boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), looks)

    def enable_feature_maps(self, strides: Sequence[int]) -> int:  # noqa: ARG002
        return 0

    def forget(self, camera: str) -> None: ...

    def describe(self) -> dict[str, object]:
        return {}


def middles(number: int) -> tuple[float, float]:
    """Red and blue walk towards each other, meet out of sight and turn back."""
    way = 0.015 * (min(number, MET + 1) - max(0, number - MET - 1))
    return 0.2 + way, 0.75 - way


def boxes(number: int) -> Floats:
    if number in HIDDEN:
        return np.zeros((0, 4), np.float32)
    return np.array([[x - 0.04, 0.3, x + 0.04, 0.8] for x in middles(number)], np.float32)


def picture(number: int, colours: tuple[tuple[int, int, int], ...]) -> Image:
    image: Image = np.full((180, 320, 3), 120, np.uint8)
    for (x1, y1, x2, y2), colour in zip(boxes(number), colours, strict=number not in HIDDEN):
        image[round(y1 * 180) : round(y2 * 180), round(x1 * 320) : round(x2 * 320)] = colour
    return image


def play(
    fps: float, colours: tuple[tuple[int, int, int], ...] = (RED, BLUE), embeddings: bool = False
) -> list[FrameResult]:
    pipeline = Pipeline(Told(boxes, embeddings))
    pipeline.open_camera("door", CameraRules())
    results = []
    for number in range(FRAMES):
        ns = round(number * 1e9 / fps)
        frame = Frame(Stamp("door", 1, number, ns, ns, 0), picture(number, colours))
        results += pipeline.step([frame])
    return results


def ids(result: FrameResult) -> list[int]:
    """From left to right."""
    return [int(k) for k in result.tracks.track_ids[np.argsort(result.tracks.boxes_xyxyn[:, 0])]]


def test_who_turn_back_out_of_sight_are_told_apart_by_their_colours() -> None:
    results = play(fps=5)
    assert ids(results[MET - 1]) == [1, 2]
    assert ids(results[-1]) == [1, 2]


def test_who_wear_the_same_are_not() -> None:
    assert ids(play(fps=5, colours=(RED, RED))[-1]) != [1, 2]


@pytest.mark.parametrize(("fps", "looked"), [(5, True), (10, True), (12.5, False), (25, False)])
def test_only_frames_far_apart_are_looked_at(fps: float, looked: bool) -> None:
    results = play(fps)
    assert results[0].detections.embeddings is None  # nobody knows yet how far apart
    for result in results[1:]:
        found = result.detections.embeddings
        assert (found is not None) == looked
        assert found is None or found.shape == (len(result.detections), LENGTH)


def test_a_detector_that_gives_embeddings_keeps_its_own() -> None:
    found = play(5, embeddings=True)[10].detections.embeddings
    assert found is not None
    assert found.shape == (2, 5)


def test_each_camera_has_its_own_rate() -> None:
    pipeline = Pipeline(Told(boxes))
    for camera in ("slow", "fast"):
        pipeline.open_camera(camera, CameraRules())
    for number in range(4):
        batch = [
            Frame(Stamp(camera, 1, number, number * apart, 0, 0), picture(number, (RED, BLUE)))
            for camera, apart in (("slow", 200_000_000), ("fast", 40_000_000))
        ]
        slow, fast = pipeline.step(batch)
    assert slow.detections.embeddings is not None
    assert fast.detections.embeddings is None
