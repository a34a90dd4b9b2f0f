"""The peers of the bench `analyze`, each as a user would write it; run by its path, in any environment that
has them: `python analyze_peers.py NAME CLIP MODEL.onnx LINE CLASSES` prints one JSON object with the counts.

`python analyze_peers.py prepare MODEL.onnx FOLDER` writes what all of them run: an ONNX file, and a .pt.

`ultralytics-torch` and `ultralytics-onnx` are `YOLO(...).track(...)` with its defaults; the line is counted
by the middle of a track's box. `supervision` is ONNX Runtime, `trackers` and LineZone. LINE is x1,y1,x2,y2 in
pixels, walked from left to right; CLASSES are numbers. All take THREADS threads.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2
INPUT = 640
SCORE, IOU = 0.25, 0.45  # of Ultralytics' own examples for ONNX Runtime
YAML = "yolov8n.yaml"  # the architecture, which the package has; no weights are fetched

FOLDED: dict[str, Callable[..., Any]] = {"Mul": np.multiply, "Reshape": np.reshape}  # of constants

Line = tuple[float, float, float, float]


def ultralytics_onnx(clip: str, model: str, line: Line, classes: list[int]) -> dict[str, Any]:
    return _track(clip, model, line, classes)


def ultralytics_torch(clip: str, model: str, line: Line, classes: list[int]) -> dict[str, Any]:
    return _track(clip, str(Path(model).with_suffix(".pt")), line, classes)


def _track(clip: str, model: str, line: Line, classes: list[int]) -> dict[str, Any]:
    os.environ.update(YOLO_OFFLINE="true", YOLO_CONFIG_DIR=tempfile.gettempdir())
    import ultralytics
    from ultralytics.utils import torch_utils

    torch_utils.NUM_THREADS = THREADS  # it takes one thread less than there are cores
    model_ = ultralytics.YOLO(model, task="detect")
    counts, frames = _Counts(line), 0
    for result in model_.track(clip, stream=True, classes=classes, verbose=False, device="cpu"):
        frames += 1
        if result.boxes.id is not None:
            counts.add(result.boxes.id.int().tolist(), result.boxes.xywh[:, :2].tolist())
    return {"frames": frames, "down": counts.down, "up": counts.up, "version": ultralytics.__version__}


class _Counts:
    """Of middles of boxes that go from one side of the line to the other."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._below: dict[int, bool] = {}
        self.down = self.up = 0

    def add(self, ids: list[int], middles: list[list[float]]) -> None:
        x1, y1, x2, y2 = self._line
        for track_id, (x, y) in zip(ids, middles, strict=True):
            if not x1 <= x <= x2:
                continue
            below = y > y1 + (y2 - y1) * (x - x1) / (x2 - x1)
            before = self._below.get(track_id, below)
            self.down += below and not before
            self.up += before and not below
            self._below[track_id] = below


def supervision(clip: str, model: str, line: Line, classes: list[int]) -> dict[str, Any]:
    import onnxruntime as ort
    import supervision as sv
    from trackers import ByteTrackTracker

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    tracker = ByteTrackTracker(frame_rate=sv.VideoInfo.from_video_path(clip).fps)
    zone = sv.LineZone(sv.Point(*line[:2]), sv.Point(*line[2:]), triggering_anchors=[sv.Position.CENTER])
    frames = 0
    for picture in sv.get_video_frames_generator(clip):
        frames += 1
        blob, scale = letterbox(picture)
        found = _detections(session.run(None, {name: blob})[0][0], scale, classes)
        zone.trigger(_confirmed(tracker.update(found)))
    return {"frames": frames, "down": zone.out_count, "up": zone.in_count, "version": sv.__version__}


