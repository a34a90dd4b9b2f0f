"""Continues the training of a detector of ours on a user's pictures: python -m pipelines.train.detector.tune.

    python -m pipelines.train.detector.tune --model FILE.onnx --data DIR --out DIR --steps N

The weights come out of the ONNX file itself, whose normalisations are folded into its convolutions. They are
given back: each gets the mean and the spread that its convolution has on the user's pictures, and is set so
that it changes nothing. Then follows a run of detector.py at a low rate, and export.py. OUT/model.onnx is
the result.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.detect.letterbox import Letterbox
from pipelines.train.detector import export
from pipelines.train.detector import train as detector
from pipelines.train.detector.dataset import Dataset, DatasetError
from pipelines.train.detector.net import DetectorNet, NetSettings
from pipelines.train.detector.state import CheckpointError, TrainingRun
from pipelines.values import Image

SETTLED_BY = 48  # pictures whose activations the normalisations are set by
RATE = 3e-4  # a tenth of a training from nothing

Convolution = tuple[Tensor, Tensor | None]  # weight (out, in, h, w), bias (out,)


def net_of_onnx(path: Path) -> tuple[DetectorNet, dict[str, Tensor]]:
    """The net, its normalisations as good as none, and each folded bias by the name of its normalisation.

    Raises CheckpointError for a file that export.py did not write.
    """
    convolutions = _convolutions(path)
    settings = _settings(path, convolutions)
    net = DetectorNet(settings)
    state = net.state_dict()
    biases: dict[str, Tensor] = {}
    for name, (weight, bias) in convolutions.items():
        key = f"{name}.weight"
        if key not in state or state[key].shape != weight.shape or bias is None:
            raise CheckpointError(
                f"{path}: {key} does not belong to a detector of ours: only these can be tuned"
            )
        state[key] = weight
        if f"{name}.bias" in state:
            state[f"{name}.bias"] = bias
        else:
            biases[f"{name.removesuffix('.0')}.1"] = bias
    missing = {key for key, value in state.items() if value.ndim == 4} - {
        f"{name}.weight" for name in convolutions
    }
    if missing:
        raise CheckpointError(f"{path}: lacks {sorted(missing)[0]}: only a detector of ours can be tuned")
    net.load_state_dict(state)
    return net, biases


def _convolutions(path: Path) -> dict[str, Convolution]:
    """By the names that the net's modules have in the training."""
    try:
        import onnx
        from onnx import numpy_helper

        model = onnx.load(str(path))
    except ImportError as error:
        raise CheckpointError("the package onnx is not installed: pip install onnx") from error
    except (OSError, ValueError, RuntimeError, onnx.onnx_cpp2py_export.checker.ValidationError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    values: dict[str, Any] = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].astype(np.float32)
    convolutions: dict[str, Convolution] = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in values:
            name = node.input[1].removeprefix("net.").removesuffix(".weight")
            parts = [torch.from_numpy(np.array(values[each], np.float32)) for each in node.input[1:]]
            convolutions[name] = parts[0], parts[1] if len(parts) > 1 else None
    return convolutions


def _settings(path: Path, convolutions: dict[str, Convolution]) -> NetSettings:
    """Widths and depths, read from the shapes."""

    def outer(name: str) -> int:
        return int(convolutions[name][0].shape[0])

    def depth(block: str) -> int:
        pattern = re.compile(re.escape(block) + r"\.steps\.(\d+)\.0\.0")
        return len({m[1] for name in convolutions if (m := pattern.fullmatch(name))})

    try:
        sizes = {
            "classes": outer("classes.0.1"),
            "widths": [outer("stem.0"), *(outer(f"stages.{i}.0.0") for i in range(4))],
            "depths": [depth(f"stages.{i}.1") for i in range(4)],
            "neck": outer("lateral.0.0"),
            "neck_depth": depth("down_path.0"),
            "head": outer("classes.0.0.0"),
        }
    except KeyError as error:
        raise CheckpointError(
            f"{path}: has no layer {error}: only a detector of ours can be tuned"
        ) from error
    return NetSettings.from_json(sizes)


