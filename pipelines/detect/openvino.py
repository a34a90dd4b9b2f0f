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
    cut_decoder,
    fold_preprocessing,
    name_nodes,
    ov,
    resize,
    shape_of,
)
from pipelines.detect.heads import Head
from pipelines.detect.heads.yolov8 import YoloV8Cut
from pipelines.detect.letterbox import Placement, fit
from pipelines.detect.model import Answers, ModelFile
from pipelines.detect.openvino_graph import Program, Request, Size
from pipelines.values import Detections, Frame, Image

STREAMS = 4  # at most; each has buffers of its own, about 25 MB for a net at 640
BATCH = 8  # frames a submit, where the graph's batch is free
CELL = 32  # pixels; inputs are multiples of the widest stride
PROGRAMS = 4  # shapes of picture with a program of their own; each costs a compilation and some memory
USUAL = (16, 9)  # the shape that is compiled at the start; others are when their first frame comes


class OpenVinoDetector:
    """Raises ModelRefused if the file cannot be loaded and run on one frame. `threads` 0: all cores.

    With the card's `input_shape: picture` the first frame of a new shape (4:3 after 16:9) waits for a
    compilation: a second or so, or a third of that from `cache_dir`.
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
        self.parallel = min(threads, STREAMS)
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
            self.max_batch = BATCH if self._batch is None else 1
            self._open = 0
            self._strides: tuple[int, ...] = ()  # of the maps that frames come with
            self._programs: dict[Size, Program] = {}
            self._rectangles = file.card.input_shape == "picture"
            self._try_out()
        except RuntimeError as error:
            raise ModelRefused(f"{path}: OpenVINO cannot load or run it: {_reason(error)}") from error

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        if not 1 <= len(frames) <= self.max_batch:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self.max_batch}")
        if self._open == self.depth:
            raise RuntimeError(f"{self.depth} tickets are open: collect one first")
        images = [frame.image for frame in frames]
        program = self._program(images)
        request = program.take()
        placements = request.start(images, notify)
        self._open += 1
        return _OpenVinoTicket(tuple(frame.stamp.camera for frame in frames), program, request, placements)

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _OpenVinoTicket) or ticket.request is None:
            raise ValueError("this ticket is spent or another detector's")
        request, ticket.request = ticket.request, None
        self._open -= 1
        program, places = ticket.program, ticket.placements
        try:
            found = program.answers.read(request.finish(len(places)), places, faint=ticket.faint)
            if not ticket.maps or not program.strides:
                return found
            maps = [request.maps(i) for i in range(len(places))]
        finally:
            request.forget()
            program.free.append(request)
        return [
            replace(each, maps=frame_maps(program.strides, mine, place, program.size))
            for each, mine, place in zip(found, maps, places, strict=True)
        ]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        """Costs a compilation; the program without them serves until that is done."""
        if self._rectangles:
            raise ModelRefused(
                f"{self._file.path}: its card says `input_shape: picture`, and actions from its feature maps "
                "are trained at its own input: set it to `fixed`"
            )
        before = self._strides
        self._strides = tuple(sorted({*before, *strides}))
        try:
            if self._strides != before and (program := self._compiled(self.size)) is not None:
                self._programs = {self.size: program}
        except (ModelRefused, RuntimeError) as error:
            self._strides = before
            raise ModelRefused(str(error)) from error
        program = self._programs[self.size]
        return sum(program.channels[program.strides.index(stride)] for stride in strides)

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
            "compiled": [list(size) for size in self._programs],
            "precision": self._precision(),
            "max_batch": self.max_batch,
            "score": self._limits.sure,
            "licence": self._file.licence,
            "warnings": self._file.warnings(),
        }

    def _precision(self) -> str:
        able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if able and self._file.card.precision == "auto" else "f32"

    def _program(self, images: Sequence[Image]) -> Program:
        """The program of the smallest input that holds all `images` at the model's scale."""
        if not self._rectangles:
            return self._programs.get(self.size) or self._compile(self.size)
        wide, high = 0, 0
        for image in images:
            width, height = fit(image.shape[1], image.shape[0], *self.size)
            wide, high = max(wide, width), max(high, height)
        size = (min(-(-wide // CELL) * CELL, self.size[0]), min(-(-high // CELL) * CELL, self.size[1]))
        program = self._programs.get(size)
        if program is not None:
            return program
        if len(self._programs) >= PROGRAMS:
            size = self.size
        return self._programs.get(size) or self._compile(size)

    def _compile(self, size: Size) -> Program:
        """Where the graph cannot take a rectangle, all pictures go through the square's program."""
        program = self._compiled(size)
        if program is None:
            self._rectangles = False
            return self._programs.get(self.size) or self._compile(self.size)
        self._programs[size] = program
        return program

    def _compiled(self, size: Size) -> Program | None:
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
        answers = Answers(head, self.labels, size, self._limits, self._file.card.nms_iou)
        return Program(compiled, head, size, self.max_batch, answers, self._strides)

    def _prepare(self, size: Size) -> tuple[Graph, Head] | None:
        """The graph for this input size and its head; None if its inner shapes are fixed to another size."""
        graph = self._core.read_model(self._file.path)
        cut = cut_decoder(graph) if self.head.name == "yolov8" else None
        graph = graph if cut is None else cut
        rectangle = size != self.size
        if (rectangle or graph.is_dynamic()) and not resize(graph, self._batch, size):
            return None
        shapes = [shape_of(output) for output in graph.outputs]
        if cut is not None:
            return graph, YoloV8Cut(self.head.classes, *size)
        try:
            return graph, self._file.head(size, shapes)
        except ModelRefused:
            if rectangle:
                return None
            raise

    def _try_out(self) -> None:
        """One grey frame, so that a model that cannot run is refused now; it also warms the engine up."""
        height = min(self.size[1], self.size[0] * USUAL[1] // USUAL[0])
        image: Image = np.full((height, self.size[0], 3), 114, np.uint8)
        program = self._program([image])
        request = program.take()
        request.start([image])
        self._file.check_answer(program.head, request.finish(1)[0])
        program.free.append(request)


class _OpenVinoTicket(Ticket):
    __slots__ = ("placements", "program", "request")

    def __init__(
        self, cameras: tuple[str, ...], program: Program, request: Request, placements: list[Placement]
    ) -> None:
        super().__init__(cameras)
        self.program = program
        self.request: Request | None = request
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
