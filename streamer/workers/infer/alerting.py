"""The alerts of this worker's cameras: what they are given, and their events on the way to the ledger.

An alert names the events that made it by their numbers, so it is asked when these are known: after what it
rests on, in the same batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from pipelines.alerts.camera_alerts import CameraAlerts
from pipelines.camera_rules import CameraRules
from pipelines.events import ALERT
from pipelines.values import Event, FrameResult
from streamer.config.opening_hours import Hours
from streamer.ipc.messages import CameraResume, InferAssignment
from streamer.workers.infer.camera import CameraContext
from streamer.workers.infer.event_sequencer import EventSequencer

log = logging.getLogger(__name__)

Emitted = tuple[CameraContext, Event]


class Alerting:
    """`sequencer` numbers the events. All times are this process's clocks."""

    def __init__(self, sequencer: EventSequencer) -> None:
        self._sequencer = sequencer
        self._hours = Hours({}, "UTC")

    def assign(self, assignment: InferAssignment) -> None:
        """Take the site's opening hours and timezone, before the cameras take their rules."""
        self._hours = Hours(assignment.opening_hours, assignment.timezone)

    def take_hours(self, cameras: Iterable[CameraContext]) -> None:
        """Let their alerts go by them. A camera whose file is broken may ask for some that are gone."""
        for camera in cameras:
            camera.alerts.is_open = self._hours.is_open
            why = self._hours.unknown(camera.alerts.hours())
            camera.warn("hours", f"alerts: {why}; they count as closed" if why else "")

    def begin(self, rules: str) -> CameraAlerts:
        """The alerts of a camera with these rules, as JSON; "": it has none."""
        parsed = CameraRules.model_validate_json(rules) if rules else CameraRules()
        return CameraAlerts(parsed, self._hours.is_open)

    def resume(self, camera: CameraContext, position: CameraResume) -> None:
        """The ledger says what is raised."""
        camera.alerts.adopt(position.alerts, time.time_ns())

    def frame(self, camera: CameraContext, result: FrameResult, before: Sequence[Emitted]) -> list[Emitted]:
        """The frame's events and those of alerts; `before` go out before them, in the same batch."""
        tracks = result.tracks
        seen = frozenset(tracks.track_ids[tracks.observed].tolist())
        ahead = sum(other is camera for other, _ in before)
        first_seq = self._sequencer.last_number(camera.name) + 1 + ahead
        raised = camera.alerts.on_frame(result.stamp, seen, result.events, first_seq)
        return [(camera, event) for event in (*result.events, *raised)]

    def ended(self, camera: CameraContext, events: Sequence[Event]) -> None:
        """Tracks ended, and nothing else is on its way."""
        camera.alerts.hear(events, self._sequencer.last_number(camera.name) + 1)

    def state_told(self, camera: CameraContext) -> None:
        """The next event of the camera tells of its state."""
        camera.alerts.state_told(self._sequencer.last_number(camera.name) + 1)

    def tick(self, camera: CameraContext) -> list[Emitted]:
        """Once a second, for cameras that have no frames."""
        next_seq = self._sequencer.last_number(camera.name) + 1
        told = camera.alerts.tick(camera.name, time.time_ns(), time.monotonic_ns(), next_seq)
        return [(camera, event) for event in told]

    def stop(self, camera: CameraContext) -> list[Emitted]:
        """The camera goes, and its alerts with it."""
        return [(camera, event) for event in camera.alerts.stop(camera.name, time.time_ns())]


def asks_for_clip(event: Event) -> bool:
    """Whether it first tells of an alert whose rule wants a clip of that."""
    data = event.data
    return (
        event.type == ALERT
        and bool(data["rule"].get("clip"))
        and (data["state"], data["repeats"]) == ("raised", 0)
    )


def not_sent(events: Iterable[Emitted]) -> None:
    """These were lost: alerts among them are told again."""
    for camera in {id(camera): camera for camera, event in events if event.type == ALERT}.values():
        camera.alerts.not_sent()
