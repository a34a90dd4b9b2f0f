"""A graph that OpenVINO has compiled, and the requests that run frames through it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.detect.graph import ov, shape_of
from pipelines.detect.heads import Head
from pipelines.detect.letterbox import Letterbox, LetterboxPlacement, Pixels
from pipelines.detect.model import Postprocessor
from pipelines.values import Floats, Image

Size = tuple[int, int]


class CompiledGraph:
    """A compiled graph for one input size, what its answers mean, and its idle requests.

    Its last outputs are feature maps at `strides`, of so many `channels` each.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        head: Head,
        pixels: Pixels,
        size: Size,
        batch: int,
        postprocessor: Postprocessor,
        strides: tuple[int, ...] = (),
    ) -> None:
        self.head = head
        self.size = size
        self.postprocessor = postprocessor
        self.strides = strides
        outputs = compiled.outputs
        self.channels = [int(shape_of(port)[3] or 0) for port in outputs[len(outputs) - len(strides) :]]
        self.free: list[InferRequest] = []
        model = _SharedModel(compiled)
        self._make = lambda: InferRequest(model, head, pixels, size, batch, len(strides))

    def take(self) -> InferRequest:
        return self.free.pop() if self.free else self._make()  # type: ignore[no-untyped-call]


class _SharedModel:
    """A compiled graph, which outlives its requests.

    When it goes it joins its threads and holds Python's lock meanwhile. A thread that has run a request may
    still have the request's Python callback to dispose of, which needs the lock: both would wait for ever.
    So it is let go only when every callback has been disposed of.
    """

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.compiled = compiled
        self._requests: weakref.WeakSet[InferRequest] = weakref.WeakSet()
        self._callbacks: weakref.WeakSet[CompletionCallback] = weakref.WeakSet()
        weakref.finalize(self, drain_callbacks, compiled, self._requests, self._callbacks)

    def add(self, request: InferRequest) -> ov.InferRequest:
        self._requests.add(request)
        return self.compiled.create_infer_request()

    def callback(self) -> CompletionCallback:
        callback = CompletionCallback()
        self._callbacks.add(callback)
        return callback


def drain_callbacks(
    compiled: ov.CompiledModel,
    requests: weakref.WeakSet[InferRequest],
    callbacks: weakref.WeakSet[CompletionCallback],
) -> None:
    """Wait for what is running, then until no thread holds a callback of a request that is gone."""
    for request in requests:  # there are some only when Python exits
        request.wait()
    owned = len(requests)
    # Another run each time, since waiting for it leaves the lock to the thread that needs it.
    while len(callbacks) > owned:
        last = compiled.create_infer_request()
        last.start_async()
        last.wait()


class CompletionCallback:
    """Called when a request is done; apart from it, since the engine would keep a cycle alive for ever."""

    notify: Callable[[], None] | None = None

    def __call__(self, _: object) -> None:
        if self.notify is not None:
            self.notify()


class InferRequest:
    """An infer request with the canvases (B, H, W, 3) it reads from."""

    def __init__(
        self, model: _SharedModel, head: Head, pixels: Pixels, size: Size, batch: int, maps: int = 0
    ) -> None:
        self._request = model.add(self)
        self._output_count = len(model.compiled.outputs) - maps  # outputs before those of maps
        self._canvases: Image = np.zeros((batch, size[1], size[0], 3), np.uint8)
        self._letterboxes = [Letterbox(canvas, pixels) for canvas in self._canvases]
        self._batched = head.batched
        self._fixed = shape_of(model.compiled.inputs[0])[0]  # a run takes so many, whatever there is
        self._count = 0
        self._callback: CompletionCallback | None = None
        self._model = model  # the last to go of what is here

    def __del__(self) -> None:
        self.wait()  # memory that is computed on must not go

    def wait(self) -> None:
        """Wait until it is not running any more."""
        self._request.wait()

    def start(
        self, images: Sequence[Image], notify: Callable[[], None] | None = None
    ) -> list[LetterboxPlacement]:
        placements = [
            letterbox.put(image) for letterbox, image in zip(self._letterboxes, images, strict=False)
        ]
        if (self._fixed or len(images)) != self._count:
            self._count = self._fixed or len(images)
            self._request.set_input_tensor(ov.Tensor(self._canvases[: self._count], shared_memory=True))
        if notify is not None and self._callback is None:
            self._callback = self._model.callback()
            self._request.set_callback(self._callback, None)
        if self._callback is not None:
            self._callback.notify = notify
        self._request.start_async()
        return placements

    def drop_callback(self) -> None:
        """Let go of `notify`, which may hold the ticket, the graph and so this request itself."""
        if self._callback is not None:
            self._callback.notify = None

    def finish(self, count: int) -> list[list[Floats]]:
        """Each frame's share of each output but maps, good until the next start()."""
        self._request.wait()
        outputs = [tensor.data for tensor in self._request.output_tensors[: self._output_count]]
        if self._batched:
            return [[output[i] for output in outputs] for i in range(count)]
        return [outputs]

    def maps(self, index: int) -> list[Floats]:
        """Copies of a frame's maps (h, w, C), after finish()."""
        return [np.array(tensor.data[index]) for tensor in self._request.output_tensors[self._output_count :]]
