"""Who looks at which camera's whole picture: classifiers that are loaded apart, and given to its pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.scene.model import SceneModel
from pipelines.scene.tracker import SceneTracker
from pipelines.spec import SceneSpec
from pipelines.values import Event
from streamer.workers.infer.camera import InferredCamera
from streamer.workers.infer.loader import SceneLoader

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Settled:
    """`waiting`: a classifier is still being loaded. `ended`: events of what is not looked at any more."""

    waiting: bool = False
    ended: list[tuple[InferredCamera, Event]] = field(default_factory=list)


class Scenes:
    """One classifier for all cameras that name it alike."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        self._loader = SceneLoader(state_dir, wake)

    def want(self, scene: str) -> None:
        """Begin to load what a camera names; "" names nothing."""
        if scene:
            self._loader.want(scene)

    def retry(self, now_s: float) -> bool:
        """Try again what could not be loaded, where that is due; whether there was any."""
        return self._loader.retry(now_s)

    def settle(self, cameras: Iterable[InferredCamera]) -> Settled:
        """Give each camera that has a pipeline what it asks for, where that is there."""
        done, used = Settled(), set()
        for camera in cameras:
            wanted = camera.config.scene
            used |= {wanted, camera.scene}
            camera.scene_first = False
            if camera.scene == wanted:
                camera.complain("scene", "")
            if camera.scene == wanted or camera.pipeline is None:
                continue
            found = self._loader.get(wanted) if wanted else None
            if isinstance(found, str):
                kept = "; the old one serves" if camera.scene else ""
                camera.complain("scene", f"scene: {found}{kept}")
            elif wanted and found is None:
                done.waiting = True
                camera.scene_first = camera.stamp is None
            else:
                done.ended += [(camera, event) for event in self._watch(camera, found)]
        self._loader.keep_only(used)
        return done

    @staticmethod
    def _watch(camera: InferredCamera, model: SceneModel | None) -> list[Event]:
        assert camera.pipeline is not None
        camera.scene = camera.config.scene
        camera.complain("scene", "")
        watch = None
        if model is not None:
            watch = SceneTracker(model, SceneSpec.model_validate_json(camera.scene).interval_s)
        try:
            return camera.pipeline.watch_scene(camera.name, watch, camera.stamp)
        except (KeyError, TypeError, ValueError) as error:  # a checkpoint of another program
            log.warning("camera %s: its scene begins anew: %s", camera.name, error)
            return []
