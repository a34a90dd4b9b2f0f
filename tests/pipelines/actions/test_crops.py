"""Actions from pixels, through the whole pipeline: a square that turns dark is told, and no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.actions.factory import create_engine
from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.pipeline import Pipeline
from pipelines.spec import ActionsSpec, preset
from pipelines.values import Detections, Frame, Labels, Stamp
from tests.pipelines.actions.tiny_graph import write_brightness, write_tiny

LABELS = Labels(("person",), ("person",))
BOXES = np.array([[0.1, 0.2, 0.3, 0.8], [0.6, 0.2, 0.8, 0.8]], np.float32)


class TwoPeople:
    """A detector that sees the same two people in every picture."""

    labels, joints, max_batch, parallel, depth = LABELS, (), 8, 1, 1

    def submit(self, frames: list[Frame], notify: object = None) -> Ticket:  # noqa: ARG002
        return Ticket(tuple(frame.stamp.camera for frame in frames))

    def collect(self, ticket: Ticket) -> list[Detections]:
        found = Detections(BOXES, np.full(2, 0.9, np.float32), np.zeros(2, np.int32))
        return [found for _ in ticket.cameras]

    def enable_feature_maps(self, strides: object) -> int:  # noqa: ARG002
        raise ModelRefused("no maps")

    def forget(self, camera: str) -> None:
        pass

    def describe(self) -> dict[str, object]:
        return {}


def write_model(folder: Path) -> Path:
    backbone = write_brightness(folder / "backbone.onnx")
    embedder = {"file": "backbone.onnx", "sha256": sha256_of(backbone), "input_size": [32, 32], "margin": 0.0}
    return write_tiny(folder / "m.onnx", kind="crops", size=3, embedder=embedder)


def test_the_track_whose_crop_changes_is_told_although_the_frames_memory_is_used_again(
    tmp_path: Path,
) -> None:
    engine = create_engine(ActionsSpec(model=str(write_model(tmp_path))), TwoPeople())
    pipeline = Pipeline(TwoPeople(), engine)
    pipeline.open_camera("a", CameraRules())
    image = np.full((90, 160, 3), 200, np.uint8)
    events = []
    for i in range(80):
        image[:] = 200
        image[:, :80] = 200 - 190 * min(max(i - 30, 0), 20) // 20  # the left one turns dark in two seconds
        pending = pipeline.submit([Frame(Stamp("a", 1, i, round(i * 1e8), 0, 0), image)])
        image[:] = 0  # what a capture worker may do from now on
        events += pipeline.collect(pending)[0].events
    told = [e for e in events if e.type == "streamer.action.detected.v1"]
    assert [e.data["action"] for e in told] == ["rise"]
    assert told[0].data["box_xyxyn"][0] < 0.5


def test_a_backbone_that_is_another_one_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    (tmp_path / "backbone.onnx").write_bytes(b"another")
    with pytest.raises(ModelRefused, match="not the backbone"):
        create_engine(ActionsSpec(model=str(model)), TwoPeople())


def test_a_model_that_looks_at_what_the_detector_does_not_know_is_refused(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "c.onnx", groups=("vehicle",))
    with pytest.raises(ValueError, match="looks at vehicle, of which the detector knows nothing"):
        create_engine(ActionsSpec(model=str(model)), TwoPeople())


def test_the_preset_names_a_model_that_is_there() -> None:
    spec = preset("actions")
    assert spec.actions is not None
    engine = create_engine(spec.actions, TwoPeople())
    (head,) = engine.card.heads
    assert set(head.labels) - set(head.silent) == {"run", "loiter", "fall"}
    assert engine.model.path.stat().st_size < 3_000_000
    with pytest.raises(ModelRefused, match="give motion"):
        create_engine(ActionsSpec(model="dance"), TwoPeople())