def settle(net: DetectorNet, biases: dict[str, Tensor], pictures: Iterator[Tensor]) -> None:
    """Give every normalisation the statistics of `pictures` (1, 3, H, W), and weights that undo them.

    The net answers as before; in training, a batch's own statistics then replace like by like.
    """
    norms = {name: module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.weight.data.fill_((1.0 + norm.eps) ** 0.5)
        norm.bias.data.copy_(biases[name])
    sums = {name: torch.zeros(3, norm.num_features, dtype=torch.float64) for name, norm in norms.items()}

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            values = inputs[0].double().transpose(0, 1).flatten(1)
            counts = torch.full((len(values),), float(values.shape[1]), dtype=torch.float64)
            sums[name] += torch.stack((counts, values.sum(1), (values**2).sum(1)))

        return hook

    hooks = [norm.register_forward_pre_hook(watch(name)) for name, norm in norms.items()]
    net.eval()
    with torch.inference_mode():
        for picture in pictures:
            net(picture)
    for hook in hooks:
        hook.remove()
    for name, norm in norms.items():
        count, total, squares = sums[name]
        mean = total / count
        spread = (squares / count - mean**2).clamp(min=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(spread)
        norm.weight.data.copy_((spread + norm.eps).sqrt())
        norm.bias.data.copy_(mean + biases[name])


def pictures_of(data: Dataset, size: int, seed: int) -> Iterator[Tensor]:
    """Some pictures as the net gets them: (1, 3, size, size) RGB from 0 to 1."""
    canvas: Image = np.zeros((size, size, 3), np.uint8)
    letterbox = Letterbox(canvas, export_pixels())
    order = np.random.default_rng(seed).permutation(len(data))[:SETTLED_BY]
    for i in order.tolist():
        letterbox.put(np.ascontiguousarray(data.image(i)))
        yield torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255


def export_pixels() -> Any:
    """How the exported file wants its pictures."""
    from pipelines.detect.heads.yolov8 import YoloV8

    return YoloV8.pixels


def begin(model: Path, data: Path, out: Path, size: int, seed: int) -> Path:
    """OUT/init.pt, from which detector.py can start. Raises CheckpointError, DatasetError."""
    net, biases = net_of_onnx(model)
    settle(net, biases, pictures_of(Dataset(data), size, seed))
    run = TrainingRun.start(net.settings, RATE, 0.05, "cpu")
    run.net.load_state_dict(net.state_dict())
    run.average.load_state_dict(net.state_dict())
    out.mkdir(parents=True, exist_ok=True)
    run.save(out / "init.pt")
    return out / "init.pt"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train.detector.tune", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE.onnx")
    parser.add_argument("--data", type=Path, required=True, help="as DatasetWriter writes it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--size", type=int, default=416, help="side in pixels (default: 416)")
    parser.add_argument("--score", type=float, default=0.3, help="threshold of the card (default: 0.3)")
    parser.add_argument(
        "--rate", type=float, default=RATE, help="highest learning rate (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--quiet", action="store_true", help="do not print the file's path and size")
    return parser


def main(words: list[str] | None = None) -> int:
    options = arguments().parse_args(words)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        init = begin(options.model, options.data, options.out, options.size, options.seed)
    except (CheckpointError, DatasetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    further = [f"--{key}={getattr(options, key)}" for key in ("rate", "batch", "seed", "threads", "device")]
    paths = ["--data", str(options.data), "--out", str(options.out), "--init", str(init)]
    # Cameras are fixed: their pictures are neither turned into mosaics often nor worn down much.
    shape = ["--sizes", str(options.size), "--steps", str(options.steps), "--workers", "0"]
    code = detector.main([*paths, *shape, *further, "--mosaic", "0.3", "--degrade", "0.3"])
    if code:
        return code
    run, target = str(options.out / "last.pt"), str(options.out / "model.onnx")
    card = ["--size", str(options.size), "--score", str(options.score), *["--quiet"] * options.quiet]
    return export.main(["--run", run, "--out", target, *card])


if __name__ == "__main__":
    sys.exit(main())
