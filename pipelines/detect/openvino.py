"""Detection by OpenVINO, the default engine on Intel and AMD processors.

Frames are letterboxed straight into the input tensors of a few infer requests; scaling and layout are part
of the compiled graph. The graph runs as one stream (LATENCY) on all its threads: a second request waits its
turn while the first computes, so that the pre- and post-processing of one overlaps the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# OpenVINO's conversion tools report each import to a web server. We have no use for them, and OpenVINO does
# without: it takes this ImportError for "not installed". It also halves the time of the import.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from pipelines.detect.card import ModelCard  # noqa: E402
from pipelines.detect.detector import Ticket  # noqa: E402
from pipelines.detect.errors import ModelRefused  # noqa: E402
from pipelines.detect.heads import Head  # noqa: E402
from pipelines.detect.heads.base import Shape  # noqa: E402
from pipelines.detect.letterbox import Letterbox, Placement  # noqa: E402
from pipelines.detect.model import Answers, ModelFile  # noqa: E402
from pipelines.values import Detections, Floats, Frame, Image  # noqa: E402

DEPTH = 3  # one computing, one waiting its turn, one being read
BATCH = 8  # frames a submit, where the graph's batch is free


class OpenVinoDetector:
    """Raises ModelRefused if the file cannot be loaded and run on one frame. `threads` 0: all cores."""

    def __init__(
        self,
        path: Path,
        card: ModelCard | None = None,
        *,
        threads: int = 0,
        cache_dir: Path | None = None,
        score: float | None = None,
    ) -> None:
        file = ModelFile.read(path, card)
        self._file = file
        self._core = ov.Core()
        self._precision = self._choose_precision()
        try:
            graph, self.size = self._read(file)
            self.head = file.head(self.size, [_shape(output) for output in graph.outputs])
            self.labels = file.labels(self.head)
            self.max_batch = BATCH if graph.input().partial_shape[0].is_dynamic else 1
            _fold_preprocessing(graph, self.head)
            self._compiled = self._core.compile_model(graph, "CPU", self._settings(threads, cache_dir))
        except RuntimeError as error:
            raise ModelRefused(f"{path}: OpenVINO cannot load it: {_first_line(error)}") from error
        self.depth = DEPTH
        self._score = file.card.score if score is None else score
        self._answers = Answers(self.head, self.labels, self.size, self._score, file.card.nms_iou)
        self._free = [_Request(self._compiled, self.head, self.size, self.max_batch)]
        self._made = 1
        self._try_out()

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        if not 1 <= len(frames) <= self.max_batch:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self.max_batch}")
        if not self._free:
            if self._made == self.depth:
                raise RuntimeError(f"{self.depth} tickets are open: collect one first")
            self._free.append(_Request(self._compiled, self.head, self.size, self.max_batch))
            self._made += 1
        request = self._free.pop()
        placements = request.start([frame.image for frame in frames], notify)
        return _OpenVinoTicket(tuple(frame.stamp.camera for frame in frames), request, placements)

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _OpenVinoTicket) or ticket.request is None:
            raise ValueError("this ticket is spent or another detector's")
        request, ticket.request = ticket.request, None
        try:
            return self._answers.read(request.finish(len(ticket.placements)), ticket.placements)
        finally:
            self._free.append(request)

    def forget(self, camera: str) -> None:
        """Nothing is kept per camera."""

    def describe(self) -> dict[str, Any]:
        return {
            "engine": "openvino",
            "engine_version": ov.__version__,
            "model": str(self._file.path),
            "sha256": self._file.sha256,
            "head": self.head.name,
            "input": list(self.size),
            "precision": self._precision,
            "max_batch": self.max_batch,
            "score": self._score,
            "licence": self._file.licence,
            "warnings": self._file.warnings(),
        }

    def _choose_precision(self) -> str:
        able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if able and self._file.card.precision == "auto" else "f32"

    def _settings(self, threads: int, cache_dir: Path | None) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self._precision,
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            settings["CACHE_DIR"] = str(cache_dir)
        return settings

    def _read(self, file: ModelFile) -> tuple[ov.Model, tuple[int, int]]:
        graph = self._core.read_model(file.path)
        if len(graph.inputs) != 1:
            raise ModelRefused(f"{file.path}: {len(graph.inputs)} inputs, where a detector has one")
        shape = _shape(graph.input())
        size = file.input_size(shape)
        batch = -1 if shape[0] is None else shape[0]
        if batch > 1:
            raise ModelRefused(f"{file.path}: a fixed batch of {batch}: export it with batch 1 or a free one")
        if None in shape:
            graph.reshape([batch, 3, size[1], size[0]])
        return graph, size

    def raw_answer(self, image: Image) -> list[Floats]:
        """The model's own outputs for one picture, good until the next call: for benches and doubts."""
        request = self._free[-1]
        request.start([image])
        return request.finish(1)[0]

    def _try_out(self) -> None:
        """One grey frame, so that a model that cannot run is refused now; it also warms the engine up."""
        try:
            answer = self.raw_answer(np.full((self.size[1], self.size[0], 3), 114, np.uint8))
        except RuntimeError as error:
            raise ModelRefused(f"{self._file.path}: OpenVINO cannot run it: {_first_line(error)}") from error
        self._file.check_answer(self.head, answer)


