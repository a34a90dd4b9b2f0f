"""Detectors of torchvision, exported: ours are the boxes that their own post-processing in the graph gives.

Its compiled operators do not load beside a torch for the processor alone. Where they are missing, the two
that these nets use are given here, so that all the rest of it runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (make install EXTRAS=torch)")
pytest.importorskip("ultralytics.nn.tasks", reason="needs torch (make install EXTRAS=torch)")

import torch

from pipelines.registry import create_detector
from tests.pipelines.detect.test_frameworks import CARD, SIDE, assert_boxes, exported, picture, raw

LOW = CARD.model_copy(update={"score": 0.2})


def nms(boxes: Any, scores: Any, iou: float) -> Any:
    order, kept = scores.argsort(descending=True, stable=True), []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        order = rest[shared / (areas[best] + areas[rest] - shared) <= iou]
    return torch.tensor(kept, dtype=torch.int64)


def has_ops() -> bool:
    return True


@pytest.fixture(scope="module")
def detection() -> Any:
    """torchvision.models.detection, with its operators or ours."""
    try:
        import torchvision
    except RuntimeError:  # "operator torchvision::nms does not exist"
        library = torch.library.Library("torchvision", "FRAGMENT")
        suppress = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(f"qnms{suppress}")
        library.define(f"nms{suppress}")
        library.define(
            "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
            "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor"
        )
        library.impl("nms", nms, "CPU")
        import torchvision
        import torchvision.extension

        align = sys.modules["torchvision.ops.roi_align"]
        library.impl("roi_align", align._roi_align.__wrapped__, "CPU")
        align._has_ops = torchvision.extension._has_ops = has_ops
        torchvision._streamer_library = library  # its operators go with it
    return torchvision.models.detection


@pytest.mark.parametrize(
    "name",
    ["ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"],
)
def test_boxes_are_those_that_the_net_gives(detection: Any, name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    sizes = {} if "ssd" in name else {"min_size": SIDE, "max_size": SIDE}
    net = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=6, **sizes).eval()
    for part, parameter in net.named_parameters():
        if "cls_logits" in part or "cls_score" in part or "classification_head.module_list" in part:
            torch.nn.init.normal_(parameter, 0.0, 0.03 if "retina" in name else 0.1)
    path = exported(net, tmp_path / "m.onnx")
    frame = picture()
    for engine in ("onnx", "auto"):
        detector = create_detector(engine, path, sidecar=LOW)
        described = detector.describe()
        assert (described["head"], described["precision"]) == ("torchvision", "f32")
        boxes, scores, labels = by_kind(raw(path, frame, described["engine"]))
        rows = torch.cat((boxes, scores[:, None], labels[:, None].float() - 1), 1)  # 0 is the background,
        # which RetinaNet has a score for and is never trained to give
        assert_boxes(
            detector.collect(detector.submit([frame]))[0], rows[(scores >= LOW.score) & (labels > 0)], 2e-3
        )
    with torch.no_grad():
        own = net(torch.from_numpy(frame.image[None, ..., ::-1].copy()).permute(0, 3, 1, 2) / 255)[0]
    _, scores, _ = by_kind(raw(path, frame))
    assert float(scores.max()) == pytest.approx(float(own["scores"].max()), abs=1e-3)


def by_kind(answer: list[Any]) -> tuple[Any, Any, Any]:
    """Boxes, scores and labels, in whatever order they are given."""
    (boxes,) = (each for each in answer if each.ndim == 2)
    (labels,) = (each for each in answer if each.ndim == 1 and not each.is_floating_point())
    (scores,) = (each for each in answer if each.ndim == 1 and each.is_floating_point())
    return boxes, scores, labels
