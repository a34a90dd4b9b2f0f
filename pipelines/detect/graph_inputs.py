"""Gives an OpenVINO graph the one input that the rest is made for; tells whether its batch can be freed."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.detect.graph import Graph, ops, ov, shape_of
from pipelines.detect.picture_input import GraphInput, PictureInput
from pipelines.values import Floats

_TYPES = {"f32": ov.Type.f32, "f16": ov.Type.f16, "u8": ov.Type.u8, "i64": ov.Type.i64, "i32": ov.Type.i32}
WITHIN = 1e-3  # of the largest value: as far as an answer may differ with who else is in the batch


def inputs_of(graph: Graph) -> list[GraphInput]:
    return [
        GraphInput(port.get_any_name(), shape_of(port), port.get_element_type().get_type_name())
        for port in graph.inputs
    ]


def take_pictures(graph: Graph, picture: PictureInput, size: tuple[int, int]) -> None:
    """Make the graph take (B, 3, H, W) float32 and nothing else; `size` (width, height) is told as the size
    of the picture, where the graph asks for it."""
    if picture.plain:
        return
    batch, _, high, wide = (-1 if n is None else n for n in picture.shape)
    blob = ops.parameter([batch, 3, high, wide], ov.Type.f32, picture.name)
    _replace(graph, picture.name, _laid_out(blob, picture))
    if picture.sizes is not None:
        kind = picture.sizes.kind
        told = np.array([size] * (picture.batch or 1), np.int64 if kind.startswith("i") else np.float32)
        _replace(graph, picture.sizes.name, ops.convert(ops.constant(told), kind))
    graph.add_parameters([blob])
    graph.validate_nodes_and_infer_types()


def same_with_any_batch(core: ov.Core, fixed: Graph, free: Graph, settings: dict[str, Any]) -> bool:
    """Whether a graph of a fixed batch answers to each of two pictures as the one whose batch was made free
    does to it alone."""
    shape = tuple(fixed.input().shape)
    pictures = np.random.default_rng(0).random((2, *shape[1:]), np.float32)
    batch: Floats = np.resize(pictures, shape)
    try:
        together = core.compile_model(fixed, "CPU", settings)(batch)
        alone = core.compile_model(free, "CPU", settings)
        for i in range(2):
            pairs = zip(together.to_tuple(), alone(pictures[i : i + 1]).to_tuple(), strict=True)
            if not all(_same(many[i : i + 1], one) for many, one in pairs):
                return False
    except RuntimeError:  # what OpenVINO raises for inner shapes that fit the one batch alone
        return False
    return True


def _same(expected: Floats, given: Floats) -> bool:
    if expected.shape != given.shape:
        return False
    reach = float(np.nanmax(np.abs(expected), initial=1.0))
    return bool(np.allclose(expected, given, atol=WITHIN * reach, equal_nan=True))


def _laid_out(blob: Any, picture: PictureInput) -> Any:
    value = blob if picture.kind == "f32" else ops.convert(blob, picture.kind)
    if picture.layout.endswith("HWC"):
        value = ops.transpose(value, np.array([0, 2, 3, 1]))
    return value if picture.layout.startswith("N") else ops.squeeze(value, np.array([0]))


def _replace(graph: Graph, name: str, value: Any) -> None:
    old = graph.input(name).get_node()
    for reader in list(old.output(0).get_target_inputs()):
        reader.replace_source_output(value.output(0))
    graph.remove_parameter(old)