class _OpenVinoTicket(Ticket):
    __slots__ = ("placements", "request")

    def __init__(self, cameras: tuple[str, ...], request: _Request, placements: list[Placement]) -> None:
        super().__init__(cameras)
        self.request: _Request | None = request
        self.placements = placements


class _Request:
    """An infer request with the canvases (B, H, W, 3) it reads from."""

    def __init__(self, compiled: ov.CompiledModel, head: Head, size: tuple[int, int], batch: int) -> None:
        self._request = compiled.create_infer_request()
        self._canvases: Image = np.zeros((batch, size[1], size[0], 3), np.uint8)
        self._boxes = [Letterbox(canvas, head.pixels) for canvas in self._canvases]
        self._batched = len(compiled.outputs[0].partial_shape) == 3
        self._count = 0
        self._notify: Callable[[], None] | None = None
        self._request.set_callback(self._done, None)

    def _done(self, _: object) -> None:
        if self._notify is not None:
            self._notify()

    def start(self, images: Sequence[Image], notify: Callable[[], None] | None = None) -> list[Placement]:
        placements = [box.put(image) for box, image in zip(self._boxes, images, strict=False)]
        if len(images) != self._count:
            self._count = len(images)
            self._request.set_input_tensor(ov.Tensor(self._canvases[: self._count], shared_memory=True))
        self._notify = notify
        self._request.start_async()
        return placements

    def finish(self, count: int) -> list[list[Floats]]:
        self._request.wait()
        outputs = [tensor.data for tensor in self._request.output_tensors]
        if self._batched:
            return [[output[i] for output in outputs] for i in range(count)]
        return [outputs]


def _fold_preprocessing(graph: ov.Model, head: Head) -> None:
    """Make the graph take (B, H, W, 3) uint8 in the model's channel order."""
    steps = PrePostProcessor(graph)
    picture = steps.input()
    picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    picture.model().set_layout(ov.Layout("NCHW"))
    picture.preprocess().convert_element_type(ov.Type.f32)
    if any(head.pixels.mean):
        picture.preprocess().mean(list(head.pixels.mean))
    picture.preprocess().scale(list(head.pixels.std))
    for i in range(len(graph.outputs)):
        steps.output(i).tensor().set_element_type(ov.Type.f32)
    steps.build()


def _shape(port: Any) -> Shape:
    return tuple(None if n.is_dynamic else n.get_length() for n in port.partial_shape)


def _first_line(error: Exception) -> str:
    """The last line that says something: OpenVINO puts source positions first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
