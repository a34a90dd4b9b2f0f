"""A detector's own maps: the same tensors by both engines, and what is pooled from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from pipelines.actions.maps import MapEmbedder, find_maps, names_of_maps, pool, with_outputs
from pipelines.detect.graph import ov
from pipelines.detect.letterbox import Placement

PLACE = Placement(0, 0, 64, 64, np.zeros(4, np.float32), np.full(4, 1 / 64, np.float32))


def test_a_box_is_the_mean_of_the_cells_that_it_covers() -> None:
    values = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.25, 0.25], [0.5, 0.5, 1, 1], [0.9, 0.9, 0.9, 0.9]], np.float32)
    found = pool([values], [values * 0], boxes, PLACE, (64, 64))
    assert found[:, 0].tolist() == [7.5, 0, 12.5, 15]
    assert found[:, 1].tolist() == [15, 0, 15, 15]  # the most that changed since a frame of zeros
    assert pool([values], [values], boxes, PLACE, (64, 64))[:, 1].tolist() == [0, 0, 0, 0]


def test_no_boxes_give_no_values() -> None:
    values = np.ones((3, 4, 4), np.float32)
    assert pool([values], [values], np.zeros((0, 4), np.float32), PLACE, (64, 64)).shape == (0, 6)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["yolo11n_320", "yolox_nano"])
def test_onnx_runtime_gives_the_same_maps_after_graph_surgery(corpus: Path, name: str) -> None:
    path = corpus / f"weights/{name}.onnx"
    graph = ov.Core().read_model(path)
    size = 320 if "320" in name else 416
    ports = find_maps(graph, (size, size), (32,))
    names = names_of_maps(ports)
    session = ort.InferenceSession(with_outputs(path.read_bytes(), names), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).random((1, 3, size, size)).astype(np.float32)
    found = session.run(names, {session.get_inputs()[0].name: picture})[0]
    cut = ov.Model([ov.opset13.result(ports[0])], graph.get_parameters(), "maps")
    compiled = ov.Core().compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = next(iter(compiled(picture).values()))
    assert found.shape == expected.shape == (1, found.shape[1], size // 32, size // 32)
    assert np.allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.corpus
def test_a_clip_that_stands_still_has_no_change(corpus: Path) -> None:
    embedder = MapEmbedder(corpus / "weights/yolo11n_320.onnx")
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    values = embedder.embed_clip([image, image, image[:, ::-1].copy()])
    assert values.shape == (3, embedder.values)
    half = embedder.channels
    assert np.abs(values[1, half:]).max() < 1e-6
    assert values[2, half:].max() > 0.01
