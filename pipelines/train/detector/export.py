"""Writes a trained detector as ONNX.

    python -m pipelines.train.detector.export --run DIR/last.pt --out FILE.onnx

The graph takes RGB from 0 to 1 of any size (sides in multiples of 32) and decodes its boxes itself, in the
form of the head `yolov8`. Batch normalisation is folded into the convolutions. Weights are stored as float16
and computed with as float32 or bfloat16. Beside FILE.onnx goes its card, FILE.yaml.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipelines.detect.errors import ModelRefused
from pipelines.detect.heads.base import STRIDES
from pipelines.detect.heads.yolov8 import BINS
from pipelines.detect.labels import group_of
from pipelines.detect.model import sha256_of
from pipelines.train.detector.dataset import CLASSES
from pipelines.train.detector.net import DetectorNet
from pipelines.train.detector.state import CheckpointError, load_average

OPSET = 17
MIN_INT8_NUMBERS = 64  # numbers: a tensor below this stays float32
LICENCE = "Apache-2.0"


class Deployed(nn.Module):
    """(1, 3, H, W) -> (1, 4 + classes, cells): centre, width and height in pixels, then scores."""

    def __init__(self, net: DetectorNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32).view(1, 1, BINS, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits, rows, positions, strides = [], [], [], []
        for level, m in enumerate(self.net.levels(x)):
            answer = self.net.classes[level](m)
            one = torch.ones_like(answer[:, :1])
            positions.append(
                torch.cat((one.cumsum(3), one.cumsum(2)), 1).flatten(2)
            )  # counted: any size will do
            strides.append((one * STRIDES[level]).flatten(2))
            logits.append(answer.flatten(2))
            rows.append(self.net.distances[level](m).flatten(2))
        shares = torch.cat(rows, 2).view(1, 4, BINS, -1).softmax(2)
        near, far = (shares * self.bins).sum(2).split(2, 1)  # (1, 2, cells), in strides
        centres = torch.cat(positions, 2) - 0.5
        boxes = torch.cat((centres + (far - near) / 2, near + far), 1) * torch.cat(strides, 2)
        return torch.cat((boxes, torch.cat(logits, 2).sigmoid()), 1)


def folded(net: DetectorNet) -> DetectorNet:
    """With every normalisation folded into the convolution before it (in place)."""
    for module in net.modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return net


def write_onnx(net: DetectorNet, path: Path, size: int, about: str) -> None:
    """`size`: the side in pixels that the file recommends. Raises ModelRefused without the package onnx."""
    try:
        import onnx
    except ImportError as error:
        raise ModelRefused("the package onnx is not installed: pip install onnx") from error
    beside = path.with_suffix(".part")
    torch.onnx.export(
        Deployed(folded(net)).eval(),
        (torch.zeros(1, 3, size, size),),
        str(beside),
        opset_version=OPSET,
        dynamo=False,
        input_names=["images"],
        output_names=["output0"],
        dynamic_axes={"images": {2: "height", 3: "width"}, "output0": {2: "cells"}},
    )
    model = onnx.load(str(beside))
    store_half(model)
    names = dict(enumerate(CLASSES))
    for key, value in {
        "names": repr(names),
        "imgsz": f"[{size}, {size}]",
        "license": LICENCE,
        "description": about,
    }.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save(model, str(beside))
    beside.replace(path)


def store_half(model: Any) -> None:
    """Store the weights of an onnx.ModelProto as float16, each with a Cast to float32 behind it."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < MIN_INT8_NUMBERS or np.abs(values).max() > 6e4:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)


def write_card(path: Path, score: float, size: int, low_score: float | None = None) -> None:
    """The sidecar of the model at `path`, beside it."""
    card: dict[str, Any] = {
        "sha256": sha256_of(path),
        "head": "yolov8",
        "classes": {name: group_of(name) for name in CLASSES},
        "score": score,
        **({} if low_score is None else {"low_score": low_score}),
        "nms_iou": 0.5,
        "input_size": [size, size],
        "input_shape": "picture",
        "licence": LICENCE,
    }
    path.with_suffix(".yaml").write_text(yaml.safe_dump(card, sort_keys=False))


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train.detector.export", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, metavar="FILE", help="a checkpoint: OUT/last.pt")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx")
    parser.add_argument("--size", type=int, default=416, help="side in pixels (default: 416)")
    parser.add_argument("--score", type=float, default=0.3, help="threshold of the card (default: 0.3)")
    parser.add_argument(
        "--low-score", type=float, help="from here on boxes are low ones: tracks go on with them"
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the file's path and size")
    options = parser.parse_args(words)
    try:
        net = load_average(options.run)
        write_onnx(net, options.out, options.size, "detector trained by pipelines.train.detector.train")
        write_card(options.out, options.score, options.size, options.low_score)
    except (CheckpointError, ModelRefused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not options.quiet:
        print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
