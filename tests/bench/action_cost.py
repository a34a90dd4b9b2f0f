"""What actions cost beside the detector, in one run: a camera's pipeline on real footage, the five surest
people of each frame, analysed at 10 frames a second.

The nets have weights from nothing: their time does not depend on what they know. No pose model is at hand:
joints are made up in the boxes of the detector, and what its own output of joints would cost is not counted.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.actions.card import EmbedderCard
from pipelines.actions.factory import create_engine
from pipelines.actions.full_frame_features import sizes as sizes_of
from pipelines.actions.inputs import Kind
from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.feature_maps import STRIDES
from pipelines.pipeline import Pipeline
from pipelines.registry import create_detector
from pipelines.skeleton import COCO_17
from pipelines.spec import ActionsSpec
from pipelines.values import Detections, Frame, Labels, Stamp
from streamer.errors import SourceError
from streamer.sources.base import create_source
from tests.bench import registry

TRACKS, FPS, FRAMES, WARM = 5, 10, 150, 20
WEIGHTS, CLIP = "weights/yolov8n_640.onnx", "videos/pets09-s2l1.avi"
WHOLE: dict[str, dict[str, bool]] = {  # inputs of a whole picture, beside those of tracks
    "flow": {"flow": True},
    "flow, people": {"flow": True, "people": True},
    "moved, flow, people": {"flow": True, "people": True, "moved": True},
}
MAPS = ("features", "moved, flow, people")  # names of runs whose detector gives its maps
KINDS = ("boxes", "pose", "features", *WHOLE, "crops")
PLAIN = "no actions"


class Surest:
    """A detector's five surest boxes, with joints at fixed places of each where it is to give poses."""

    def __init__(self, detector: Detector, poses: bool = False) -> None:
        self._detector = detector
        self.labels: Labels = detector.labels
        self.joints = COCO_17 if poses else ()
        self.max_batch, self.parallel, self.depth = 1, 1, detector.depth
        grid = np.random.default_rng(3).random((17, 2))
        self._places = grid.astype(np.float32)

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        return self._detector.submit(frames, notify)

    def collect(self, ticket: Ticket) -> list[Detections]:
        return [self._few(found) for found in self._detector.collect(ticket)]

    def _few(self, found: Detections) -> Detections:
        people = np.flatnonzero(found.class_ids == 0)[:TRACKS]  # the surest come first
        few = found.take(people)
        if not self.joints:
            return few
        low, size = few.boxes_xyxyn[:, None, :2], few.boxes_xyxyn[:, None, 2:] - few.boxes_xyxyn[:, None, :2]
        scores = np.full((len(few), 17, 1), 0.8, np.float32)
        return replace(few, keypoints=np.concatenate([low + size * self._places, scores], axis=2))

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        return self._detector.enable_feature_maps(strides)

    def forget(self, camera: str) -> None:
        self._detector.forget(camera)

    def describe(self) -> dict[str, Any]:
        return self._detector.describe()


