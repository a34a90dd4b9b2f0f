"""Converts a `.pt` of Ultralytics to ONNX; run as a child process: `python -m pipelines.detect.export`.

    python -m pipelines.detect.export SOURCE.pt TARGET.onnx WIDTHxHEIGHT|- [--trust]

The last line on standard output is JSON: {"ok": true, "size": [640, 640], "classes": […], "licence": "…"}, or
{"ok": false, "problem": "one line"}. A child, since torch and Ultralytics belong in no daemon and a trusted
pickle runs what it likes; it gets no secrets in its environment and is ended when it takes too long.

The file is read as data (checkpoint.py). With --trust it is unpickled as it is: that runs its code.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import DEFAULT_SIZE
from pipelines.detect.onnx_file import field
from pipelines.detect.torch.pt_file import read_pt_file
from pipelines.detect.torch.ultralytics_net import build_net, ready, ultralytics_tasks

OPSET = 17
CELL = 32
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2  # fields of onnx.proto's ModelProto and StringStringEntryProto


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """A detector ready to be traced; `size` (width, height) is what it was trained at, if that is known."""

    module: Any
    names: tuple[str, ...]
    size: tuple[int, int] | None
    licence: str


def read_net(source: Path, trust: bool) -> Net:
    """Raises ModelRefused."""
    if not trust:
        checkpoint = read_pt_file(source)
        return Net(build_net(checkpoint), checkpoint.names, checkpoint.size, checkpoint.licence)
    ultralytics_tasks()
    try:
        checkpoint = torch.load(source, map_location="cpu", weights_only=False)
    except Exception as error:  # the file is a program: it may raise anything
        text = " ".join(str(error).split())[:200]
        raise ModelRefused(f"{source}: cannot be loaded: {type(error).__name__}: {text}") from error
    module = (
        (checkpoint.get("ema") or checkpoint.get("model")) if isinstance(checkpoint, dict) else checkpoint
    )
    names = getattr(module, "names", None)
    if not isinstance(module, torch.nn.Module) or not hasattr(module, "model") or not names:
        raise ModelRefused(f"{source}: holds no detector of Ultralytics")
    licence = str(checkpoint.get("license", "")) if isinstance(checkpoint, dict) else ""
    listed = list(names.values()) if isinstance(names, Mapping) else list(names)
    return Net(ready(module), tuple(map(str, listed)), None, licence or "AGPL-3.0 (Ultralytics)")


def export(net: Net, target: Path, size: tuple[int, int]) -> None:
    """Write `net` for pictures (1, 3, height, width) as ONNX with Ultralytics' metadata.

    One output (1, 4 + classes, cells), boxes decoded, not suppressed. Raises ModelRefused.
    """
    head = net.module.model[-1]
    head.training, head.export, head.format, head.dynamic = False, True, "onnx", False
    example = torch.zeros(1, 3, size[1], size[0])
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # the tracer's, on every shape that becomes a constant
            net.module(example)  # lays the grid for this size
            torch.onnx.export(
                net.module,
                (example,),
                str(target),
                input_names=["images"],
                output_names=["output0"],
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, TypeError, ValueError, ImportError) as error:
        raise ModelRefused(f"cannot be written as ONNX: {' '.join(str(error).split())[:200]}") from error
    _describe(
        target,
        {
            "description": "converted by streamer from a .pt of Ultralytics",
            "license": net.licence,
            "task": "detect",
            "imgsz": f"[{size[1]}, {size[0]}]",
            "names": str(dict(enumerate(net.names))),
        },
    )


def _describe(target: Path, metadata: Mapping[str, str]) -> None:
    """Add metadata to an ONNX file: protobuf lets a list grow at the end of a message."""
    with target.open("ab") as file:
        for key, value in metadata.items():
            entry = field(_KEY, key.encode()) + field(_VALUE, value.encode())
            file.write(field(_METADATA_PROPS, entry))


def main(arguments: Sequence[str]) -> int:
    source, target, size_text, *further = arguments
    try:
        net = read_net(Path(source), "--trust" in further)
        size = _size(size_text) or net.size or DEFAULT_SIZE
        if any(side % CELL or side < CELL for side in size):
            raise ModelRefused(f"an input of {size[0]}x{size[1]}: both must be multiples of {CELL}")
        export(net, Path(target), size)
    except ModelRefused as error:
        print(json.dumps({"ok": False, "problem": str(error)}))
        return 1
    answer = {"ok": True, "size": list(size), "classes": list(net.names), "licence": net.licence}
    print(json.dumps(answer))
    return 0


def _size(text: str) -> tuple[int, int] | None:
    if text == "-":
        return None
    width, _, height = text.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