def letterbox(picture: Any) -> tuple[Any, float]:
    """A blob (1, 3, INPUT, INPUT) with the picture at the top left, and its scale."""
    import cv2

    scale = INPUT / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale)
    square = np.full((INPUT, INPUT, 3), 114, np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return cv2.dnn.blobFromImage(square, 1 / 255, swapRB=True), scale


def _detections(answer: Any, scale: float, classes: list[int]) -> Any:
    """Of YOLOv8's answer (4 + classes, places)."""
    import supervision as sv

    scores = answer[4:][classes]
    best = scores.max(axis=0)
    places = np.flatnonzero(best > SCORE)
    x, y, w, h = answer[:4, places] / scale
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    kinds = np.array(classes)[scores[:, places].argmax(axis=0)]
    return sv.Detections(xyxy=boxes, confidence=best[places], class_id=kinds).with_nms(IOU)


def _confirmed(tracked: Any) -> Any:
    return tracked if tracked.tracker_id is None else tracked[tracked.tracker_id >= 0]


def write_pt(model: str, path: Path) -> None:
    """Ultralytics' own checkpoint of an ONNX export: its convolutions; batch normalisations do nothing."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    net = DetectionModel(YAML, verbose=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.fill_(1 - module.eps)
    net.names = _names(model)
    state = net.state_dict()
    for name, weight, bias in _convolutions(model):
        state[f"{name}.weight"].copy_(torch.from_numpy(weight))
        if bias is not None:
            own = f"{name}.bias"
            state[own if own in state else own.replace(".conv.", ".bn.")].copy_(torch.from_numpy(bias))
    torch.save({"model": net, "train_args": {"task": "detect", "imgsz": INPUT}}, path)


def _names(model: str) -> dict[int, str]:
    """Of the classes, as Ultralytics writes them into its exports."""
    import onnx

    told = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    return dict(ast.literal_eval(told["names"]))


def _convolutions(model: str) -> Iterator[tuple[str, Any, Any]]:
    """Names as Ultralytics has them, weights and biases; what a quantiser left behind a convolution (a scale,
    a bias) is brought into them."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(model).graph
    known = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type in FOLDED and all(name in known for name in node.input):
            known[node.output[0]] = FOLDED[node.op_type](*(known[name] for name in node.input))
    after = {name: node for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type == "Conv":
            bias = known[node.input[2]] if len(node.input) > 2 else None
            yield _name(node.name), *_folded(known[node.input[1]], bias, node, after, known)


def _folded(
    weight: Any, bias: Any, node: Any, after: dict[str, Any], known: dict[str, Any]
) -> tuple[Any, Any]:
    while (node := after.get(node.output[0])) is not None:
        constant = next((known[name] for name in node.input if name in known), None)
        if node.op_type == "Mul" and constant is not None:
            weight = weight * constant.reshape(-1, 1, 1, 1)
        elif node.op_type == "Add" and constant is not None:
            bias = constant.reshape(-1)
        elif node.op_type != "Cast":
            break
    return weight.astype(np.float32), bias


def _name(node: str) -> str:
    """Exports repeat what a list is in: `/model.22/cv2.0/cv2.0.1/conv/Conv` is `model.22.cv2.0.1.conv`."""
    parts = node.strip("/").split("/")[:-1]
    kept = [
        part for part, inner in zip(parts, [*parts[1:], ""], strict=True) if not inner.startswith(f"{part}.")
    ]
    return ".".join(kept)


def prepare(model: str, folder: str) -> None:
    """Ultralytics' own .pt and ONNX export of these weights, in `folder`: what all contestants get."""
    os.environ.update(YOLO_OFFLINE="true", YOLO_CONFIG_DIR=tempfile.gettempdir())
    import ultralytics

    weights = Path(folder) / "model.pt"
    write_pt(model, weights)
    ultralytics.YOLO(str(weights)).export(format="onnx", imgsz=INPUT, simplify=False, opset=17)


PEERS: dict[str, Callable[[str, str, Line, list[int]], dict[str, Any]]] = {
    "ultralytics-torch": ultralytics_torch,
    "ultralytics-onnx": ultralytics_onnx,
    "supervision": supervision,
}


def main(name: str, clip: str, model: str, line: str, classes: str) -> None:
    x1, y1, x2, y2 = (float(v) for v in line.split(","))
    told = PEERS[name](clip, model, (x1, y1, x2, y2), [int(c) for c in classes.split(",")])
    print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
