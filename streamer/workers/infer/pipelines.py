"""Which pipeline and which scene classifier each camera has: loaded beside the running ones, then assigned.

A camera whose model of actions cannot be loaded counts without it meanwhile. The classifiers of whole
pictures are loaded apart from pipelines, one for all cameras that name it alike, and given to a camera's
pipeline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.pipeline import Pipeline
from pipelines.scene.model import SceneModel
from pipelines.scene.tracker import SceneTracker
from pipelines.spec import SceneSpec
from pipelines.values import Event
from streamer.ipc.messages import InferCamera
from streamer.workers.infer.camera import CameraContext
from streamer.workers.infer.loader import PipelineLoader, SceneLoader, without_actions

log = logging.getLogger(__name__)

# Lets a camera run in a pipeline of a specification; "" or why it cannot.
AssignPipeline = Callable[[CameraContext, Pipeline, str], str]


@dataclass(slots=True)
class Assigned:
    """`loading`: something is still being loaded. `ended`: events of scenes that are no longer watched."""

    loading: bool = False
    ended: list[tuple[CameraContext, Event]] = field(default_factory=list)


class PipelineAssigner:
    """`wake` is called, from whatever thread, when something has been loaded; assign() then gives it."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        self._state_dir = state_dir
        self._wake = wake
        self._scenes = SceneAssigner(state_dir, wake)
        self._engine: tuple[str, int] | None = None

    def set_engine(self, engine: str, threads: int) -> bool:
        """Load with this engine; whether it is another than before, and with it every pipeline."""
        if self._engine == (engine, threads):
            return False
        self._engine = (engine, threads)
        self._loader = PipelineLoader(self._state_dir, engine, threads, self._wake)
        return True

    def start_loading(self, config: InferCamera) -> None:
        """Begin to load what a camera is assigned; what failed before is tried anew."""
        self._loader.start_loading(config.pipeline)
        self._scenes.start_loading(config.scene)

    def retry(self, now_s: float) -> bool:
        """Try again what could not be loaded, where that is due; whether there was any."""
        begun = self._scenes.retry(now_s)
        return (self._loader.retry(now_s) or begun) if self._engine is not None else begun

    def assign(self, cameras: Collection[CameraContext], assign_pipeline: AssignPipeline) -> Assigned:
        """Give cameras what has been loaded for them, and warn of those that get nothing."""
        loading = False
        for camera in cameras:
            loading |= self._assign_to(camera, assign_pipeline)
        assigned = self._scenes.assign(cameras)
        assigned.loading |= loading
        configured = {camera.config.pipeline for camera in cameras if camera.config.pipeline}
        in_use = {camera.pipeline_spec for camera in cameras}
        self._loader.keep_only(in_use | configured | set(map(without_actions, configured)))
        return assigned

    def _assign_to(self, camera: CameraContext, assign_pipeline: AssignPipeline) -> bool:
        """Give it what it is configured with, or what serves until that can be loaded; whether that is being
        loaded.
        """
        spec = camera.config.pipeline
        if camera.pipeline_spec == spec:
            camera.warn("model", "")  # also of one that was asked for in between
            return False
        loaded = self._loader.get(spec)
        if loaded is None:
            return True
        why = loaded if isinstance(loaded, str) else assign_pipeline(camera, loaded, spec)
        if not why:
            return False
        fallback_spec = without_actions(spec)
        if camera.pipeline is None and fallback_spec != spec:
            fallback = self._loader.get(fallback_spec)
            if fallback is None:
                self._loader.start_loading(fallback_spec)
                return True
            if isinstance(fallback, Pipeline):
                assign_pipeline(camera, fallback, fallback_spec)
        if camera.pipeline is not None:
            serves = (
                "it counts without actions"
                if camera.pipeline_spec == fallback_spec
                else "the old model serves"
            )
            why += f"; {serves}"
        camera.warn("model", why)
        return False


class SceneAssigner:
    """One classifier for all cameras that name it alike."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        self._loader = SceneLoader(state_dir, wake)

    def start_loading(self, spec: str) -> None:
        """Begin to load what a camera names; "" names nothing."""
        if spec:
            self._loader.start_loading(spec)

    def retry(self, now_s: float) -> bool:
        """Try again what could not be loaded, where that is due; whether there was any."""
        return self._loader.retry(now_s)

    def assign(self, cameras: Iterable[CameraContext]) -> Assigned:
        """Give each camera that has a pipeline what it asks for, where that is there."""
        assigned, used = Assigned(), set()
        for camera in cameras:
            spec = camera.config.scene
            used |= {spec, camera.scene_spec}
            camera.awaits_scene = False
            if camera.scene_spec == spec:
                camera.warn("scene", "")
            if camera.scene_spec == spec or camera.pipeline is None:
                continue
            loaded = self._loader.get(spec) if spec else None
            if isinstance(loaded, str):
                serves = "; the old one serves" if camera.scene_spec else ""
                camera.warn("scene", f"scene: {loaded}{serves}")
            elif spec and loaded is None:
                assigned.loading = True
                camera.awaits_scene = camera.last_stamp is None
            else:
                assigned.ended += [(camera, event) for event in self._assign_to(camera, loaded)]
        self._loader.keep_only(used)
        return assigned

    @staticmethod
    def _assign_to(camera: CameraContext, model: SceneModel | None) -> list[Event]:
        """Let `model` look at its whole picture from now on; returns what ends with the one before."""
        assert camera.pipeline is not None
        camera.scene_spec = camera.config.scene
        camera.warn("scene", "")
        tracker = None
        if model is not None:
            tracker = SceneTracker(model, SceneSpec.model_validate_json(camera.scene_spec).interval_s)
        try:
            return camera.pipeline.watch_scene(camera.name, tracker, camera.last_stamp)
        except (KeyError, TypeError, ValueError) as error:  # a checkpoint of another program
            log.warning("camera %s: its scene begins anew: %s", camera.name, error)
            return []
