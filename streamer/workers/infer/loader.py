"""Pipelines and scenes by their specification, loaded on a thread so that other cameras go on meanwhile.

What could not be loaded is tried again: as soon as one of its files has changed, and else after a pause that
doubles from try to try.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pipelines.actions.card import files_of
from pipelines.actions.factory import create_engine, takes_maps
from pipelines.detect.detector import Detector
from pipelines.pipeline import Pipeline
from pipelines.scene.model import SceneModel
from pipelines.spec import PipelineSpec, SceneSpec
from streamer.errors import StreamerError
from streamer.models.auto_tune import fitting
from streamer.models.file_fingerprint import Fingerprint, fingerprint_of, fingerprints_of
from streamer.models.model_handle import ModelHandle, open_detector, square
from streamer.models.store import ModelStore

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")
NICE = 10  # added for the threads that compute; the kernel gives them a tenth of what it gives to others
RETRY_S, MAX_RETRY_S = 5.0, 60.0  # the first pause before another try, and the longest

_REFUSALS = (StreamerError, ValueError, OSError, MemoryError)

Fingerprints = tuple[Fingerprint, ...]  # of each file


@dataclass(slots=True)
class _Failure:
    """Why there is nothing, what its files were like then, and when another try is due."""

    text: str
    fingerprints: Fingerprints
    pause_s: float
    retry_at_s: float


class Loader(ABC, Generic[Loaded]):
    """Hands out what a specification names, the same one to every camera that asks for it.

    `wake` is called from the loading thread when something has finished; `get` then says what.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._loaded: dict[str, Loaded] = {}
        self._failed: dict[str, _Failure] = {}
        self._thread: threading.Thread | None = None
        self._queue: list[str] = []

    @abstractmethod
    def _load(self, spec_json: str) -> Loaded:
        """Raises StreamerError, ValueError or OSError, of which the text is what get() says."""

    @abstractmethod
    def _files(self, spec_json: str) -> list[Path]:
        """The files that decide whether it can be loaded, there or not. Raises as _load() does."""

    def start_loading(self, spec_json: str) -> None:
        """Begin to load unless it is loaded or being loaded; a failed one is tried anew."""
        with self._lock:
            self._failed.pop(spec_json, None)
            self._enqueue(spec_json)

    def get(self, spec_json: str) -> Loaded | str | None:
        """What start_loading() was asked for, or why there is none, or None while it is being loaded."""
        with self._lock:
            if spec_json in self._loaded or spec_json in self._queue:
                return self._loaded.get(spec_json)
            failure = self._failed.get(spec_json)
            return failure.text if failure is not None else None

    def retry(self, now_s: float) -> bool:
        """Begin to load again what failed and is due, or whose files are not what they were; whether there
        was any. To be called about once a second.
        """
        with self._lock:
            failed = [(spec, failure) for spec, failure in self._failed.items() if spec not in self._queue]
        due = [
            spec
            for spec, failure in failed
            if now_s >= failure.retry_at_s or self._fingerprints(spec) != failure.fingerprints
        ]
        with self._lock:
            for spec_json in due:
                self._enqueue(spec_json)
        return bool(due)

    def attempt(self, spec_json: str) -> Loaded | str:
        """Load it at once, on this thread: what was asked for, or why there is none."""
        try:
            return self._load(spec_json)
        except _REFUSALS as error:
            return str(error) or type(error).__name__
        except Exception as error:  # its thread would die with all that waits to be loaded
            log.exception("a model could not be loaded")
            text = next(iter(str(error).strip().splitlines()), "")
            return f"unexpected {type(error).__name__}: {text} (the log has more)"

    def keep_only(self, used: set[str]) -> None:
        """Let go of what no camera uses any more."""
        with self._lock:
            for cache in (self._loaded, self._failed):
                for spec_json in set(cache) - used:
                    del cache[spec_json]

    def _enqueue(self, spec_json: str) -> None:
        """With the lock held."""
        if spec_json in self._loaded or spec_json in self._queue:
            return
        self._queue.append(spec_json)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="model loader", daemon=True)
            self._thread.start()

    def _fingerprints(self, spec_json: str) -> Fingerprints:
        try:
            return fingerprints_of(self._files(spec_json))
        except _REFUSALS:
            return ()
        except Exception:  # as above
            log.exception("the files of a model could not be looked at")
            return ()

    def _run(self) -> None:
        yield_to_others()
        while True:
            with self._lock:
                if not self._queue:
                    self._thread = None
                    return
                spec_json = self._queue[0]
            # Before: what changes while it is loaded is worth another try.
            fingerprints = self._fingerprints(spec_json)
            outcome = self.attempt(spec_json)
            with self._lock:
                self._queue.pop(0)
                before = self._failed.pop(spec_json, None)
                if isinstance(outcome, str):
                    pause_s = min(before.pause_s * 2, MAX_RETRY_S) if before is not None else RETRY_S
                    self._failed[spec_json] = _Failure(
                        outcome, fingerprints, pause_s, time.monotonic() + pause_s
                    )
                else:
                    self._loaded[spec_json] = outcome
            self._wake()


