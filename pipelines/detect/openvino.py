"""Detection by OpenVINO, the default engine on Intel and AMD processors.

Frames are letterboxed straight into the input tensors of a few infer requests. Several of them compute side
by side, each on a thread of its own (OpenVINO's streams): no thread waits for another within a layer, and a
frame costs a fifth less than when all threads share it. It takes longer by itself, which matters only where
one frame at a time is waited for. What is done to the graph first: graph.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import ModelRefused
from pipelines.detect.feature_maps import choose_maps, frame_maps
from pipelines.detect.graph import (
    Graph,
    add_maps,
    branching_ports,
    fold_preprocessing,
    name_nodes,
    ov,
    resize,
    shape_of,
)
from pipelines.detect.heads import Head
from pipelines.detect.letterbox import LetterboxPlacement, fit
from pipelines.detect.model import ModelFile, Postprocessor
from pipelines.detect.openvino_graph import CompiledGraph, InferRequest, Size
from pipelines.values import Detections, Frame, Image, Stamp

MAX_STREAMS = 4  # at most; each has buffers of its own, about 25 MB for a net at 640
MAX_BATCH = 8  # frames a submit, where the graph's batch is free
CELL = 32  # pixels; inputs are multiples of the widest stride
MAX_GRAPHS = 4  # shapes of picture with a graph of their own; each costs a compilation and some memory
NO_STAMP = Stamp("", 0, 0, 0, 0, 0)  # of the warm-up's picture
WARM_UP_ASPECT = (16, 9)  # the shape that is compiled at the start; others are when their first frame comes


class OpenVinoDetector:
    """Raises ModelRefused if the file cannot be loaded and run on one frame. `threads` 0: all cores.

    With the card's `input_shape: picture` the first frame of a new shape (4:3 after 16:9) waits for a
    compilation: a second or so, or a third of that from `cache_dir`. So does the first part of a picture of
    its size (`Frame.whole`), of whatever card.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard | None = None,
        *,
        threads: int = 0,
        cache_dir: Path | None = None,
        score: float | None = None,
    ) -> None:
        self._file = file = ModelFile.read(path, card)
        self._core = ov.Core()
        threads = threads or len(os.sched_getaffinity(0))
        self.parallel = min(threads, MAX_STREAMS)
        self.depth = 3 * self.parallel  # computing, done and waiting for an older one, being read
        self._settings = _settings(self._precision(), threads, self.parallel, cache_dir)
        self._limits = file.card.limits(score)
        try:
            graph = self._core.read_model(path)
            if len(graph.inputs) != 1:
                raise ModelRefused(f"{path}: {len(graph.inputs)} inputs, where a detector has one")
            shape = shape_of(graph.input())
            self._batch = shape[0]
            self.size = file.input_size(shape)
            if self._batch is not None and self._batch > 1:
                raise ModelRefused(f"{path}: a fixed batch of {self._batch}: export it with batch 1 or free")
            if None in shape:
                resize(graph, self._batch, self.size)
            self.head = file.head(self.size, [shape_of(output) for output in graph.outputs])
            self.labels = file.labels(self.head)
            self.joints = file.joints(self.head)
            self.max_batch = MAX_BATCH if self._batch is None else 1
            self._open_tickets = 0
            self._strides: tuple[int, ...] = ()  # of the maps that frames come with
            self._graphs: dict[Size, CompiledGraph] = {}
            self._rectangular = file.card.input_shape == "picture"
            self._resizable = True  # until another input is asked of it
            self._warm_up()
        except RuntimeError as error:
            raise ModelRefused(f"{path}: OpenVINO cannot load or run it: {_reason(error)}") from error

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        if not 1 <= len(frames) <= self.max_batch:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self.max_batch}")
        if self._open_tickets == self.depth:
            raise RuntimeError(f"{self.depth} tickets are open: collect one first")
        images = [frame.image for frame in frames]
        compiled = self._graph_for(frames)
        request = compiled.take()
        placements = request.start(images, notify)
        self._open_tickets += 1
        return _OpenVinoTicket(tuple(frame.stamp.camera for frame in frames), compiled, request, placements)

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _OpenVinoTicket) or ticket.request is None:
            raise ValueError("this ticket is spent or another detector's")
        request, ticket.request = ticket.request, None
        self._open_tickets -= 1
        compiled, places = ticket.compiled, ticket.placements
        try:
            detections = compiled.postprocessor.run(
                request.finish(len(places)), places, low_confidence=ticket.low_confidence
            )
            if not ticket.maps or not compiled.strides:
                return detections
            maps = [request.maps(i) for i in range(len(places))]
        finally:
            request.drop_callback()
            compiled.free.append(request)
        return [
            replace(each, maps=frame_maps(compiled.strides, mine, place, compiled.size))
            for each, mine, place in zip(detections, maps, places, strict=True)
        ]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        """Costs a compilation; the graph without them serves until that is done."""
        if self._rectangular:
            raise ModelRefused(
                f"{self._file.path}: its card says `input_shape: picture`, and actions from its feature maps "
                "are trained at its own input: set it to `fixed`"
            )
        before = self._strides
        self._strides = tuple(sorted({*before, *strides}))
        try:
            if self._strides != before and (compiled := self._compile(self.size)) is not None:
                self._graphs = {self.size: compiled}
        except (ModelRefused, RuntimeError) as error:
            self._strides = before
            raise ModelRefused(str(error)) from error
        compiled = self._graphs[self.size]
        return sum(compiled.channels[compiled.strides.index(stride)] for stride in strides)

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
            "compiled": [list(size) for size in self._graphs],
            "precision": self._precision(),
            "max_batch": self.max_batch,
            "score": self._limits.high,
            "licence": self._file.licence,
            "warnings": self._file.warnings(),
        }

    def _precision(self) -> str:
        able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if able and self._file.card.precision == "auto" else "f32"

    def _graph_for(self, frames: Sequence[Frame]) -> CompiledGraph:
        """The graph of the smallest input that holds all frames at the model's scale."""
        wide, high = 0, 0
        for frame in frames:
            width, height = self._input_for(frame)
            wide, high = max(wide, width), max(high, height)
        size = (min(-(-wide // CELL) * CELL, self.size[0]), min(-(-high // CELL) * CELL, self.size[1]))
        compiled = self._graphs.get(size)
        if compiled is not None:
            return compiled
        if len(self._graphs) >= MAX_GRAPHS:
            size = self._smallest_compiled(size)
        return self._graphs.get(size) or self._compile_and_keep(size)

    def _input_for(self, frame: Frame) -> Size:
        """The (width, height) that a frame needs: a part of a picture is no larger in it than in the whole.

        Inputs have the shape of the model's own, unless the card lets them have the picture's.
        """
        high, wide = frame.image.shape[:2]
        part = frame.whole is not None and self._resizable
        if not (part or self._rectangular):
            return self.size
        if not part:
            return fit(wide, high, *self.size)
        assert frame.whole is not None
        scale = min(self.size[0] / frame.whole[0], self.size[1] / frame.whole[1])
        if self._rectangular:
            return ceil(wide * scale), ceil(high * scale)
        share = max(wide * scale / self.size[0], high * scale / self.size[1])
        return ceil(self.size[0] * share), ceil(self.size[1] * share)

    def _smallest_compiled(self, size: Size) -> Size:
        """Of the inputs that have a graph the smallest that holds this one; the model's own where none."""
        fitting = [have for have in self._graphs if have[0] >= size[0] and have[1] >= size[1]]
        return min(fitting, key=lambda have: have[0] * have[1], default=self.size)

    def _compile_and_keep(self, size: Size) -> CompiledGraph:
        """Where the graph cannot take another input, all pictures go through its own."""
        compiled = self._compile(size)
        if compiled is None:
            self._rectangular = self._resizable = False
            return self._graphs.get(self.size) or self._compile_and_keep(self.size)
        self._graphs[size] = compiled
        return compiled

    def _compile(self, size: Size) -> CompiledGraph | None:
        prepared = self._prepare(size)
        if prepared is None:
            return None
        graph, head = prepared
        if self._strides:
            ports = branching_ports(graph)
            shapes = [shape_of(port) for port in ports]
            chosen = choose_maps(shapes, size, self._strides, str(self._file.path))
            add_maps(graph, [ports[i] for i in chosen])
        fold_preprocessing(graph, head.pixels)
        name_nodes(graph)
        compiled = self._core.compile_model(graph, "CPU", self._settings)
        postprocessor = Postprocessor(head, self.labels, size, self._limits, self._file.card.nms_iou)
        return CompiledGraph(compiled, head, size, self.max_batch, postprocessor, self._strides)

    def _prepare(self, size: Size) -> tuple[Graph, Head] | None:
        """The graph for this input size and its head; None if its inner shapes are fixed to another size."""
        graph = self._core.read_model(self._file.path)
        prepared = self.head.prepare(graph, size)
        graph = graph if prepared is None else prepared[0]
        rectangle = size != self.size
        if (rectangle or graph.is_dynamic()) and not resize(graph, self._batch, size):
            return None
        if prepared is not None:
            return prepared
        try:
            return graph, self._file.head(size, [shape_of(output) for output in graph.outputs])
        except ModelRefused:
            if rectangle:
                return None
            raise

    def _warm_up(self) -> None:
        """One grey frame, so that a model that cannot run is refused now; it also warms the engine up."""
        height = min(self.size[1], self.size[0] * WARM_UP_ASPECT[1] // WARM_UP_ASPECT[0])
        image: Image = np.full((height, self.size[0], 3), 114, np.uint8)
        compiled = self._graph_for([Frame(NO_STAMP, image)])
        request = compiled.take()
        request.start([image])
        self._file.check_answer(compiled.head, request.finish(1)[0])
        compiled.free.append(request)


class _OpenVinoTicket(Ticket):
    __slots__ = ("compiled", "placements", "request")

    def __init__(
        self,
        cameras: tuple[str, ...],
        compiled: CompiledGraph,
        request: InferRequest,
        placements: list[LetterboxPlacement],
    ) -> None:
        super().__init__(cameras)
        self.compiled = compiled
        self.request: InferRequest | None = request
        self.placements = placements


def _settings(precision: str, threads: int, streams: int, cache_dir: Path | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        # With it each thread is held on a core, from the first one on: while another process is busy there a
        # frame waits although other cores are free, and two workers of one thread each share one core.
        "ENABLE_CPU_PINNING": False,
    }
    if cache_dir is not None:
        settings["CACHE_DIR"] = str(cache_dir)
    return settings


def _reason(error: Exception) -> str:
    """The last line that says something: OpenVINO puts source positions first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
