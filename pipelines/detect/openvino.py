"""Detection by OpenVINO, the default engine on Intel and AMD processors.

Frames are letterboxed straight into the input tensors of a few infer requests. Several of them compute side
by side, each on a thread of its own (OpenVINO's streams): no thread waits for another within a layer, and a
frame costs a fifth less than when all threads share it. It takes longer by itself, which matters only where
one frame at a time is waited for. What is done to the graph first: graph.py.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import EngineFailed, InferenceRejected, ModelRefused
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
from pipelines.detect.graph_inputs import inputs_of, same_with_any_batch, take_pictures
from pipelines.detect.heads import Head
from pipelines.detect.letterbox import LetterboxPlacement, in_cells, input_shape
from pipelines.detect.model import ModelFile, Postprocessor, how_it_runs, told_of_masks
from pipelines.detect.openvino_graph import CompiledGraph, InferRequest, Size
from pipelines.values import Detections, Frame, Image

MAX_STREAMS = 4  # at most; each has buffers of its own, about 25 MB for a net at 640
MAX_BATCH = 8  # frames a submit, where the graph's batch is free
MAX_GRAPHS = 6  # shapes of input with a graph of their own; pictures of further ones go through the square
WARM_UP_ASPECT = (16, 9)  # the shape that is compiled at the start; others by prepare() or a first frame


class OpenVinoDetector:
    """Raises ModelRefused if the file cannot be loaded and run on one frame. `threads` 0: all cores.

    With the card's `input_shape: picture` each shape of picture (4:3 after 16:9) is computed by a graph of
    its own, alone or in a batch with others, so that what is found does not depend on who is beside it. So is
    each part of a picture by its size (`Frame.whole`), of whatever card. Where prepare() has not compiled
    that graph, the first frame waits for it.
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
        self._limits = file.card.limits(score)
        try:
            graph = self._core.read_model(path)
            self._picture = picture = file.picture(inputs_of(graph))
            self._batch = picture.batch
            self.size = file.input_size(picture.shape)
            take_pictures(graph, picture, self.size)
            if None in picture.shape:
                resize(graph, self._batch, self.size)
            self.head = self._head_of(graph, self.size)
            self.labels = file.labels(self.head)
            self.joints = file.joints(self.head)
            self._pixels = picture.pixels(self.head.pixels)
            self._settings = _settings(self._precision(), threads, self.parallel, cache_dir)
            if (self._batch or 1) > 1 and self._can_be_freed():
                self._batch = None
            self.max_batch = (self._batch or MAX_BATCH) if self.head.batched else 1
            self._open_tickets = 0
            self._strides: tuple[int, ...] = ()  # of the maps that frames come with
            self._graphs: dict[Size, CompiledGraph] = {}
            self._rectangular = file.card.input_shape == "picture"
            self._resizable = True  # until another input is asked of it
            self._warm_up()
        except RuntimeError as error:
            raise EngineFailed(f"{path}: OpenVINO cannot load or run it: {_reason(error)}") from error

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        if not 1 <= len(frames) <= self.max_batch:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self.max_batch}")
        if self._open_tickets == self.depth:
            raise RuntimeError(f"{self.depth} tickets are open: collect one first")
        parts = self._start(frames, notify)
        self._open_tickets += 1
        return _OpenVinoTicket(tuple(frame.stamp.camera for frame in frames), parts)

    def _start(self, frames: Sequence[Frame], notify: Callable[[], None] | None) -> list[_Part]:
        images = [frame.image for frame in frames]
        by_graph: dict[CompiledGraph, list[int]] = {}
        for i, frame in enumerate(frames):
            high, wide = frame.image.shape[:2]
            by_graph.setdefault(self._graph_for(wide, high, frame.whole), []).append(i)
        last = notify if notify is None or len(by_graph) == 1 else _after(len(by_graph), notify)
        parts = []
        for compiled, places in by_graph.items():
            request = compiled.take()
            placements = request.start([images[i] for i in places], last)
            parts.append(_Part(compiled, request, placements, places))
        return parts

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _OpenVinoTicket) or ticket.parts is None:
            raise ValueError("this ticket is spent or another detector's")
        parts, ticket.parts = ticket.parts, None
        self._open_tickets -= 1
        found: dict[int, Detections | None] = {}
        reasons: dict[int, str] = {}
        try:
            for part in parts:
                given = _read(part, ticket)
                found.update(zip(part.places, given.found, strict=True))
                reasons.update({part.places[i]: why for i, why in given.reasons.items()})
        finally:
            for part in parts:
                part.request.wait()  # of one that was not read
                part.request.drop_callback()
                part.compiled.free.append(part.request)
        ordered = [found[i] for i in range(len(found))]
        if reasons:
            raise InferenceRejected(reasons, tuple(ordered))
        return [detections for detections in ordered if detections is not None]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        """Costs a compilation; the graph without them serves until that is done. From then on every picture
        lies in the model's own square, whatever the card says: what is trained on maps is trained on those.
        """
        before = self._strides
        self._strides = tuple(sorted({*before, *strides}))
        try:
            if (self._strides != before or self._rectangular) and (
                compiled := self._compile(self.size)
            ) is not None:
                self._graphs = {**self._graphs, self.size: compiled}
                self._rectangular = False  # before the others go: a frame of now finds one or the other
                self._graphs = {self.size: compiled}
        except (ModelRefused, RuntimeError) as error:
            self._strides = before
            raise ModelRefused(str(error)) from error
        compiled = self._graphs[self.size]
        return sum(compiled.channels[compiled.strides.index(stride)] for stride in strides)

    def is_prepared(self, width: int, height: int, whole: Size | None = None) -> bool:
        return self._input_for(width, height, whole) in self._graphs

    def prepare(self, width: int, height: int, whole: Size | None = None) -> None:
        """Raises ModelRefused where the graph for it cannot be compiled."""
        try:
            self._graph_for(width, height, whole)
        except RuntimeError as error:
            raise ModelRefused(f"{self._file.path}: OpenVINO cannot compile it: {_reason(error)}") from error

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
            "runs": how_it_runs(self.max_batch, self.parallel, self._picture.batch),
            **told_of_masks(self.head),
            "warnings": self._file.warnings(self.head),
        }

    def _precision(self) -> str:
        able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if able and self._file.card.precision == "auto" and not self.head.exact else "f32"

    def _graph_for(self, width: int, height: int, whole: Size | None = None) -> CompiledGraph:
        size = self._input_for(width, height, whole)
        return self._graphs.get(size) or self._compile_and_keep(size)

    def _input_for(self, width: int, height: int, whole: Size | None) -> Size:
        """The smallest input that holds a picture of this size at the model's scale; a part of a picture at
        the scale of the `whole`.

        Inputs have the shape of the model's own, unless the card lets them have the picture's.
        """
        part = whole is not None and self._resizable
        if not (part or self._rectangular):
            return self.size
        size = self._part_input(width, height, whole) if part else input_shape(width, height, self.size)
        if size in self._graphs or len(self._graphs) < MAX_GRAPHS:
            return size
        return self._smallest_compiled(size) if part else self.size

    def _part_input(self, width: int, height: int, whole: Size | None) -> Size:
        assert whole is not None
        scale = min(self.size[0] / whole[0], self.size[1] / whole[1])
        wide, high = width * scale, height * scale
        if not self._rectangular:
            share = max(wide / self.size[0], high / self.size[1])
            wide, high = self.size[0] * share, self.size[1] * share
        return in_cells(ceil(wide), ceil(high), self.size)

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
        self._graphs = {**self._graphs, size: compiled}  # another thread may be reading the one before
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
        fold_preprocessing(graph, self._pixels)
        name_nodes(graph)
        compiled = self._core.compile_model(graph, "CPU", self._settings)
        postprocessor = Postprocessor(head, self.labels, size, self._limits, self._file.card.nms_iou)
        return CompiledGraph(compiled, head, self._pixels, size, self.max_batch, postprocessor, self._strides)

    def _prepare(self, size: Size) -> tuple[Graph, Head] | None:
        """The graph for this input size and its head; None if its inner shapes are fixed to another size."""
        graph = self._core.read_model(self._file.path)
        take_pictures(graph, self._picture, size)
        prepared = self.head.prepare(graph, size)
        graph = graph if prepared is None else prepared[0]
        rectangle = size != self.size
        other = rectangle or self._batch != self._picture.batch
        if (other or graph.is_dynamic()) and not resize(graph, self._batch, size):
            return None
        if prepared is not None:
            return prepared
        try:
            head = self._head_of(graph, size)
        except ModelRefused:
            if rectangle:
                return None
            raise
        return None if rectangle and type(head) is not type(self.head) else (graph, head)

    def _head_of(self, graph: Graph, size: Size) -> Head:
        ports = graph.outputs
        names = [next(iter(port.get_names()), "") for port in ports]
        whole = [port.get_element_type().is_integral() for port in ports]
        return self._file.head(size, [shape_of(port) for port in ports], names, whole)

    def _can_be_freed(self) -> bool:
        """Whether the graph answers alike when its fixed batch is made free; costs two compilations."""
        fixed, free = self._prepare(self.size), self._prepare(self.size)
        if fixed is None or free is None or not resize(free[0], None, self.size):
            return False
        settings = self._settings | {"INFERENCE_PRECISION_HINT": "f32"}
        return self.head.batched and same_with_any_batch(self._core, fixed[0], free[0], settings)

    def _warm_up(self) -> None:
        """One grey frame, so that a model that cannot run is refused now; it also warms the engine up."""
        height = min(self.size[1], self.size[0] * WARM_UP_ASPECT[1] // WARM_UP_ASPECT[0])
        image: Image = np.full((height, self.size[0], 3), 114, np.uint8)
        compiled = self._graph_for(*image.shape[1::-1])
        request = compiled.take()
        request.start([image])
        self._file.check_answer(compiled.head, request.finish(1)[0])
        compiled.free.append(request)


@dataclass(frozen=True, slots=True)
class _Part:
    """The pictures of a batch that one graph computes, and their places in the batch."""

    compiled: CompiledGraph
    request: InferRequest
    placements: list[LetterboxPlacement]
    places: list[int]


class _OpenVinoTicket(Ticket):
    __slots__ = ("parts",)

    def __init__(self, cameras: tuple[str, ...], parts: list[_Part]) -> None:
        super().__init__(cameras)
        self.parts: list[_Part] | None = parts


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found in each picture of a part; None, and the reason, where its answer is no set of boxes."""

    found: Sequence[Detections | None]
    reasons: Mapping[int, str]


def _read(part: _Part, ticket: Ticket) -> _Answer:
    """Wait for a part and read it."""
    compiled, places = part.compiled, part.placements
    outputs = part.request.finish(len(places))
    try:
        found = compiled.postprocessor.run(outputs, places, low_confidence=ticket.low_confidence)
    except InferenceRejected as error:
        return _Answer(error.detections, error.reasons)
    if ticket.maps and compiled.strides:
        maps = [part.request.maps(i) for i in range(len(places))]
        found = [
            replace(each, maps=frame_maps(compiled.strides, mine, place, compiled.size))
            for each, mine, place in zip(found, maps, places, strict=True)
        ]
    return _Answer(found, {})


def _after(count: int, notify: Callable[[], None]) -> Callable[[], None]:
    """Calls `notify` when it has been called `count` times, from whatever threads."""
    calls = itertools.count(1)  # its next() is one step

    def one_done() -> None:
        if next(calls) == count:
            notify()

    return one_done


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