class PipelineLoader(Loader[Pipeline]):
    """Pipelines by the JSON of a PipelineSpec. Those that differ in actions alone share one detector, but
    where actions take the maps of its square and its card says `input_shape: picture`."""

    def __init__(
        self, state_dir: Path, engine: str, threads: int, wake: Callable[[], None], cache: bool = True
    ) -> None:
        super().__init__(wake)
        self._store = ModelStore(state_dir / "models")
        self._cache_dir = state_dir / "cache" if cache else None
        self._engine = engine
        self._threads = threads
        self._detectors: weakref.WeakValueDictionary[tuple[object, ...], Detector] = (
            weakref.WeakValueDictionary()
        )

    def _load(self, spec_json: str) -> Pipeline:
        spec = PipelineSpec.model_validate_json(spec_json)
        engine_name = self._engine if spec.detector == "auto" else spec.detector
        engine, installed = self._store.choose(engine_name, spec.model)
        if spec.actions is None:
            installed = fitting(engine_name, installed, self._cache_dir)
        elif takes_maps(spec.actions):
            installed = square(installed)  # of its own: other cameras go on with the picture's shape
        detector = self._detector(engine, installed, spec.score)
        actions = None if spec.actions is None else create_engine(spec.actions, detector)
        return Pipeline(detector, actions)

    def _files(self, spec_json: str) -> list[Path]:
        spec = PipelineSpec.model_validate_json(spec_json)
        files = self._store.files_of(spec.model)
        return files if spec.actions is None else [*files, *files_of(spec.actions.model)]

    def _detector(self, engine: str, model: ModelHandle | None, score: float | None) -> Detector:
        """One that a pipeline has already, of the same file as it is now, or a new one."""
        key: tuple[object, ...] = (engine, score)
        if model is not None:
            key += (model.path, fingerprint_of(model.path), model.card.model_dump_json())
        detector = self._detectors.get(key)
        if detector is None:
            detector = open_detector(
                engine, model, threads=self._threads, cache_dir=self._cache_dir, score=score
            )
            self._detectors[key] = detector
        return detector


def without_actions(spec_json: str) -> str:
    """The JSON of the same pipeline that tells no actions; itself where it tells none."""
    spec = PipelineSpec.model_validate_json(spec_json)
    return spec.model_copy(update={"actions": None}).model_dump_json() if spec.actions else spec_json


class SceneLoader(Loader[SceneModel]):
    """Classifiers of whole pictures by the JSON of a SceneSpec."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self._store = ModelStore(state_dir / "models")

    def _load(self, spec_json: str) -> SceneModel:
        spec = SceneSpec.model_validate_json(spec_json)
        return SceneModel(Path(spec.model), find_detector=self._store.find)

    def _files(self, spec_json: str) -> list[Path]:
        return files_of(SceneSpec.model_validate_json(spec_json).model)


def yield_to_others() -> None:
    """Make this thread nicer, and with it those that an engine starts from here.

    They compute all the time when there is much to do: what decodes, tracks and delivers must not wait for
    its share of a core behind them.
    """
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread)
    try:
        os.setpriority(os.PRIO_PROCESS, thread, min(niceness + NICE, 19))
    except PermissionError:
        log.warning("the system does not let inference threads be nice: frames may wait longer to be decoded")
