"""Real architectures of random weights, exported: our boxes are those of the framework's own post-processing.

Ultralytics' post-processing is called; what others publish is written out here in torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from pipelines.detect.graph import ov

pytest.importorskip("torch", reason="needs torch (make install EXTRAS=torch)")
pytest.importorskip("ultralytics.nn.tasks", reason="needs torch (make install EXTRAS=torch)")

import torch

from pipelines.detect.card import ModelCard
from pipelines.detect.letterbox import Letterbox, Pixels
from pipelines.detect.torch.ultralytics_net import ultralytics_tasks
from pipelines.registry import create_detector
from pipelines.values import Detections, Frame, Stamp

SIDE, SCORE, IOU = 128, 0.3, 0.5
NAMES = ("a", "b", "c", "d", "e")
CARD = ModelCard(precision="f32", score=SCORE, nms_iou=IOU, classes={name: name for name in NAMES})
OPSET = 17


def picture() -> Frame:
    image = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return Frame(Stamp("door", 1, 0, 0, 0, 0), image)


def ultralytics_net(kind: str, config: str, *, end2end: bool = False) -> Any:
    """In eval and export mode, with norms that have seen something and scores spread over 0 to 1."""
    torch.manual_seed(1)
    net = getattr(ultralytics_tasks(), kind)(config, nc=len(NAMES), verbose=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.3, 0.8)
    net, head = net.eval(), net.model[-1]
    if hasattr(head, "end2end"):
        head.end2end = end2end
    head.export, head.format, head.dynamic = True, "onnx", False
    for name in ("cv3", "one2one_cv3", "dec_score_head"):
        for level in getattr(head, name, None) or ():
            last = level[-1] if isinstance(level, torch.nn.Sequential) else level
            last.register_forward_hook(spread)
    if hasattr(head, "proto"):
        head.proto.cv3.bn.register_forward_pre_hook(centre)
    with torch.no_grad():
        net(torch.rand(1, 3, SIDE, SIDE))
        net.apply(lambda module: (module._forward_hooks.clear(), module._forward_pre_hooks.clear()))
    return net


def centre(norm: Any, given: Any) -> None:
    """Have prototypes vary over the picture, so that masks cover a part of their boxes."""
    std, mean = torch.std_mean(given[0], (0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(std**2)


def spread(layer: Any, _given: Any, logits: Any) -> Any:
    """Scale a last layer so that each class's logits lie around -3, two apart."""
    axes = [axis for axis in range(logits.ndim) if logits.shape[axis] != len(NAMES) or axis == 0]
    std, mean = torch.std_mean(logits, axes, keepdim=True)
    factor = 2 / (std + 1e-6)
    layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.sub_(mean.flatten()).mul_(factor.flatten()).sub_(3.0)
    return (logits - mean) * factor - 3.0


def exported(net: Any, path: Path, *, names: list[str] | None = None, **metadata: str) -> Path:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        example = torch.rand(1, 3, SIDE, SIDE)
        net(example)
        torch.onnx.export(
            net, (example,), str(path), opset_version=OPSET, dynamo=False,
            input_names=["images"], output_names=names,
        )  # fmt: skip
    if metadata:
        import onnx

        model = onnx.load(str(path))
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, str(path))
    return path


