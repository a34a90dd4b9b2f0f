"""What actions cost beside the detector, in one run: five tracks a camera, analysed at 10 frames a second.

The nets have weights from nothing: their time does not depend on what they know.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.actions.card import EmbedderCard
from pipelines.actions.embed import CropEmbedder
from pipelines.actions.engine import ActionEngine, Seen
from pipelines.actions.inputs import Kind
from pipelines.actions.maps import STRIDES, pool
from pipelines.actions.runtime import ActionModel
from pipelines.detect.letterbox import Placement
from pipelines.registry import create_detector
from pipelines.values import Frame, Labels, Stamp, Tracks
from tests.bench import registry

TRACKS, FPS, FRAMES, ROUNDS = 5, 10, 60, 3
SIZE = (640, 360)
WEIGHTS = "weights/yolov8n_640.onnx"
CHANNELS = (128, 256)  # of the maps at strides 16 and 32


def measure(corpus: Path) -> list[dict[str, Any]]:
    """CPU milliseconds a frame of each kind of input, and its share of the detector's own, in turns."""
    try:
        import torch
    except ImportError as error:
        raise registry.Unavailable("torch is not installed (the extra [torch])") from error
    if not (corpus / WEIGHTS).is_file():
        raise registry.Unavailable(f"no {WEIGHTS} in {corpus}")
    torch.set_num_threads(1)
    detector = create_detector("openvino", corpus / WEIGHTS, threads=1)
    image = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], None]] = {
            "detector": lambda: [
                detector.collect(detector.submit([Frame(_stamp(i), image)])) for i in range(FRAMES)
            ] and None
        }  # fmt: skip
        for kind in ("boxes", "pose", "features", "crops"):
            runs[kind] = _runner(kind, Path(folder), image)
        best = {name: float("inf") for name in runs}
        for _ in range(ROUNDS):
            for name, once in runs.items():
                started_s = time.process_time()
                once()
                best[name] = min(best[name], (time.process_time() - started_s) / FRAMES * 1000)
    base = best.pop("detector")
    rows = [{"name": "detector YOLOv8n at 640, one thread", "ms": base, "share": 1.0}]
    return rows + [
        {"name": f"{name}, {TRACKS} tracks", "ms": ms, "share": ms / base} for name, ms in best.items()
    ]


def _stamp(i: int) -> Stamp:
    return Stamp("cost", 1, i, round(i * 1e9 / FPS), 0, 0)


def _runner(kind: Kind, folder: Path, image: Any) -> Callable[[], None]:
    """One pass over the frames by a fresh engine, so that every pass does the same."""
    model = ActionModel(_export(kind, folder))
    embedder = CropEmbedder(model.path, model.card) if kind == "crops" else None
    rng = np.random.default_rng(1)
    maps = [
        rng.random((c, SIZE[0] // s, SIZE[0] // s), dtype=np.float32)
        for c, s in zip(CHANNELS, STRIDES, strict=True)
    ]
    place = Placement(
        0, 140, 640, 360, np.array([0, 140, 0, 140], np.float32), np.array([1 / 640, 1 / 360] * 2, np.float32)
    )

    def once() -> None:
        engine = ActionEngine(model, Labels(("person",), ("person",)), embedder=embedder)
        engine.open_camera("cost")
        before = [m + 0.1 for m in maps]

        def features(boxes: Any) -> Any:
            return pool(maps, before, boxes, place, (640, 640))

        for i in range(FRAMES):
            tracks = _tracks(i)
            poses = (
                {k: np.full((17, 3), 0.5, np.float32) for k in range(1, TRACKS + 1)} if kind == "pose" else {}
            )
            engine.update([Seen(_stamp(i), tracks, SIZE[0] / SIZE[1], image, poses, features)])

    return once


def _tracks(i: int) -> Tracks:
    n = TRACKS
    left = 0.1 + 0.15 * np.arange(n) + 0.002 * i
    boxes = np.stack((left, np.full(n, 0.3), left + 0.1, np.full(n, 0.8)), axis=1).astype(np.float32)
    return Tracks(
        np.arange(1, n + 1, dtype=np.int64),
        boxes,
        np.ones(n, np.float32),
        np.zeros(n, np.int32),
        np.ones(n, np.bool_),
        np.zeros((n, 2), np.float32),
    )


def _export(kind: Kind, folder: Path) -> Path:
    import torch

    from pipelines.actions.backbones import create_backbone
    from pipelines.actions.model import ActionNet
    from pipelines.train.actions_data import ActionData, HeadTargets
    from pipelines.train.actions_export import export
    from pipelines.train.actions_settings import usual_settings
    from pipelines.train.actions_train import Trained

    torch.manual_seed(0)
    sizes = {"boxes": 4, "pose": 17, "features": 2 * sum(CHANNELS), "crops": 576}
    data = ActionData(kind, sizes[kind], (HeadTargets("action", ("a", "b", "c")),), ())
    settings = replace(usual_settings(kind), temporal="lstm", hidden=48, window=16, rate_hz=8.0)
    net = ActionNet(settings.net(data)).eval()
    trained = Trained(net, settings, data, [], [1.0], [])
    embedder = backbone = None
    if kind == "features":
        embedder = EmbedderCard(sha256="0" * 64, strides=STRIDES)
    if kind == "crops":
        backbone, _ = create_backbone("mobilenet_v3_small")
        embedder = EmbedderCard(sha256="0" * 64, file="crops-backbone.onnx", input_size=(112, 112))
    export(trained, folder / f"{kind}.onnx", embedder=embedder, backbone=backbone)
    return folder / f"{kind}.onnx"
