"""What a whole picture's values are: optical flow, people's boxes, beside maps; live as in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.actions.action_frame import ActionFrame
from pipelines.actions.card import ActionCard, EmbedderCard
from pipelines.actions.factory import create_engine
from pipelines.actions.full_frame_features import FullFrameEmbedder
from pipelines.actions.optical_flow import SHARES, VALUES, OpticalFlow
from pipelines.actions.people_layout import MAX_DISTANCE, layout_features
from pipelines.camera_rules import CameraRules
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.pipeline import Pipeline
from pipelines.registry import create_detector
from pipelines.spec import ActionsSpec
from pipelines.train.actions.data import DataRefused
from pipelines.train.actions.sources import DataSource, check_inputs, inputs_of
from pipelines.values import Detections, Floats, Frame, Image, Labels, Stamp, Tracks
from tests.pipelines.actions.test_roi_pooling import write_branching
from tests.pipelines.actions.tiny_graph import write_tiny

PEOPLE = Labels(("person", "car"), ("person", "vehicle"))
MEDIAN, FASTEST = 0, len(SHARES) - 1  # of the speeds; those of the change come after them
MS = 1_000_000


def ground(seed: int = 0) -> Image:
    """(240, 320) grey, of shades that the flow can follow."""
    noise = np.random.default_rng(seed).integers(0, 255, (30, 40), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC), np.uint8)


def shifted(picture: Image, pixels: float) -> Image:
    matrix = np.array([[1, 0, pixels], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix, (320, 240), borderMode=cv2.BORDER_REFLECT), np.uint8)


def moving(part: float, pixels: Sequence[float]) -> list[Floats]:
    """Values of frames whose left `part` has moved so far, seen one after the other."""
    flow, still, wide = OpticalFlow(), ground(), round(320 * part)
    found = []
    for distance in pixels:
        picture = still.copy()
        picture[:, :wide] = shifted(still, distance)[:, :wide]
        found.append(flow.update(picture))
    return found


def test_what_stands_still_has_no_flow() -> None:
    first, again, third = moving(0.0, [0, 0, 0])
    assert first.shape == (VALUES,)
    assert not first.any()
    for values in (again, third):
        assert values[SHARES.index(0.9)] < 0.02
        assert values[len(SHARES) + SHARES.index(0.9)] < 0.02


def test_what_moves_is_told_in_pixels_of_the_small_copy() -> None:
    """8 of 320 pixels are 2 of 80. It moves evenly, so that its speed does not change."""
    values = moving(0.3, [0, 8, 16])[-1]
    speeds, changes = values[: len(SHARES)], values[len(SHARES) :]
    assert (np.diff(speeds) >= 0).all()
    assert speeds[SHARES.index(0.9)] == pytest.approx(2.0, abs=0.4)
    assert speeds[MEDIAN] < 0.3
    assert changes[SHARES.index(0.9)] < 0.5


def test_what_is_thrown_to_and_fro_changes_more_than_it_moves() -> None:
    even, torn = moving(0.3, [0, 6, 12, 18])[-1], moving(0.3, [0, 6, 0, 6])[-1]
    ninth = SHARES.index(0.9)
    assert torn[len(SHARES) + ninth] > 3 * even[len(SHARES) + ninth]
    assert torn[ninth] == pytest.approx(even[ninth], abs=0.5)


def test_a_camera_that_turns_is_no_motion_of_what_it_sees() -> None:
    values = moving(1.0, [0, 8, 16])[-1]
    assert values[SHARES.index(0.7)] < 0.4


def boxes(*rows: tuple[float, float, float, float], classes: Sequence[int] | None = None) -> Detections:
    ids = np.array([0] * len(rows) if classes is None else classes, np.int32)
    return Detections(np.array(rows, np.float32).reshape(-1, 4), np.full(len(rows), 0.9, np.float32), ids)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (boxes(), (0, 0, MAX_DISTANCE, 0)),
        (boxes((0.1, 0.2, 0.2, 0.7)), (1, 0, MAX_DISTANCE, 0.5)),
        (boxes((0.1, 0.2, 0.2, 0.7), (0.6, 0.2, 0.7, 0.7)), (2, 0, 2.0, 0.5)),  # 0.5 wide is 1 high: 2 bodies
        (boxes((0.1, 0.2, 0.3, 0.6), (0.1, 0.2, 0.3, 0.6)), (2, 1, 0, 0.4)),
        (
            boxes((0.1, 0.2, 0.3, 0.6), (0.1, 0.2, 0.3, 0.6), classes=[0, 1]),
            (1, 0, MAX_DISTANCE, 0.4),
        ),  # a car is none
        (boxes(*[(0.0, 0.0, 0.1, 0.1)] * 20), (8, 1, 0, 0.1)),
    ],
)
def test_people_are_counted_and_how_near_they_are(found: Detections, expected: tuple[float, ...]) -> None:
    assert layout_features(found, PEOPLE.mask(("person",)), aspect=2.0).tolist() == pytest.approx(
        expected, abs=1e-6
    )


def test_low_boxes_are_no_people() -> None:
    found = replace(boxes((0.1, 0.2, 0.2, 0.7), (0.6, 0.2, 0.7, 0.7)), high_threshold=0.8)
    found.scores[:] = (0.9, 0.7)
    assert layout_features(found, PEOPLE.mask(("person",)), aspect=2.0)[0] == 1


# ---- live and in training


def embedder(detector: Path | None, **given: object) -> dict[str, object]:
    return {"sha256": "" if detector is None else sha256_of(detector), **given}


INPUTS = {
    "flow": (14, {"flow": True}),
    "flow and people": (18, {"flow": True, "people": True}),
    "all": (5 + 18, {"flow": True, "people": True, "strides": [16, 32], "moved": True}),
}


@pytest.mark.parametrize("name", list(INPUTS))
@pytest.mark.parametrize("fps", [25, 12])
def test_live_values_are_those_of_training(tmp_path: Path, name: str, fps: int) -> None:
    size, inputs = INPUTS[name]
    path = write_branching(tmp_path / "d.onnx")
    detector = create_detector("openvino", path, threads=1)
    of = path if name != "flow" else None
    card = embedder(of, **inputs)
    model = write_tiny(
        tmp_path / "m.onnx", kind="features", size=size, whole_picture=True, embedder=card, rate_hz=8.0
    )
    images = [np.dstack([shifted(ground(), 5 * (i % 7))] * 3) for i in range(3 * fps)]
    engine = create_engine(ActionsSpec(model=str(model)), detector)
    given: list[Floats] = []
    classify = engine.model.classify
    engine.model.classify = lambda windows: given.append(windows) or classify(windows)  # type: ignore
    pipeline = Pipeline(detector, engine)
    pipeline.open_camera("a", CameraRules(classes=("person",)))
    for i, image in enumerate(images):
        pipeline.step([Frame(Stamp("a", 1, i, round(i * 1e9 / fps), 0, 0), image)])
    chosen = [images[round(k * fps / 8 - 1e-9)] for k in range(24) if round(k * fps / 8 - 1e-9) < len(images)]
    options = {k: v for k, v in inputs.items() if k != "strides"}
    trained = FullFrameEmbedder(of, strides=inputs.get("strides", ()), **options)  # type: ignore[arg-type]
    values = trained.embed_clip(chosen)
    assert trained.values == size
    assert np.abs(values[2:]).max(axis=0).min() > 0 or name != "flow"
    assert len(given) >= 10
    assert np.allclose(given[-1][0], values[-8:], atol=1e-5)


def test_a_long_gap_or_another_epoch_is_not_taken_for_motion(tmp_path: Path) -> None:
    model = write_tiny(
        tmp_path / "m.onnx", kind="features", size=14, whole_picture=True, embedder=embedder(None, flow=True)
    )
    engine = create_engine(ActionsSpec(model=str(model)), create_detector("motion"))
    engine.open_camera("a")

    def newest(after: Callable[[int], Stamp]) -> Floats:
        """The last value kept, of a picture that is another one from the tenth frame on."""
        for i in range(11):
            grey = ground(1 if i == 10 else 0)
            engine.update([ActionFrame(after(i), Tracks.empty(), 4 / 3, grey=grey)])
        (track,) = engine._cameras["a"].tracks.values()
        return track.ring._values[(track.ring._count - 1) % len(track.ring._values)].copy()

    assert newest(lambda i: Stamp("a", 1, i, i * 125 * MS, 0, 0)).max() > 1
    assert not newest(lambda i: Stamp("a", 2, i, (i + 40 * (i == 10)) * 125 * MS, 0, 0)).any()
    assert not newest(lambda i: Stamp("a", 3 + (i == 10), i, i * 125 * MS, 0, 0)).any()
    engine.end_tracks("a")
    assert engine._cameras["a"].full_frame is None
    assert not engine._cameras["a"].tracks


def test_frames_without_a_picture_are_no_failure(tmp_path: Path) -> None:
    model = write_tiny(
        tmp_path / "m.onnx", kind="features", size=14, whole_picture=True, embedder=embedder(None, flow=True)
    )
    engine = create_engine(ActionsSpec(model=str(model)), create_detector("motion"))
    engine.open_camera("a")
    assert engine.needs_picture
    assert not engine.needs_maps
    assert engine.update([ActionFrame(Stamp("a", 1, 0, 0, 0, 0), Tracks.empty(), 1.0)]) == [[]]


# ---- what is refused


def test_a_model_of_people_needs_a_detector_that_knows_them(tmp_path: Path) -> None:
    card = {"sha256": "0" * 64, "flow": True, "people": True}
    model = write_tiny(tmp_path / "m.onnx", kind="features", size=18, whole_picture=True, embedder=card)
    with pytest.raises(ModelRefused, match=r"people are an input, of which the detector knows nothing") as no:
        create_engine(ActionsSpec(model=str(model)), create_detector("motion"))
    assert "\n" not in str(no.value)
    path = write_branching(tmp_path / "d.onnx")
    with pytest.raises(ModelRefused, match="on the boxes of another detector"):
        create_engine(ActionsSpec(model=str(model)), create_detector("openvino", path, threads=1))


def test_an_export_edited_by_hand_is_refused(tmp_path: Path) -> None:
    card = embedder(None, flow=True)
    model = write_tiny(tmp_path / "m.onnx", kind="features", size=18, whole_picture=True, embedder=card)
    with pytest.raises(ModelRefused, match="takes 18 values a frame, its inputs give 14"):
        create_engine(ActionsSpec(model=str(model)), create_detector("motion"))


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({"whole_picture": False}, "inputs of windows of whole pictures"),
        ({"window": 1}, "inputs of windows of whole pictures"),
        ({"kind": "boxes", "size": 4}, "inputs of windows of whole pictures"),
    ],
)
def test_flow_is_of_windows_of_whole_pictures(card: dict[str, object], why: str) -> None:
    given = {
        "kind": "features",
        "size": 14,
        "window": 8,
        "rate_hz": 8.0,
        "whole_picture": True,
        "heads": [{"name": "action", "labels": ["a", "b"]}],
        "embedder": {"flow": True},
        **card,
    }
    with pytest.raises(ValueError, match=why):
        ActionCard.model_validate(given)


@pytest.mark.parametrize("card", [{}, {"people": True, "flow": True}, {"strides": [16]}])
def test_what_comes_of_a_detector_or_a_backbone_names_its_sha256(card: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sha256 is missing"):
        EmbedderCard.model_validate(card)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"inputs": ("sound",)}, "--inputs 'sound': give some of maps, moved, flow, people"),
        ({"inputs": ("maps", "moved")}, "give one of the two"),
        ({"inputs": ("flow",), "scene": True}, "does not move"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused_in_one_line(given: dict[str, object], why: str) -> None:
    with pytest.raises(DataRefused, match=why) as refused:
        check_inputs(DataSource(Path("clips.csv"), **given))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_card_tells_what_its_values_were_made_of() -> None:
    sha = "0" * 64
    assert inputs_of(EmbedderCard(flow=True)) == ("flow",)
    assert inputs_of(EmbedderCard(sha256=sha, flow=True, people=True)) == ("flow", "people")
    assert inputs_of(EmbedderCard(sha256=sha, strides=(16,), moved=True)) == ("moved",)
    assert inputs_of(EmbedderCard(sha256=sha, strides=(16,), flow=True)) == ("maps", "flow")
