"""Compiles what a detector needs for a new shape of picture, on a thread, while other cameras go on.

A camera's frames wait for that (the newest alone is kept); those of the other cameras do not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipelines.detect.detector import Detector, PreparesShapes
from pipelines.detect.errors import ModelRefused
from pipelines.region.crop import PictureShape
from streamer.workers.infer.loader import yield_to_others

log = logging.getLogger(__name__)


class ShapePreparer:
    """`wake` is called from the thread when something has been compiled; ready() then says so."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._queue: list[tuple[PreparesShapes, PictureShape]] = []
        self._refused: list[tuple[PreparesShapes, PictureShape]] = []
        self._thread: threading.Thread | None = None

    def ready(self, detector: Detector, shape: PictureShape) -> bool:
        """Whether a picture of this shape may be submitted: the detector would start it at once, or has
        refused to be prepared for it, which submit() then says."""
        if not isinstance(detector, PreparesShapes) or detector.is_prepared(*shape):
            return True
        wanted = (detector, shape)
        with self._lock:
            if wanted in self._refused:
                return True
            if wanted not in self._queue:
                self._queue.append(wanted)
                self._begin()
        return False

    def _begin(self) -> None:
        """With the lock held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shape preparer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        yield_to_others()
        while True:
            with self._lock:
                if not self._queue:
                    self._thread = None
                    return
                detector, shape = self._queue[0]
            refused = _refuses(detector, shape)
            with self._lock:
                wanted = self._queue.pop(0)
                if refused:
                    self._refused.append(wanted)
            self._wake()


def _refuses(detector: PreparesShapes, shape: PictureShape) -> bool:
    try:
        detector.prepare(*shape)
    except (ModelRefused, MemoryError) as error:
        log.error("pictures of %dx%d cannot be detected in: %s", shape.width, shape.height, error)
        return True
    except Exception:  # its cameras would wait for ever
        log.exception("the detector cannot be prepared for pictures of %dx%d", shape.width, shape.height)
        return True
    return False
