"""Static int8 quantisation of an ONNX detector, calibrated on pictures of the user's own cameras.

Around each convolution the graph gets QuantizeLinear and DequantizeLinear (the QDQ form that OpenVINO and
ONNX Runtime both compute in int8): activations with one scale a tensor, weights with one a channel, as in
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
arXiv 1712.05877. Left in floats is what decides about precision and costs little: the last convolutions
before scores and distances, and the decoder behind them. Needs the package onnx (extra `quantize`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from pipelines.detect.card import ModelCard
from pipelines.detect.errors import ModelRefused
from pipelines.detect.heads import Head
from pipelines.detect.letterbox import Letterbox
from pipelines.detect.model import ModelFile
from pipelines.detect.onnx import inputs_of
from pipelines.values import Floats, Image

OPSET = 13  # the first with a scale for each channel
TAIL_PERCENT = 0.01  # of a picture's activations that a clipped range leaves out at either end
SAMPLE = 200_000  # numbers of a tensor that its percentiles are taken from
RANGES = ("clipped", "full")
MIN_SCALE = 1e-9  # of a quantized tensor: one of zeros alone has no scale


@dataclass(frozen=True, slots=True)
class Span:
    """What a tensor's values were: over all pictures, and without the outliers of each."""

    full: tuple[float, float]
    clipped: tuple[float, float]


class Quantizer:
    """Reads a float model, watches its activations, and writes it as int8. Raises ModelRefused."""

    def __init__(self, path: Path, card: ModelCard | None = None, *, threads: int = 0) -> None:
        self._file = ModelFile.read(path, card)
        if self._file.onnx.operators & {"QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger"}:
            raise ModelRefused(f"{path}: is quantised already: give the float model that it was made of")
        self._model = _upgraded(path)
        self._constants = _constants(self._model)
        self._convolutions = self._chosen()
        if not self._convolutions:
            raise ModelRefused(f"{path}: has no convolution to quantise: not a detector?")
        self._watched = sorted({node.input[0] for node in self._convolutions})
        self._extents: dict[str, list[Floats]] = {}  # of each watched tensor, a row a picture (see spans)
        self._session = _watching(self._model, self._watched, threads)
        self._picture = self._file.picture(inputs_of(self._session))
        self._size = self._file.input_size(self._picture.shape)
        self._head = self._find_head()

    def watch(self, images: Iterable[Image]) -> Iterator[int]:
        """Run pictures (H, W, 3) BGR one by one; gives how many there were after each."""
        self._extents = {name: [] for name in self._watched}
        name = self._picture.name
        inner = [tensor for tensor in self._watched if tensor != name]
        for count, image in enumerate(images, 1):
            blob = self._blob(image)
            values = {name: blob}
            if inner:
                values |= dict(zip(inner, self._session.run(inner, self._picture.feed(blob)), strict=True))
            for tensor in self._watched:
                self._extents[tensor].append(_extent(values[tensor]))
            yield count

    def spans(self) -> dict[str, Span]:
        """Raises ModelRefused where watch() has seen nothing."""
        if not self._extents.get(self._watched[0]):
            raise ModelRefused("no picture to calibrate with: give clips or a camera with recordings")
        spans = {}
        for name, rows in self._extents.items():
            table = np.array(rows)  # (pictures, 4): min, low percentile, high percentile, max
            full = float(table[:, 0].min()), float(table[:, 3].max())
            spans[name] = Span(full, (float(table[:, 1].mean()), float(table[:, 2].mean())))
        return spans

    def write(self, target: Path, spans: Mapping[str, Span], which: str) -> None:
        """The int8 model with the ranges `which` of RANGES. Raises ModelRefused where onnx finds it
        unsound.
        """
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        chosen = {node.output[0] for node in self._convolutions}
        graph = model.graph
        nodes: list[Any] = []
        ready: dict[str, str] = {}
        for node in graph.node:
            if node.output[0] in chosen:
                name = node.input[0]
                if name not in ready:
                    low, high = getattr(spans[name], which)
                    ready[name] = _activation(name, low, high, graph, nodes)
                node.input[0] = ready[name]
                node.input[1] = _weight(node.input[1], self._constants[node.input[1]], graph, nodes)
            nodes.append(node)
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
        _drop_unused(graph)
        onnx.helper.set_model_props(
            model, {p.key: p.value for p in model.metadata_props} | {"quantization": f"static int8, {which}"}
        )
        onnx.save(model, str(target))

    # ---- what is looked at

    def _chosen(self) -> list[Any]:
        """Convolutions with constant weights, but the last before an output and those of a single channel."""
        users: dict[str, list[Any]] = {}
        for node in self._model.graph.node:
            for name in node.input:
                users.setdefault(name, []).append(node)
        found = []
        for node in self._model.graph.node:
            if node.op_type != "Conv" or node.input[1] not in self._constants:
                continue
            if self._constants[node.input[1]].shape[0] > 1 and _leads_to_convolution(node, users):
                found.append(node)
        return found

    def _find_head(self) -> Head:
        grey = np.full((self._picture.batch or 1, 3, self._size[1], self._size[0]), 0.5, np.float32)
        outputs = [output.name for output in self._model.graph.output]
        answer = self._session.run(outputs, self._picture.feed(grey))
        whole = [not np.issubdtype(value.dtype, np.floating) for value in answer]
        return self._file.head(self._size, [value.shape for value in answer], outputs, whole)

    def _blob(self, image: Image) -> Floats:
        """(B, 3, H, W) as the model wants it: one picture, as often as its batch asks for."""
        pixels = self._picture.pixels(self._head.pixels)
        canvas: Image = np.zeros((self._size[1], self._size[0], 3), np.uint8)
        Letterbox(canvas, pixels).put(image)
        values = (canvas - np.array(pixels.mean, np.float32)) / np.array(pixels.std, np.float32)
        return np.repeat(values.transpose(2, 0, 1)[None], self._picture.batch or 1, axis=0)