def measure(corpus: Path, frames: int = FRAMES) -> list[dict[str, Any]]:
    """CPU milliseconds a frame that each kind of input adds, and their share of the detector's own; frame by
    frame in turns."""
    try:
        import torch
    except ImportError as error:
        raise registry.Unavailable("torch is not installed (the extra [torch])") from error
    if not (corpus / WEIGHTS).is_file() or not (corpus / CLIP).is_file():
        raise registry.Unavailable(f"no {WEIGHTS} and {CLIP} in {corpus}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        plain = create_detector("openvino", corpus / WEIGHTS, threads=1)
        with_maps = create_detector("openvino", corpus / WEIGHTS, threads=1)
        runs = {PLAIN: _pipeline(plain, None, Path(folder))}
        runs |= {kind: _pipeline(with_maps if kind in MAPS else plain, kind, Path(folder)) for kind in KINDS}
        detecting: dict[str, list[float]] = {name: [] for name in runs}
        following: dict[str, list[float]] = {name: [] for name in runs}
        tracks = []
        for number, frame in enumerate(_frames(corpus / CLIP, frames + WARM)):
            order = list(runs)[number % len(runs) :] + list(runs)[: number % len(runs)]
            for name in order:
                seen, found_ms, followed_ms = _step(runs[name], frame)
                if number >= WARM:
                    detecting[name].append(found_ms)
                    following[name].append(followed_ms)
                    tracks.append(seen)
    return _rows(detecting, following, float(np.mean(tracks)))


def _rows(
    detecting: dict[str, list[float]], following: dict[str, list[float]], tracks: float
) -> list[dict[str, Any]]:
    base = float(np.median(detecting[PLAIN]))
    rows = [{"name": f"detector YOLOv8n at 640, one thread; {tracks:.1f} tracks", "ms": base, "share": 1.0}]
    for kind in KINDS:
        added = float(np.mean(following[kind]) - np.mean(following[PLAIN]))
        if kind in (*MAPS, "crops"):  # their outputs, and copies of pictures, are part of detection
            added += float(np.median(np.subtract(detecting[kind], detecting[PLAIN])))
        rows.append({"name": kind, "ms": added, "share": added / base})
    return rows


def _step(pipeline: Pipeline, frame: Frame) -> tuple[int, float, float]:
    """Tracks, and CPU milliseconds of the detector and of what follows it."""
    started_s = time.process_time()
    pending = pipeline.submit([frame])
    found = pipeline.detector.collect(pending.ticket)
    found_s = time.process_time()
    (result,) = pipeline.follow(pending, found)
    return len(result.tracks), (found_s - started_s) * 1e3, (time.process_time() - found_s) * 1e3


def _frames(clip: Path, most: int) -> Iterator[Frame]:
    source = create_source(str(clip), loop=False, realtime=False)
    with contextlib.closing(source), contextlib.suppress(SourceError):
        source.open()
        for i in range(most):
            yield Frame(Stamp("cost", 1, i, round(i * 1e9 / FPS), 0, 0), source.read().image(640))


def _pipeline(shared: Detector, kind: str | None, folder: Path) -> Pipeline:
    detector = Surest(shared, poses=kind == "pose")
    engine = None
    if kind is not None:
        model = _export(kind, folder, detector)
        engine = create_engine(ActionsSpec(model=str(model)), detector)
    pipeline = Pipeline(detector, engine)
    pipeline.open_camera("cost", CameraRules(classes=("person",)))
    return pipeline


def _export(name: str, folder: Path, detector: Detector) -> Path:
    import torch

    from pipelines.actions.backbones import create_backbone
    from pipelines.actions.model import ActionNet, Temporal
    from pipelines.train.actions.data import ActionData, HeadTargets
    from pipelines.train.actions.export import export
    from pipelines.train.actions.settings import usual_settings
    from pipelines.train.actions.train import Trained

    torch.manual_seed(0)
    sizes = {"boxes": 4, "pose": 17, "crops": 576}
    kind: Kind = "features" if name in WHOLE else name  # type: ignore[assignment]
    embedder = backbone = None
    parts: tuple[int, ...] = ()
    if kind == "features":
        given = {"strides": STRIDES if name in MAPS else (), **WHOLE.get(name, {})}
        embedder = EmbedderCard(sha256=detector.describe()["sha256"], **given)
        parts = sizes_of(embedder, detector.enable_feature_maps(STRIDES) if name in MAPS else 0)
    size = sum(parts) or sizes[kind]
    head = HeadTargets("action", ("a", "b", "c"))
    data = ActionData(kind, size, (head,), (), parts=parts, whole_picture=name in WHOLE)
    temporal: Temporal = "ridge" if name in WHOLE else "lstm"
    settings = replace(usual_settings(kind), temporal=temporal, hidden=48, window=16, rate_hz=8.0)
    net = ActionNet(settings.net(data)).eval()
    trained = Trained(net, settings, data, [], [1.0], [])
    if kind == "crops":
        backbone, _ = create_backbone("mobilenet_v3_small")
        embedder = EmbedderCard(sha256="0" * 64, file="crops-backbone.onnx", input_size=(112, 112))
    export(trained, folder / f"{name}.onnx", embedder=embedder, backbone=backbone)
    return folder / f"{name}.onnx"
