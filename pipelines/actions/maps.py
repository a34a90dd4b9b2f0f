"""A detector's own feature maps as a frozen backbone: which of its tensors, and how they are pooled.

At each stride the map is taken where boxes and classes part ways: the last tensor that at least two
convolutions read. Every published head of YOLOX, YOLOv8 and YOLO11 has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.detect.errors import ModelRefused
from pipelines.detect.graph import fold_preprocessing, ov, shape_of
from pipelines.detect.letterbox import Letterbox, Placement
from pipelines.detect.model import ModelFile
from pipelines.values import Floats, Image

STRIDES = (16, 32)  # of a detector's three maps the two that hold whole objects
_READERS = frozenset({"Convolution", "GroupConvolution"})


def find_maps(graph: Any, size: tuple[int, int], strides: Sequence[int] = STRIDES) -> list[Any]:
    """The graph's tensors (1, C, H, W) at these strides. Raises ModelRefused where there is none."""
    found: dict[int, Any] = {}
    for node in graph.get_ordered_ops():
        for port in node.outputs():
            if port.partial_shape.rank.is_dynamic or len(port.partial_shape) != 4:
                continue
            readers = [target.get_node().get_type_name() for target in port.get_target_inputs()]
            if sum(kind in _READERS for kind in readers) < 2:
                continue
            for stride in strides:
                if shape_of(port)[2:] == (size[1] // stride, size[0] // stride):
                    found[stride] = port
    missing = [stride for stride in strides if stride not in found]
    if missing:
        raise ModelRefused(
            f"no feature map of stride {missing[0]} was found in the detector: use a YOLOv8, YOLO11 or YOLOX"
        )
    return [found[stride] for stride in strides]


def names_of_maps(ports: Sequence[Any]) -> list[str]:
    """The ONNX names of such tensors, for with_outputs()."""
    return [sorted(port.get_names())[0] for port in ports]


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """An ONNX file that gives these inner tensors as further outputs, after its own.

    Protobuf merges a message that stands in a file twice and appends its repeated fields: a second `graph`
    (field 7) that holds nothing but `output` (field 12) with a `name` (1) is all it takes.
    """
    outputs = b"".join(_field(12, _field(1, name.encode())) for name in names)
    return model + _field(7, outputs)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def pool(
    maps: Sequence[Floats],
    before: Sequence[Floats],
    boxes_xyxyn: Floats,
    place: Placement,
    size: tuple[int, int],
) -> Floats:
    """Maps (C, H, W) of one picture -> (N, 2 * sum of C): over the cells that each box covers the mean of the
    maps, and the most that they changed since those of the frame `before`: what moves, without optical flow.

    `place` is where the picture lies in the input of `size` (width, height).
    """
    boxes = boxes_xyxyn / place.per_pixel + place.offset
    channels = [len(values) for values in maps]
    out = np.zeros((len(boxes), 2, sum(channels)), np.float32)
    first = 0
    for now, then, count in zip(maps, before, channels, strict=True):
        high, wide = now.shape[1:]
        cells = boxes * np.array([wide / size[0], high / size[1]] * 2, np.float32)
        low = np.floor(cells[:, :2]).astype(int).clip(0, [wide - 1, high - 1])
        top = np.ceil(cells[:, 2:]).astype(int).clip(low + 1, [wide, high])
        for row, (x1, y1), (x2, y2) in zip(out, low.tolist(), top.tolist(), strict=True):
            inside = now[:, y1:y2, x1:x2].reshape(count, -1)
            row[0, first : first + count] = inside.mean(axis=1)
            if then is not now:
                moved = np.abs(inside - then[:, y1:y2, x1:x2].reshape(count, -1))
                row[1, first : first + count] = moved.max(axis=1)
        first += count
    return out.reshape(len(boxes), 2 * sum(channels))


class MapEmbedder:
    """A picture's frames in order -> values of the whole picture or of boxes, from the maps alone.

    `moved` alone leaves out what the maps hold and keeps how they change: it learns less of the place, which
    is what few clips of few scenes need. The graph is cut behind the maps. Raises ModelRefused.
    """

    def __init__(
        self, detector: Path, *, moved: bool = False, strides: Sequence[int] = STRIDES, threads: int = 1
    ) -> None:
        self.moved = moved
        file = ModelFile.read(detector, None)
        self.sha256 = file.sha256
        self.strides = tuple(strides)
        try:
            graph = ov.Core().read_model(detector)
            self.size = file.input_size(shape_of(graph.input()))
            head = file.head(self.size, [shape_of(output) for output in graph.outputs])
            ports = find_maps(graph, self.size, strides)
            cut = ov.Model([ov.opset13.result(port) for port in ports], graph.get_parameters(), "maps")
            fold_preprocessing(cut, head.pixels)
            settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
            self._request = ov.Core().compile_model(cut, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise ModelRefused(f"{detector}: OpenVINO cannot load it: {str(error)[-200:]}") from error
        self._canvas: Image = np.zeros((1, self.size[1], self.size[0], 3), np.uint8)
        self._letterbox = Letterbox(self._canvas[0], head.pixels)
        self.channels = sum(int(shape_of(port)[1] or 0) for port in ports)

    @property
    def values(self) -> int:
        """How many values a frame has."""
        return self.channels if self.moved else 2 * self.channels

    def maps(self, image: Image) -> tuple[list[Floats], Placement]:
        """(H, W, 3) BGR -> the maps (C, h, w), and where the picture lies in the input."""
        place = self._letterbox.put(image)
        self._request.infer([self._canvas])
        return [np.array(tensor.data[0], np.float32) for tensor in self._request.output_tensors], place

    def embed_clip(self, images: Sequence[Image]) -> Floats:
        """(T, values) of whole pictures in order; the first has not changed."""
        rows = []
        before: list[Floats] | None = None
        whole = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
        for image in images:
            maps, place = self.maps(image)
            rows.append(pool(maps, before or maps, whole, place, self.size)[0])
            before = maps
        whole_clip = np.stack(rows) if rows else np.zeros((0, 2 * self.channels), np.float32)
        return whole_clip[:, self.channels :] if self.moved else whole_clip
