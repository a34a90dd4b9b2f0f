"""A graph that OpenVINO has compiled, and the requests that run frames through it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.detect.graph import ov, shape_of
from pipelines.detect.heads import Head
from pipelines.detect.letterbox import Letterbox, Placement
from pipelines.detect.model import Answers
from pipelines.values import Floats, Image

Size = tuple[int, int]


class Program:
    """A compiled graph for one input size, what its answers mean, and its idle requests.

    Its last outputs are feature maps at `strides`, of so many `channels` each.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        head: Head,
        size: Size,
        batch: int,
        answers: Answers,
        strides: tuple[int, ...] = (),
    ) -> None:
        self.head = head
        self.size = size
        self.answers = answers
        self.strides = strides
        outputs = compiled.outputs
        self.channels = [int(shape_of(port)[3] or 0) for port in outputs[len(outputs) - len(strides) :]]
        self.free: list[Request] = []
        engine = _Engine(compiled)
        self._make = lambda: Request(engine, head, size, batch, len(strides))

    def take(self) -> Request:
        return self.free.pop() if self.free else self._make()  # type: ignore[no-untyped-call]


class _Engine:
    """A compiled graph, which outlives its requests.

    When it goes it joins its threads and holds Python's lock meanwhile. A thread that has run a request may
    still have the request's Python callback to dispose of, which needs the lock: both would wait for ever.
    So it is let go only when every callback has been disposed of.
    """

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.compiled = compiled
        self._requests: weakref.WeakSet[Request] = weakref.WeakSet()
        self._bells: weakref.WeakSet[_Bell] = weakref.WeakSet()
        weakref.finalize(self, _quiet, compiled, self._requests, self._bells)

    def add(self, request: Request) -> ov.InferRequest:
        self._requests.add(request)
        return self.compiled.create_infer_request()

    def bell(self) -> _Bell:
        bell = _Bell()
        self._bells.add(bell)
        return bell


def _quiet(
    compiled: ov.CompiledModel, requests: weakref.WeakSet[Request], bells: weakref.WeakSet[_Bell]
) -> None:
    """Wait for what is running, then until no thread holds a callback of a request that is gone."""
    for request in requests:  # there are some only when Python exits
        request.settle()
    owned = len(requests)
    while len(bells) > owned:  # another run, since waiting for it leaves the lock to the thread that needs it
        last = compiled.create_infer_request()
        last.start_async()
        last.wait()


class _Bell:
    """Rings when a request is done; apart from it, since the engine would keep a cycle alive for ever."""

    notify: Callable[[], None] | None = None

    def __call__(self, _: object) -> None:
        if self.notify is not None:
            self.notify()


class Request:
    """An infer request with the canvases (B, H, W, 3) it reads from."""

    def __init__(self, engine: _Engine, head: Head, size: Size, batch: int, maps: int = 0) -> None:
        self._request = engine.add(self)
        self._answers = len(engine.compiled.outputs) - maps  # outputs before those of maps
        self._canvases: Image = np.zeros((batch, size[1], size[0], 3), np.uint8)
        self._boxes = [Letterbox(canvas, head.pixels) for canvas in self._canvases]
        self._batched = len(engine.compiled.outputs[0].partial_shape) == 3
        self._count = 0
        self._bell: _Bell | None = None
        self._engine = engine  # the last to go of what is here

    def __del__(self) -> None:
        self.settle()  # memory that is computed on must not go

    def settle(self) -> None:
        """Wait until it is not running any more."""
        self._request.wait()

    def start(self, images: Sequence[Image], notify: Callable[[], None] | None = None) -> list[Placement]:
        placements = [box.put(image) for box, image in zip(self._boxes, images, strict=False)]
        if len(images) != self._count:
            self._count = len(images)
            self._request.set_input_tensor(ov.Tensor(self._canvases[: self._count], shared_memory=True))
        if notify is not None and self._bell is None:
            self._bell = self._engine.bell()
            self._request.set_callback(self._bell, None)
        if self._bell is not None:
            self._bell.notify = notify
        self._request.start_async()
        return placements

    def forget(self) -> None:
        """Let go of `notify`, which may hold the ticket, the program and so this request itself."""
        if self._bell is not None:
            self._bell.notify = None

    def finish(self, count: int) -> list[list[Floats]]:
        """Each frame's share of each output but maps, good until the next start()."""
        self._request.wait()
        outputs = [tensor.data for tensor in self._request.output_tensors[: self._answers]]
        if self._batched:
            return [[output[i] for output in outputs] for i in range(count)]
        return [outputs]

    def maps(self, index: int) -> list[Floats]:
        """Copies of a frame's maps (h, w, C), after finish()."""
        return [np.array(tensor.data[index]) for tensor in self._request.output_tensors[self._answers :]]
