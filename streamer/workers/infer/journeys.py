"""The journeys among this worker's cameras: what they are given, and when looks are forgotten.

All cameras of `journeys` are given to one worker (daemon/topology.py). Looks are kept here alone, in memory:
no checkpoint holds them, so that a worker that is started again knows nobody who left.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from pipelines.journeys.site_journeys import SiteJourneys
from pipelines.journeys.spec import JourneySpec
from pipelines.values import FrameResult
from streamer.ipc.messages import InferAssignment
from streamer.workers.infer.alerting import Emitted
from streamer.workers.infer.camera import CameraContext


class Journeys:
    """Off where no assignment names cameras; then no look is asked for."""

    def __init__(self) -> None:
        self._asked = ""
        self._site: SiteJourneys | None = None

    def assign(self, assignment: InferAssignment, cameras: Iterable[CameraContext]) -> None:
        """What is asked for now; anything else than before begins anew."""
        asked = assignment.journeys
        if asked != self._asked:
            self._asked = asked
            spec = JourneySpec.model_validate_json(assignment.journeys or "{}")
            self._site = SiteJourneys(spec) if spec.cameras else None
        for camera in cameras:
            self.ask_for_looks(camera)

    def ask_for_looks(self, camera: CameraContext) -> None:
        """Let its pipeline say what boxes look like, or not any more. Its model may be another one now, which
        gives other looks."""
        wanted = self._site is not None and camera.name in self._site.spec.cameras
        if camera.pipeline is not None:
            camera.pipeline.ask_for_looks(camera.name, wanted)

    def frame(self, camera: CameraContext, result: FrameResult) -> list[Emitted]:
        """The journeys that are sure with this frame."""
        if self._site is None or camera.pipeline is None:
            return []
        return [(camera, event) for event in self._site.frame(result, camera.pipeline.labels)]

    def removed(self, camera: CameraContext) -> None:
        """It is watched no more."""
        if self._site is not None:
            self._site.forget_camera(camera.name)

    def tick(self) -> None:
        """Once a second, for when no frames come: looks are forgotten all the same."""
        if self._site is not None:
            self._site.forget(time.monotonic_ns())
