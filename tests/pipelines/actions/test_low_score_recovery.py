"""Who falls is followed by boxes of which the detector is not sure, for actions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.actions.factory import create_engine
from pipelines.actions.low_score_recovery import MAX_GAP_S, MAX_UNCONFIRMED_S, LowScoreRecovery
from pipelines.camera_rules import CameraRules
from pipelines.detect.card import ScoreLimits
from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.heads.base import Candidates, Head
from pipelines.detect.letterbox import Letterbox, Pixels
from pipelines.detect.model import LOW_CONFIDENCE_RATIO, Postprocessor
from pipelines.pipeline import Pipeline
from pipelines.spec import ActionsSpec
from pipelines.values import Detections, Floats, Frame, FrameResult, Labels, Stamp
from tests.pipelines.actions.tiny_graph import write_tiny

FPS = 10
UPRIGHT = (0.40, 0.30, 0.45, 0.60)
SURE_S = 4.0


def box(*corners: float) -> Floats:
    return np.array(corners, np.float32)


def none() -> Floats:
    return np.zeros((0, 4), np.float32)


def test_a_low_confidence_box_on_the_last_one_is_the_same_person() -> None:
    recovery = LowScoreRecovery()
    assert recovery.update(0.0, {7: box(0.4, 0.3, 0.5, 0.6)}, none()) == {}
    leaning, lying = box(0.42, 0.35, 0.56, 0.6), box(0.44, 0.45, 0.62, 0.6)
    assert (
        recovery.update(0.1, {}, np.stack([box(0.0, 0.0, 0.1, 0.2), leaning]))[7].tolist() == leaning.tolist()
    )
    assert recovery.update(0.2, {}, lying[None])[7].tolist() == lying.tolist()


def test_each_low_confidence_box_is_one_persons_and_the_nearer_ones() -> None:
    recovery = LowScoreRecovery()
    recovery.update(0.0, {1: box(0.1, 0.1, 0.2, 0.4), 2: box(0.14, 0.1, 0.24, 0.4)}, none())
    found = recovery.update(0.1, {}, box(0.13, 0.1, 0.23, 0.4)[None])
    assert list(found) == [2]


def test_who_is_seen_surely_needs_no_low_confidence_box() -> None:
    recovery = LowScoreRecovery()
    there = box(0.1, 0.1, 0.2, 0.4)
    recovery.update(0.0, {1: there}, none())
    assert recovery.update(0.1, {1: there}, there[None]) == {}


def test_a_box_that_is_another_tracks_is_not_theirs() -> None:
    recovery = LowScoreRecovery()
    there = box(0.1, 0.1, 0.2, 0.4)
    recovery.update(0.0, {1: there}, none())
    assert recovery.update(0.1, {}, there[None], there[None]) == {}
    assert list(recovery.update(0.2, {}, there[None], box(0.1, 0.1, 0.4, 0.4)[None])) == [1]


def test_who_was_not_seen_at_all_for_a_while_is_lost_and_nobody_is_followed_for_ever() -> None:
    there = box(0.1, 0.1, 0.2, 0.4)
    recovery = LowScoreRecovery()
    recovery.update(0.0, {1: there}, none())
    recovery.update(0.3, {}, none())
    assert recovery.update(MAX_GAP_S + 0.1, {}, there[None]) == {}
    recovery.update(1.0, {1: there}, none())
    seen_s = [t / FPS for t in range(11, 400) if recovery.update(t / FPS, {}, there[None])]
    assert MAX_UNCONFIRMED_S + 0.8 < max(seen_s) <= MAX_UNCONFIRMED_S + 1.0


class Told(Head):
    """A head whose boxes are what it is given, as pixels of the input, with scores."""

    name, classes, pixels = "told", 1, Pixels(rgb=True)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        rows = outputs[0][outputs[0][:, 4] >= min_score]
        return Candidates(rows[:, :4], rows[:, 4], np.zeros(len(rows), np.int32))


def test_low_confidence_boxes_come_beside_the_others_and_change_nothing_of_them() -> None:
    canvas = np.zeros((100, 100, 3), np.uint8)
    place = Letterbox(canvas, Told.pixels).put(canvas)
    postprocessor = Postprocessor(
        Told(), Labels(("person",), ("person",)), (100, 100), ScoreLimits(0.4, 0.6), 0.5
    )
    rows = np.array(
        [
            [10, 10, 20, 40, 0.9],
            [11, 10, 21, 40, 0.3],  # the same person
            [80, 10, 90, 40, 0.5],  # a low one, and not of low confidence
            [50, 50, 80, 60, 0.6 * LOW_CONFIDENCE_RATIO + 0.01],
            [0, 80, 10, 90, 0.6 * LOW_CONFIDENCE_RATIO - 0.01],
        ],
        np.float32,
    )
    plain, both = (
        postprocessor.run([[rows]], [place])[0],
        postprocessor.run([[rows]], [place], low_confidence=True)[0],
    )
    assert plain.low_confidence is None
    assert both.boxes_xyxyn.tolist() == plain.boxes_xyxyn.tolist()
    assert both.low_confidence is not None
    np.testing.assert_allclose(both.low_confidence.boxes_xyxyn, [[0.5, 0.5, 0.8, 0.6]], atol=1e-6)


class Doubting:
    """Sees one person who rises: surely for some seconds, then with low confidence and as a car."""

    labels = Labels(("person", "car"), ("person", "vehicle"))
    joints: tuple[str, ...] = ()
    max_batch, parallel, depth = 1, 1, 1

    def submit(self, frames: Sequence[Frame], notify: object = None) -> Ticket:  # noqa: ARG002
        self._number = frames[0].stamp.frame_id
        return Ticket((frames[0].stamp.camera,))

    def collect(self, ticket: Ticket) -> list[Detections]:
        up = 0.02 * max(0.0, self._number - SURE_S * FPS)
        one = Detections(
            np.array([UPRIGHT], np.float32) - np.array([0, up, 0, up], np.float32),
            np.ones(1, np.float32) * 0.9,
            np.zeros(1, np.int32),
        )
        nothing = Detections.empty()
        as_car = replace(one, class_ids=np.ones(1, np.int32))
        found, low_confidence = (one, nothing) if self._number <= SURE_S * FPS else (nothing, as_car)
        return [replace(found, low_confidence=low_confidence) if ticket.low_confidence else found]

    def describe(self) -> dict[str, object]:
        return {}


def play(tmp_path: Path, rules: CameraRules) -> list[FrameResult]:
    model = write_tiny(tmp_path / "m.onnx", groups=("person",))
    detector: Detector = Doubting()  # type: ignore[assignment]
    pipeline = Pipeline(detector, create_engine(ActionsSpec(model=str(model)), detector))
    pipeline.open_camera("a", rules)
    picture = np.zeros((36, 64, 3), np.uint8)
    return [
        pipeline.step([Frame(Stamp("a", 1, i, round(i * 1e9 / FPS), 0, 0), picture)])[0] for i in range(60)
    ]


def test_what_a_person_does_whom_the_detector_doubts_is_told_and_their_track_is_not_touched(
    tmp_path: Path,
) -> None:
    results = play(tmp_path, CameraRules(classes=("person",)))
    told = [e for r in results for e in r.events if e.type == "streamer.action.detected.v1"]
    assert [e.data["action"] for e in told] == ["rise"]
    assert told[0].data["track_id"] == int(results[30].tracks.track_ids[0])
    assert not any(r.tracks.observed.any() for r in results[round(SURE_S * FPS) + 1 :])
    assert all(r.detections.low_confidence is None for r in results)


def test_the_rules_of_a_camera_hold_for_low_confidence_boxes_too(tmp_path: Path) -> None:
    above = {"name": "m", "points": [[0.3, 0.0], [0.6, 0.0], [0.6, 0.42], [0.3, 0.42]]}
    results = play(tmp_path, CameraRules.model_validate({"masks": [above]}))
    assert not [e for r in results for e in r.events if e.type == "streamer.action.detected.v1"]