def quantisation_needs() -> str:
    """What is missing to quantise here; empty if nothing is."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        return "the package onnx is not installed: `pip install 'streamer[quantize]'`, or `pip install onnx`"
    return ""


def _upgraded(path: Path) -> Any:
    """The model at an operator set that knows a scale for each channel, its own where that is one."""
    import onnx

    try:
        model = onnx.load(str(path))
        version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        if version < OPSET:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                properties = {p.key: p.value for p in model.metadata_props}
                model = onnx.version_converter.convert_version(model, OPSET)
                onnx.helper.set_model_props(model, properties)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelRefused(
            f"{path}: cannot be brought to ONNX operator set {OPSET} ({' '.join(str(error).split())[:160]}): "
            "export it anew with a newer one"
        ) from error
    return model


def _constants(model: Any) -> dict[str, Floats]:
    """Initialisers as float32 arrays, also those that are stored as float16 with a Cast behind them."""
    from onnx import numpy_helper

    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
        elif node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return {name: value.astype(np.float32) for name, value in constants.items() if value.ndim == 4}


def _leads_to_convolution(node: Any, users: Mapping[str, list[Any]]) -> bool:
    """Whether another convolution of several channels comes after `node`."""
    todo, seen = list(node.output), set()
    while todo:
        for user in users.get(todo.pop(), ()):
            if user.op_type == "Softmax":
                continue  # the distances' decoder: its convolution is a fixed sum
            if user.op_type == "Conv":
                return True
            for name in user.output:
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
    return False


def _watching(model: Any, names: list[str], threads: int) -> ort.InferenceSession:
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in (*watched.graph.output, *watched.graph.input)}
    for name in names:
        if name not in known:
            watched.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _extent(values: Floats) -> Floats:
    """(4,) least, low percentile, high percentile and greatest of a tensor."""
    flat = values.ravel()
    sample = flat[:: max(1, flat.size // SAMPLE)]
    low, high = np.percentile(sample, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    return np.array([flat.min(), low, high, flat.max()], np.float32)


def _activation(name: str, low: float, high: float, graph: Any, nodes: list[Any]) -> str:
    """Adds a pair that rounds `name` to 256 steps from `low` to `high`; zero is one of them."""
    from onnx import helper, numpy_helper

    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255.0, MIN_SCALE)
    zero = int(np.clip(round(-low / scale), 0, 255))
    stem = f"{name}/int8"
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), f"{stem}/scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(zero, np.uint8), f"{stem}/zero"))
    by = [f"{stem}/scale", f"{stem}/zero"]
    nodes.append(
        helper.make_node("QuantizeLinear", [name, *by], [f"{stem}/rounded"], name=f"{stem}/quantize")
    )
    nodes.append(helper.make_node("DequantizeLinear", [f"{stem}/rounded", *by], [stem], name=f"{stem}/back"))
    return stem


def _weight(name: str, weight: Floats, graph: Any, nodes: list[Any]) -> str:
    """Adds the weight (out, in, h, w) as int8 with a scale for each output channel; symmetric."""
    from onnx import helper, numpy_helper

    stem = f"{name}/int8"
    if any(c.name == f"{stem}/values" for c in graph.initializer):
        return stem
    scale = np.maximum(np.abs(weight).reshape(len(weight), -1).max(1) / 127.0, MIN_SCALE).astype(np.float32)
    rounded = np.clip(np.rint(weight / scale[:, None, None, None]), -127, 127).astype(np.int8)
    for suffix, value in (("values", rounded), ("scale", scale), ("zero", np.zeros(len(scale), np.int8))):
        graph.initializer.append(numpy_helper.from_array(value, f"{stem}/{suffix}"))
    parts = [f"{stem}/{suffix}" for suffix in ("values", "scale", "zero")]
    nodes.append(helper.make_node("DequantizeLinear", parts, [stem], name=f"{stem}/back", axis=0))
    return stem


def _drop_unused(graph: Any) -> None:
    """The float weights that nothing reads any more, and the nodes that brought them."""
    while True:
        used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
        idle = [node for node in graph.node if not used & set(node.output)]
        for node in idle:
            graph.node.remove(node)
        if not idle:
            break
    for tensor in [c for c in graph.initializer if c.name not in used]:
        graph.initializer.remove(tensor)
    for value in [v for v in graph.input if v.name not in used]:
        graph.input.remove(value)  # old files list their weights among the inputs
