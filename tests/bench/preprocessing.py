"""Preprocessing inside the default detector's graph against ours before it: CPU a frame, in turns.

Ours: letterbox and channel order by OpenCV; type, scale and layout in the graph (`fold_preprocessing`).
Beside it the channel order in the graph too, and all of it: the frame goes in as it is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from pipelines.detect.card import read_card
from pipelines.detect.graph import Graph, fold_preprocessing, ops, ov, resize, shape_of
from pipelines.detect.letterbox import Letterbox, Pixels, fit
from pipelines.detect.model import ModelFile
from pipelines.registry import PACKAGED_MODEL
from pipelines.values import Image
from tests.bench import detection_data as data
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS

NAME = "preprocessing"
DESCRIPTION = "CPU a frame of letterbox and channel order before the graph, and inside it"
CLIP = "videos/overpass-cars.mp4"
EVERY, FRAMES = 25, 40

Infer = Callable[[Image], float]  # the highest logit


def run(width: int = 640, height: int = 360, precision: str = "bf16", rounds: int = 12) -> dict[str, Any]:
    """`precision` bf16 or f32; frames of `width` and `height`."""
    if not (CORPUS / CLIP).exists():
        raise Unavailable(f"{CORPUS / CLIP} is missing")
    images = [cv2.resize(image, (width, height)) for _, image in data.images(CORPUS / CLIP, EVERY)][:FRAMES]
    frames = [np.asarray(image, np.uint8) for image in images]
    ways = {
        "before the graph": _before(precision, colour_inside=False),
        "channel order inside": _before(precision, colour_inside=True),
        "all inside": _inside(precision, width, height),
    }
    reference = [ways["before the graph"](frame) for frame in frames]
    apart = {name: _apart(way, frames, reference) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            times[name].append(_cpu_ms(ways[name], frames))
    return {"frame": [width, height], "precision": precision, "cpu_ms": times, "logit_apart": apart}


def _prepared() -> tuple[Graph, Pixels, tuple[int, int]]:
    file = ModelFile.read(PACKAGED_MODEL, read_card(PACKAGED_MODEL.with_suffix(".yaml")))
    graph = ov.Core().read_model(PACKAGED_MODEL)
    size = file.input_size(shape_of(graph.input()))
    resize(graph, 1, size)
    head = file.head(size, [shape_of(output) for output in graph.outputs])
    prepared = head.prepare(graph, size)
    return (graph if prepared is None else prepared[0]), head.pixels, size


def _before(precision: str, *, colour_inside: bool) -> Infer:
    graph, pixels, size = _prepared()
    fold_preprocessing(graph, pixels)
    if colour_inside and pixels.rgb:
        graph = _fed_by(
            graph, [1, size[1], size[0], 3], lambda x: ops.gather(x, np.array([2, 1, 0]), np.array(3))
        )
        pixels = replace(pixels, rgb=False)
    canvas: Image = np.zeros((1, size[1], size[0], 3), np.uint8)
    letterbox = Letterbox(canvas[0], pixels)
    request = _request(graph, precision)
    request.set_input_tensor(ov.Tensor(canvas, shared_memory=True))

    def infer(image: Image) -> float:
        letterbox.put(image)
        request.infer()
        return float(request.output_tensors[0].data.max())

    return infer


def _inside(precision: str, width: int, height: int) -> Infer:
    graph, pixels, size = _prepared()
    fold_preprocessing(graph, pixels)
    wide, high = fit(width, height, *size)
    left, top = ((size[0] - wide) // 2, (size[1] - high) // 2) if pixels.centred else (0, 0)

    def letterboxed(x: Any) -> Any:
        x = ops.transpose(ops.convert(x, np.float32), np.array([0, 3, 1, 2]))
        x = ops.gather(x, np.array([2, 1, 0]), np.array(1)) if pixels.rgb else x
        if (wide, high) != (width, height):
            x = ops.interpolate(x, np.array([high, wide]), "linear_onnx", "sizes", axes=np.array([2, 3]))
        after = np.array([0, 0, size[1] - high - top, size[0] - wide - left])
        x = ops.pad(x, np.array([0, 0, top, left]), after, "constant", np.float32(pixels.pad))
        return ops.transpose(x, np.array([0, 2, 3, 1]))

    request = _request(_fed_by(graph, [1, height, width, 3], letterboxed), precision)

    def infer(image: Image) -> float:
        request.set_input_tensor(ov.Tensor(image[None], shared_memory=True))
        request.infer()
        return float(request.output_tensors[0].data.max())

    return infer


def _fed_by(graph: Graph, shape: list[int], made: Callable[[Any], Any]) -> Graph:
    """The graph behind another input of `shape` uint8, of which `made` makes its own."""
    picture = ops.parameter(shape, np.uint8)
    answer = made(picture)
    for reader in graph.get_parameters()[0].output(0).get_target_inputs():
        node = reader.get_node()
        if answer.get_element_type() == ov.Type.u8:
            reader.replace_source_output(answer.output(0))
        else:  # what follows is the conversion to floats, which is done
            for after in node.output(0).get_target_inputs():
                after.replace_source_output(answer.output(0))
    return ov.Model(graph.get_results(), [picture])


def _request(graph: Graph, precision: str) -> Any:
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
    return ov.Core().compile_model(graph, "CPU", settings).create_infer_request()


def _apart(infer: Infer, frames: list[Image], reference: list[float]) -> float:
    return max(abs(infer(frame) - value) for frame, value in zip(frames, reference, strict=True))


def _cpu_ms(infer: Infer, frames: list[Image]) -> float:
    begun_s = time.process_time()
    for frame in frames:
        infer(frame)
    return (time.process_time() - begun_s) / len(frames) * 1e3


def render(result: dict[str, Any]) -> str:
    times = result["cpu_ms"]
    ours = times["before the graph"]
    lines = [f"default detector, {result['precision']}, frames of {result['frame'][0]}x{result['frame'][1]}"]
    for name, values in times.items():
        ratio = statistics.median(value / other for value, other in zip(values, ours, strict=True))
        lines.append(
            f"{name:21} {statistics.median(values):6.2f} CPU ms a frame, ratio {ratio:.3f}; "
            f"highest logit at most {result['logit_apart'][name]:.2f} apart"
        )
    return "\n".join(lines)