def raw(path: Path, frame: Frame, engine: str = "onnx") -> list[Any]:
    """The file's own answer to the picture as ours is given it: RGB, 0 to 1."""
    blob = np.ascontiguousarray(frame.image[None, ..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32)
    blob *= np.float32(1 / 255)
    if engine == "openvino":
        net = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return [torch.from_numpy(each.copy()) for each in net(blob).to_tuple()]
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [torch.from_numpy(each) for each in session.run(None, {name: blob})]


def assert_boxes(found: Detections, rows: Any, within: float) -> None:
    """`rows`: left, top, right, bottom in pixels, score, class of each expected box."""
    expected = rows.numpy()
    expected[:, :4] = (expected[:, :4] / SIDE).clip(0, 1)
    expected = expected[(expected[:, 2] > expected[:, 0]) & (expected[:, 3] > expected[:, 1])]
    assert len(expected) >= 3
    assert len(found) == len(expected)
    left = list(range(len(expected)))
    for box, score, class_id in zip(found.boxes_xyxyn, found.scores, found.class_ids, strict=True):
        apart = [
            max(np.abs(expected[i, :4] - box).max(), abs(expected[i, 4] - score))
            if expected[i, 5] == class_id else np.inf
            for i in left
        ]  # fmt: skip
        assert min(apart) < within
        del left[int(np.argmin(apart))]


def check(path: Path, head: str, expected: Callable[[list[Any]], Any], card: ModelCard = CARD) -> None:
    """Of the same engine's answer: OpenVINO's to random weights is not ONNX Runtime's to the last box."""
    frame = picture()
    for engine, within in (("onnx", 1e-4), ("auto", 2e-3)):
        detector = create_detector(engine, path, sidecar=card)
        described = detector.describe()
        assert described["head"] == head
        answer = raw(path, frame, described["engine"])
        assert_boxes(detector.collect(detector.submit([frame]))[0], expected(answer), within)


def suppressed(answer: list[Any], **options: Any) -> Any:
    from ultralytics.utils.nms import non_max_suppression

    return non_max_suppression(answer[0], SCORE, IOU, nc=len(NAMES), max_det=9999, **options)[0][:, :6]


@pytest.mark.parametrize(
    ("kind", "config", "head", "task"),
    [
        ("DetectionModel", "yolo11n.yaml", "yolov8", "detect"),
        ("DetectionModel", "yolov8n-p2.yaml", "yolov8", "detect"),
        ("DetectionModel", "yolov8n-p6.yaml", "yolov8", "detect"),
        ("DetectionModel", "yolo26n.yaml", "yolov8", "detect"),
        ("SegmentationModel", "yolo11n-seg.yaml", "yolov8-seg", "segment"),
        ("PoseModel", "yolo11n-pose.yaml", "yolov8-pose", "pose"),
    ],
)
def test_nets_that_are_suppressed_afterwards(
    kind: str, config: str, head: str, task: str, tmp_path: Path
) -> None:
    said = {"task": task, **({"kpt_shape": "[17, 3]"} if task == "pose" else {})}
    path = exported(ultralytics_net(kind, config), tmp_path / "m.onnx", **said)
    check(path, head, suppressed)


@pytest.mark.parametrize(("config", "end2end"), [("yolo11n-seg.yaml", False), ("yolo26n-seg.yaml", True)])
@pytest.mark.parametrize(("width", "height"), [(SIDE, SIDE), (2 * SIDE, SIDE + SIDE // 2)])
def test_masks_are_those_of_the_framework_pixel_by_pixel(
    config: str, end2end: bool, width: int, height: int, tmp_path: Path
) -> None:
    said = {"task": "segment", **({"end2end": "True"} if end2end else {})}
    net = ultralytics_net("SegmentationModel", config, end2end=end2end)
    path = exported(net, tmp_path / "m.onnx", **said)
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    card = CARD.model_copy(update={"masks": True})
    for engine in ("onnx", "auto"):
        detector = create_detector(engine, path, sidecar=card)
        found = detector.collect(detector.submit([Frame(Stamp("door", 1, 0, 0, 0, 0), image)]))[0]
        rows, masks = framework_masks(path, image, detector.describe()["engine"], end2end)
        assert len(found) == len(rows) >= 3
        assert_masks(found, rows, masks)


def framework_masks(path: Path, image: Any, engine: str, end2end: bool) -> tuple[Any, Any]:
    """(N, 6) boxes in pixels of the picture, scores and classes, and (N, height, width) masks, as Ultralytics
    makes them of the file's answer to the letterboxed picture."""
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import process_mask_native, scale_boxes

    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    Letterbox(canvas, Pixels(rgb=False)).put(image)
    table, prototypes = raw(path, Frame(Stamp("door", 1, 0, 0, 0, 0), canvas), engine)
    rows = non_max_suppression(table, SCORE, IOU, nc=len(NAMES), max_det=9999, end2end=end2end)[0]
    boxes = scale_boxes((SIDE, SIDE), rows[:, :4], image.shape)
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    masks = process_mask_native(prototypes[0], rows[:, 6:], boxes, image.shape[:2])
    return torch.cat((boxes, rows[:, 4:6]), 1)[keep].numpy(), masks[keep].numpy()


def assert_masks(found: Detections, rows: Any, masks: Any) -> None:
    """That each box has the mask that is expected of it, but for pixels at which the evidence is 0."""
    assert found.masks is not None
    height, width = masks.shape[1:]
    shares = []
    for i, box in enumerate(found.boxes_xyxyn * (width, height, width, height)):
        apart = np.abs(rows[:, :4] - box).max(axis=1) + 100 * np.abs(rows[:, 4] - found.scores[i])
        apart[rows[:, 5] != found.class_ids[i]] = np.inf
        expected = masks[int(apart.argmin())] > 0
        given = found.masks.raster(i, width, height)
        assert apart.min() < 0.5
        assert (given != expected).mean() < 1e-3
        shares.append(given.sum() / max(1.0, float((box[2] - box[0]) * (box[3] - box[1]))))
    assert any(0.1 < share < 0.9 for share in shares), "masks that cover all of their boxes prove nothing"


def test_boxes_at_an_angle(tmp_path: Path) -> None:
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import xywhr2xyxyxyxy

    def upright(answer: list[Any]) -> Any:
        rows = non_max_suppression(answer[0], SCORE, IOU, nc=len(NAMES), rotated=True)[0]
        corners = xywhr2xyxyxyxy(torch.cat((rows[:, :4], rows[:, -1:]), 1))
        return torch.cat((corners.amin(1), corners.amax(1), rows[:, 4:6]), 1)

    path = exported(ultralytics_net("OBBModel", "yolo11n-obb.yaml"), tmp_path / "m.onnx", task="obb")
    check(path, "yolov8-obb", upright)


@pytest.mark.parametrize(
    ("kind", "config", "task"),
    [
        ("DetectionModel", "yolov10n.yaml", "detect"),
        ("DetectionModel", "yolo26n.yaml", "detect"),
        ("SegmentationModel", "yolo26n-seg.yaml", "segment"),
        ("PoseModel", "yolo26n-pose.yaml", "pose"),
    ],
)
def test_nets_that_give_the_final_boxes(kind: str, config: str, task: str, tmp_path: Path) -> None:
    said = {"task": task, "end2end": "True", **({"kpt_shape": "[17, 3]"} if task == "pose" else {})}
    path = exported(ultralytics_net(kind, config, end2end=True), tmp_path / "m.onnx", **said)
    check(path, "end-to-end", lambda answer: suppressed(answer, end2end=True))


def test_rtdetr(tmp_path: Path) -> None:
    from ultralytics.models.rtdetr.predict import RTDETRPredictor

    net = ultralytics_net("RTDETRDetectionModel", "rtdetr-resnet50.yaml")
    path = exported(net, tmp_path / "m.onnx", description="Ultralytics rtdetr-resnet50 model")
    own = SimpleNamespace(
        args=SimpleNamespace(conf=SCORE, classes=None, max_det=300),
        batch=[["picture"]],
        model=SimpleNamespace(names=dict(enumerate(NAMES))),
    )

    def expected(answer: list[Any]) -> Any:
        image = picture().image
        (found,) = RTDETRPredictor.postprocess(own, answer, torch.zeros(1, 3, SIDE, SIDE), [image])
        return found.boxes.data

    check(path, "rtdetr", expected)


class YoloV5Decode(torch.nn.Module):
    """`Detect.forward` of YOLOv5 7.0 with its published anchors, on maps of random convolutions."""

    ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.maps = torch.nn.ModuleList(
            torch.nn.Conv2d(3, 3 * (5 + len(NAMES)), stride, stride) for stride in (8, 16, 32)
        )
        for convolution in self.maps:
            torch.nn.init.normal_(convolution.weight, 0.0, 0.15)

    def forward(self, x: Any) -> Any:
        parts = []
        for stride, layer, anchors in zip((8, 16, 32), self.maps, self.ANCHORS, strict=True):
            y = layer(x)
            side = SIDE // stride
            y = y.view(1, 3, 5 + len(NAMES), side, side).permute(0, 1, 3, 4, 2).contiguous()
            steps = torch.arange(side, dtype=torch.float32)
            rows, columns = torch.meshgrid(steps, steps, indexing="ij")
            grid = torch.stack((columns, rows), 2) - 0.5
            xy, wh, rest = y.sigmoid().split((2, 2, 1 + len(NAMES)), 4)
            xy = (xy * 2 + grid) * stride
            wh = (wh * 2) ** 2 * torch.tensor(anchors, dtype=torch.float32).view(1, 3, 1, 1, 2)
            parts.append(torch.cat((xy, wh, rest), 4).view(1, -1, 5 + len(NAMES)))
        return torch.cat(parts, 1)


def test_yolov5(tmp_path: Path) -> None:
    def expected(answer: list[Any]) -> Any:
        rows = answer[0][0]
        rows = rows[rows[:, 4] > SCORE]
        columns = torch.cat((rows[:, :4], rows[:, 5:] * rows[:, 4:5]), 1)  # as YOLOv5's suppression begins
        return suppressed([columns.T[None]])

    check(exported(YoloV5Decode(), tmp_path / "m.onnx"), "yolov5", expected)


class Queries(torch.nn.Module):
    """A DETR's last layers: logits and boxes of 30 queries from the picture."""

    def __init__(self, logits: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.pool = torch.nn.AdaptiveAvgPool2d(8)
        self.scores, self.boxes = torch.nn.Linear(192, 30 * logits), torch.nn.Linear(192, 120)
        torch.nn.init.normal_(self.scores.weight, 0.0, 0.4)

    def forward(self, x: Any) -> Any:
        seen = self.pool(x).flatten(1)
        return self.scores(seen).view(1, 30, -1), self.boxes(seen).sigmoid().view(1, 30, 4)


def corners(boxes: Any) -> Any:
    return torch.cat((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -1) * SIDE


def by_sigmoid(logits: Any, boxes: Any) -> Any:
    """`post_process_object_detection` of RT-DETR and D-FINE in Transformers."""
    scores, index = logits.sigmoid().flatten(1).topk(logits.shape[1], -1)
    labels, queries = index % logits.shape[2], index // logits.shape[2]
    chosen = corners(boxes).gather(1, queries.unsqueeze(-1).repeat(1, 1, 4))
    rows = torch.cat((chosen, scores[..., None], labels[..., None].float()), -1)[0]
    return rows[rows[:, 4] > SCORE]


def by_softmax(logits: Any, boxes: Any) -> Any:
    """The same of DETR."""
    scores, labels = logits.softmax(-1)[..., :-1].max(-1)
    rows = torch.cat((corners(boxes), scores[..., None], labels[..., None].float()), -1)[0]
    return rows[rows[:, 4] > SCORE]


@pytest.mark.parametrize(("head", "more", "post"), [("detr-sigmoid", 0, by_sigmoid), ("detr", 1, by_softmax)])
def test_detr_and_its_descendants_in_transformers(
    head: str, more: int, post: Callable[[Any, Any], Any], tmp_path: Path
) -> None:
    net = Queries(len(NAMES) + more)
    path = exported(net, tmp_path / "m.onnx", names=["logits", "pred_boxes"])
    if head == "detr-sigmoid":
        check(path, head, lambda answer: post(*answer))
        return
    frame = picture()  # a net that wants its picture as ImageNet's
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    wanted = (torch.from_numpy(frame.image[..., ::-1].copy()).float() - mean) / std
    with torch.no_grad():
        rows = post(*net(wanted.permute(2, 0, 1)[None]))
    detector = create_detector("onnx", path, sidecar=CARD)
    assert detector.describe()["head"] == head
    assert_boxes(detector.collect(detector.submit([frame]))[0], rows, 1e-3)
