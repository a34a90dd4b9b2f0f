"""Detection by ONNX Runtime, the portable engine: slower than OpenVINO here, at home on every processor.

The runtime has no way to wait for a started run without a thread of our own, so submit() only preprocesses
and collect() computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import ModelRefused
from pipelines.detect.feature_maps import choose_maps, frame_maps
from pipelines.detect.letterbox import Letterbox, LetterboxPlacement, Pixels
from pipelines.detect.model import ModelFile, Postprocessor, how_it_runs, told_of_masks
from pipelines.detect.onnx_file import branching_tensors, with_outputs
from pipelines.detect.picture_input import GraphInput
from pipelines.values import Detections, Floats, Frame, Image

DEPTH = 3  # as many as the other engine, so that a caller need not care
MAX_BATCH = 8  # frames a submit, where the graph's batch is free

_KINDS = {
    "tensor(float)": "f32",
    "tensor(float16)": "f16",
    "tensor(uint8)": "u8",
    "tensor(int64)": "i64",
    "tensor(int32)": "i32",
}
# What ONNX Runtime raises for a model it cannot load or run; they share no base but Exception.
_REFUSALS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OnnxDetector:
    """Raises ModelRefused if the file cannot be loaded and run on one frame. `threads` 0: all cores.

    `cache_dir` is taken for the sake of one signature; this engine keeps nothing. `warnings` are told with
    its own.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard | None = None,
        *,
        threads: int = 0,
        cache_dir: Path | None = None,  # noqa: ARG002
        score: float | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self._warnings = list(warnings)
        file = ModelFile.read(path, card)
        self._file = file
        self._threads = threads
        try:
            self._net = net = _Net(self._load(str(path)))
            self._picture = picture = file.picture(inputs_of(net.session))
            self._size = file.input_size(picture.shape)
            answer = net.session.run(None, picture.feed(self._grey()))
        except _REFUSALS as error:
            raise ModelRefused(f"{path}: ONNX Runtime cannot load it: {_one_line(error)}") from error
        outputs = net.session.get_outputs()
        whole = ["int" in output.type for output in outputs]
        names = [output.name for output in outputs]
        self._head = file.head(self._size, [output.shape for output in answer], names, whole)
        file.check_answer(self._head, self._shares(answer, 1)[0])
        self.labels = file.labels(self._head)
        self.joints = file.joints(self._head)
        self._fixed = picture.batch  # a run takes so many, whatever there is
        self.max_batch = (self._fixed or MAX_BATCH) if self._head.batched else 1
        self.parallel = 1
        self.depth = DEPTH
        self._limits = file.card.limits(score)
        self._postprocessor = Postprocessor(
            self._head, self.labels, self._size, self._limits, file.card.nms_iou
        )
        pixels = picture.pixels(self._head.pixels)
        self._free = [_Slot(pixels, self._size, self.max_batch) for _ in range(self.depth)]

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        """The work is done in collect(): nothing is gained by waiting, so `notify` is called at once."""
        if not 1 <= len(frames) <= self.max_batch:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self.max_batch}")
        if not self._free:
            raise RuntimeError(f"{self.depth} tickets are open: collect one first")
        slot = self._free.pop()
        placements = slot.fill([frame.image for frame in frames])
        if notify is not None:
            notify()
        return _OnnxTicket(tuple(frame.stamp.camera for frame in frames), slot, placements)

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _OnnxTicket) or ticket.slot is None:
            raise ValueError("this ticket is spent or another detector's")
        slot, ticket.slot = ticket.slot, None
        net, places = self._net, ticket.placements
        try:
            blob = slot.blob[: self._fixed or len(places)]
            outputs = net.session.run(None, self._picture.feed(blob))
        finally:
            self._free.append(slot)
        last = len(outputs) - len(net.strides)
        detections = self._postprocessor.run(
            self._shares(outputs[:last], len(places)), places, low_confidence=ticket.low_confidence
        )
        if not ticket.maps or not net.strides:
            return detections
        maps = [output.transpose(0, 2, 3, 1) for output in outputs[last:]]
        return [
            replace(each, maps=frame_maps(net.strides, [m[i] for m in maps], place, self._size))
            for i, (each, place) in enumerate(zip(detections, places, strict=True))
        ]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        """Loads the file again with these tensors as outputs; the net without them serves meanwhile."""
        all_strides = tuple(sorted({*self._net.strides, *strides}))
        try:
            if all_strides != self._net.strides:
                self._net = self._with_maps(all_strides)
            grey = self._net.session.run(None, self._picture.feed(self._grey()))[-len(all_strides) :]
        except _REFUSALS as error:
            raise ModelRefused(
                f"{self._file.path}: ONNX Runtime cannot give its feature maps: {_one_line(error)}"
            ) from error
        return sum(grey[all_strides.index(stride)].shape[1] for stride in strides)

    def _with_maps(self, strides: tuple[int, ...]) -> _Net:
        """Tensors have no shapes in the file: all that branch are tried on a grey picture first."""
        model = self._file.path.read_bytes()
        names = branching_tensors(model)
        session = self._load(with_outputs(model, names))
        shapes = [map_.shape for map_ in session.run(names, self._picture.feed(self._grey()))]
        chosen = choose_maps(shapes, self._size, strides, str(self._file.path))
        return _Net(self._load(with_outputs(model, [names[i] for i in chosen])), strides)

    def _load(self, model: str | bytes) -> ort.InferenceSession:
        return ort.InferenceSession(model, _options(self._threads), providers=["CPUExecutionProvider"])

    def _grey(self) -> Floats:
        return np.full((self._picture.batch or 1, 3, self._size[1], self._size[0]), 0.5, np.float32)

    def forget(self, camera: str) -> None:
        """Nothing is kept per camera."""

    def describe(self) -> dict[str, Any]:
        return {
            "engine": "onnx",
            "engine_version": ort.__version__,
            "model": str(self._file.path),
            "sha256": self._file.sha256,
            "head": self._head.name,
            "input": list(self._size),
            "precision": "f32",
            "max_batch": self.max_batch,
            "score": self._limits.high,
            "licence": self._file.licence,
            "runs": how_it_runs(self.max_batch, self.parallel, self._fixed),
            **told_of_masks(self._head),
            "warnings": [*self._warnings, *self._file.warnings(self._head)],
        }

    def _shares(self, outputs: Sequence[Any], count: int) -> list[list[Floats]]:
        """Each frame's share of each output; some have no batch axis."""
        floats: list[Floats] = [np.asarray(output, np.float32) for output in outputs]
        if self._head.batched:
            return [[output[i] for output in floats] for i in range(count)]
        return [floats]


