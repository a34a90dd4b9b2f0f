"""A sink in memory: the contract without a server, for tests of what writes to a sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.sinks.base import Behind, SinkError


class MemorySink:
    """Keeps everything; `failure` is raised by every call while it is set."""

    def __init__(self, max_events: int | None = None) -> None:
        self.max_events = max_events
        self.events: dict[str, list[StoredEvent]] = {}
        self.totals: dict[str, dict[str, int]] = {}
        self.states: dict[str, dict[str, str]] = {}
        self.failure: SinkError | None = None

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        self._fail()
        return {camera: self._at(camera) for camera in cameras}

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        self._fail()
        at = self._at(camera)
        if after is not None and (at is None or at < after):
            raise Behind(at)
        if at is not None and at.lineage > events[0].id.lineage:
            raise SinkError("ahead", f"{camera}: the sink holds lineage {at.lineage}")
        for event in events:
            if at is not None and event.id <= at:
                continue
            self.events.setdefault(camera, []).append(event)
            at = event.id
            if event.total_key is not None and event.total_value is not None:
                self.totals.setdefault(camera, {})[event.total_key] = event.total_value
        return at or events[-1].id

    def replace_totals(self, camera: str, totals: Mapping[str, int], at: EventId | None) -> None:  # noqa: ARG002
        self._fail()
        self.totals[camera] = dict(totals)

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:
        self._fail()
        for camera, fields in states.items():
            self.states.setdefault(camera, {}).update(fields)

    def cameras(self) -> set[str]:
        self._fail()
        return set(self.states)

    def retire(self, states: Mapping[str, Mapping[str, str]]) -> None:
        self._fail()
        self.states.update({camera: dict(fields) for camera, fields in states.items()})

    def forget(self, cameras: Sequence[str]) -> None:
        self._fail()
        for by_camera in (self.states, self.totals, self.events):
            for camera in cameras:
                by_camera.pop(camera, None)

    def close(self) -> None:
        """Nothing to let go of."""

    def _at(self, camera: str) -> EventId | None:
        events = self.events.get(camera)
        return events[-1].id if events else None

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
