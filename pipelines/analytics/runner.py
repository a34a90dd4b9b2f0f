"""The analytics of one camera beyond lines and zones, as its rules ask: run, saved and turned into events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from pipelines.analytics import ANALYTICS
from pipelines.analytics.base import (
    AnalyticEvent,
    CountingEvent,
    RuleContext,
    RunningRule,
    TrackSnapshot,
    nameless,
)
from pipelines.analytics.occupancy import EntranceOccupancy
from pipelines.camera_rules import CameraRules, line_names, zone_names
from pipelines.count.box_smoothing import SmoothedBoxes
from pipelines.count.zone import ZoneCounter
from pipelines.events import LINE_CROSSED, ZONE_ENTERED, ZONE_EXITED
from pipelines.geometry import Array
from pipelines.values import Event, Labels, Stamp

KINDS = {LINE_CROSSED: "crossed", ZONE_ENTERED: "entered", ZONE_EXITED: "exited"}
Build = Callable[[], RunningRule]


class AnalyticsRunner:
    """The analytics of one camera. False where its rules ask for none."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._class_ids = {name: i for i, name in reversed(list(enumerate(labels.names)))}
        self._running: dict[
            str, tuple[Any, RunningRule, int]
        ] = {}  # by key: what it rests on, itself, its rev
        self._zones: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._running)

    def with_rules(self, rules: CameraRules) -> None:
        """Take new rules; what rests on the same rules as before goes on. Raises ValueError for a
        calibration that determines no ground, and changes nothing then."""
        running = {}
        for key, basis, rev, build in _rules_of(rules, self._labels):
            before = self._running.get(key)
            if before is not None and before[0] == basis:
                running[key] = (basis, before[1], rev)
                continue
            running[key] = (basis, build(), rev)
            if before is not None and nameless(before[0]) == nameless(basis):
                running[key][1].restore(before[1].save())  # a line or zone that it rests on was renamed
        self._running = running
        self._zones = tuple(zone.name for zone in rules.zones)

    # ---- a frame

    def on_frame(
        self,
        places: SmoothedBoxes,
        ids: np.ndarray[Any, Any],
        points_xyn: Array,
        zones: Mapping[str, ZoneCounter],
        stamp: Stamp,
        base_ns: int,
    ) -> list[Event]:
        """The places of one frame; `ids` are the tracks' by row, `points_xyn` (N, 2) their anchors."""
        good = np.isfinite(places.boxes_xyxyn).all(axis=1)
        track_ids = ids[places.rows[good]].tolist()
        at_ns = base_ns + round(places.time_s * 1e9)
        snapshot = TrackSnapshot(
            time_s=places.time_s,
            captured_ns=stamp.captured_ns - (stamp.media_ns - at_ns),
            ids=track_ids,
            class_ids=places.class_ids[good].tolist(),
            boxes_xyxyn=places.boxes_xyxyn[good],
            points_xyn=points_xyn[good],
            row_of={k: i for i, k in enumerate(track_ids)},
            inside={name: zones[name].inside for name in self._zones},
        )
        return self._events(stamp, base_ns, lambda rule: rule.on_frame(snapshot))

    def on_events(self, events: Iterable[Event], stamp: Stamp, base_ns: int) -> list[Event]:
        """What lines and zones have just decided."""
        results: list[Event] = []
        for event in events:
            if event.type in KINDS:
                counted = self._counting_event(event, base_ns)
                results.extend(self._events(stamp, base_ns, lambda rule, h=counted: rule.on_event(h)))  # type: ignore[misc]
        return results

    def _counting_event(self, event: Event, base_ns: int) -> CountingEvent:
        data = event.data
        crossed = event.type == LINE_CROSSED
        at_ns = data["crossed_media_ns" if crossed else "changed_media_ns"]
        return CountingEvent(
            kind=KINDS[event.type],
            name=event.subject,
            track_id=data["track_id"],
            class_id=self._class_ids[data["class"]],
            time_s=(at_ns - base_ns) / 1e9,
            direction=data["direction"] if crossed else "",
            side=(1 if data["side"] == "left_to_right" else -1) if crossed else 0,
            dwell_s=data.get("dwell_s", 0.0),
        )

    def forget(self, track_ids: list[int], stamp: Stamp, base_ns: int) -> list[Event]:
        return self._events(stamp, base_ns, lambda rule: rule.forget(track_ids))

    def close(self, time_s: float, stamp: Stamp, base_ns: int) -> list[Event]:
        """The epoch is over; what outlives it (occupancy) goes on."""
        return self._events(stamp, base_ns, lambda rule: rule.close(time_s))

    def set_occupancy(
        self, name: str, count: int, told: Mapping[str, Any], time_s: float, stamp: Stamp, base_ns: int
    ) -> list[Event]:
        """A person says how many are inside; empty where no such rule runs. `told` goes into the event."""
        return self._events(stamp, base_ns, partial(_set_count, name, count, told, time_s))

    def _events(
        self, stamp: Stamp, base_ns: int, ask: Callable[[RunningRule], list[AnalyticEvent]]
    ) -> list[Event]:
        events = []
        for key, (_, rule, rev) in self._running.items():
            for event in ask(rule):
                data = {**event.data, "rule_rev": rev}
                for name, time_s in event.times_s.items():
                    data[f"{name}_media_ns"] = base_ns + round(time_s * 1e9)
                events.append(Event(event.type, stamp, key.partition("/")[2], data))
        return events

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        return {key: [basis, rule.save()] for key, (basis, rule, _) in self._running.items()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from `save`; a rule that was changed meanwhile starts anew."""
        for key, (basis, state) in saved.items():
            if key in self._running and self._running[key][0] == basis:
                self._running[key][1].restore(state)


def _set_count(
    name: str, count: int, told: Mapping[str, Any], time_s: float, rule: RunningRule
) -> list[AnalyticEvent]:
    if isinstance(rule, EntranceOccupancy) and rule.spec.name == name:
        return [rule.set_count(count, told, time_s)]
    return []


def _rules_of(rules: CameraRules, labels: Labels) -> Iterator[tuple[str, Any, int, Build]]:
    """Every rule as its key, what it rests on (plain data), its revision, and how to start it."""
    lines = {x.name: x for x in rules.lines}
    zones = {x.name: x for x in rules.zones}
    context = RuleContext(labels, lines, rules.calibration)
    for kind in ANALYTICS:
        for spec in rules.of(kind.field):
            rests_on: list[Any] = [lines[name] for name in line_names(spec)]
            rests_on += [zones[name] for name in zone_names(spec)]
            basis = [x.model_dump(mode="json", exclude={"rev"}) for x in (spec, *rests_on)]
            if kind.calibrated and rules.calibration is not None:
                basis.append(rules.calibration.model_dump(mode="json"))
            rev = max(spec.rev, *(x.rev for x in rests_on)) if rests_on else spec.rev
            yield f"{kind.name}/{spec.name}", basis, rev, partial(kind.start, spec, context)