@dataclass(frozen=True, slots=True, eq=False)
class _Net:
    """A loaded graph; its last outputs are feature maps at `strides`."""

    session: ort.InferenceSession
    strides: tuple[int, ...] = ()


class _OnnxTicket(Ticket):
    __slots__ = ("placements", "slot")

    def __init__(self, cameras: tuple[str, ...], slot: _Slot, placements: list[LetterboxPlacement]) -> None:
        super().__init__(cameras)
        self.slot: _Slot | None = slot
        self.placements = placements


class _Slot:
    """A batch's canvases (B, H, W, 3) uint8 and the blob (B, 3, H, W) float32 made of them."""

    def __init__(self, pixels: Pixels, size: tuple[int, int], batch: int) -> None:
        self._canvases: Image = np.zeros((batch, size[1], size[0], 3), np.uint8)
        self.blob: Floats = np.zeros((batch, 3, size[1], size[0]), np.float32)
        self._boxes = [Letterbox(canvas, pixels) for canvas in self._canvases]
        self._mean = np.array(pixels.mean, np.float32)
        self._gain = (1.0 / np.array(pixels.std)).astype(np.float32)

    def fill(self, images: Sequence[Image]) -> list[LetterboxPlacement]:
        placements = [box.put(image) for box, image in zip(self._boxes, images, strict=False)]
        for canvas, planes in zip(self._canvases[: len(images)], self.blob, strict=False):
            for channel, plane in enumerate(planes):
                # A plane at a time: four times as fast as cv2.dnn.blobFromImage.
                source = cv2.extractChannel(canvas, channel)
                if self._mean[channel]:
                    np.subtract(source, self._mean[channel], out=plane)
                    plane *= self._gain[channel]
                else:
                    np.multiply(source, self._gain[channel], out=plane)
        return placements


def inputs_of(session: ort.InferenceSession) -> list[GraphInput]:
    """Their types by OpenVINO's names."""
    return [
        GraphInput(
            each.name,
            tuple(n if isinstance(n, int) else None for n in each.shape),
            _KINDS.get(each.type, each.type),
        )
        for each in session.get_inputs()
    ]


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings about a model are not for the daemon's log
    # Idle threads sleep: they would otherwise spin for what capture and delivery need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
