"""What cameras are looked at with: pipelines and classifiers of whole pictures, loaded and given to them.

A camera whose model of actions cannot be loaded counts without it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from pipelines.pipeline import Pipeline
from streamer.ipc.messages import InferCamera
from streamer.workers.infer.camera import InferredCamera
from streamer.workers.infer.loader import PipelineLoader, without_actions
from streamer.workers.infer.scenes import Scenes, Settled

Equip = Callable[[InferredCamera, Pipeline, str], str]  # lets a camera run in a pipeline; "" or why it cannot


class Equipment:
    """`wake` is called, from whatever thread, when something has been loaded; settle() then gives it."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        self._state_dir = state_dir
        self._wake = wake
        self._scenes = Scenes(state_dir, wake)
        self._engine: tuple[str, int] | None = None

    def use(self, engine: str, threads: int) -> bool:
        """Load with this engine; whether it is another than before, and with it every pipeline."""
        if self._engine == (engine, threads):
            return False
        self._engine = (engine, threads)
        self._loader = PipelineLoader(self._state_dir, engine, threads, self._wake)
        return True

    def want(self, config: InferCamera) -> None:
        """Begin to load what a camera is assigned; what failed before is tried anew."""
        self._loader.want(config.pipeline)
        self._scenes.want(config.scene)

    def retry(self, now_s: float) -> bool:
        """Try again what could not be loaded, where that is due; whether there was any."""
        begun = self._scenes.retry(now_s)
        return (self._loader.retry(now_s) or begun) if self._engine is not None else begun

    def settle(self, cameras: Collection[InferredCamera], equip: Equip) -> Settled:
        """Give cameras what has been loaded for them, and complain for those that get nothing."""
        waiting = False
        for camera in cameras:
            waiting |= self._provide(camera, equip)
        done = self._scenes.settle(cameras)
        done.waiting |= waiting
        wanted = {camera.config.pipeline for camera in cameras if not camera.config.misconfigured}
        in_use = {camera.spec for camera in cameras}
        self._loader.keep_only(in_use | wanted | set(map(without_actions, wanted)))
        return done

    def _provide(self, camera: InferredCamera, equip: Equip) -> bool:
        """Give it what it is assigned, or what serves until that can be loaded; whether it waits for one."""
        wanted = camera.config.pipeline
        if camera.spec == wanted:
            camera.complain("model", "")  # also of one that was asked for in between
            return False
        found = self._loader.get(wanted)
        if found is None:
            return True
        why = found if isinstance(found, str) else equip(camera, found, wanted)
        if not why:
            return False
        spare = without_actions(wanted)
        if camera.pipeline is None and spare != wanted:
            plain = self._loader.get(spare)
            if plain is None:
                self._loader.want(spare)
                return True
            if isinstance(plain, Pipeline):
                equip(camera, plain, spare)
        if camera.pipeline is not None:
            why += "; it counts without actions" if camera.spec == spare else "; the old model serves"
        camera.complain("model", why)
        return False
