"""All lines, zones and analytics of one camera behind one call: tracks in, events out.

Decisions are held back by up to about half a second (box_smoothing.py, line.py): events carry the moment that
they tell of beside the frame at which they were decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from pipelines.analytics.runner import AnalyticsRunner
from pipelines.camera_rules import CameraRules
from pipelines.count import event_data
from pipelines.count.anchor_selection import AnchorSelection
from pipelines.count.box_smoothing import BoxSmoother, SmoothedBoxes
from pipelines.count.confidence import Judgement, shipped
from pipelines.count.crossing_signs import crossing_signs
from pipelines.count.line import LineCounter
from pipelines.count.signs import CrossingSigns
from pipelines.count.trajectory_recorder import RecordedTrajectory, TrajectoryRecorder
from pipelines.count.zone import ZoneChange, ZoneCounter
from pipelines.rules import LineSpec, ZoneSpec
from pipelines.values import Event, Labels, Stamp, Tracks

FORMAT = 6
BACKWARDS_S = 1.0  # media time that falls back by more ends all tracks; by less, the frame is ignored


class RuleError(ValueError):
    """Raised when a line or zone asks for a class or group that the model does not have."""


class CameraCounts:
    """The lines, zones and analytics of one camera. `update` is called once a frame, in order of media time.

    `judge` says of a crossing's signs how sure it is; without it, the package's own model does.
    Raises RuleError for a class the model does not have.
    """

    def __init__(
        self,
        rules: CameraRules,
        labels: Labels,
        judge: Callable[[CrossingSigns], Judgement] | None = None,
    ) -> None:
        self.labels = labels
        self._judge = judge or shipped()[0].judge
        self.view_moved = False  # said by who follows the view: lines are not where they were drawn
        self._lines: dict[str, LineCounter] = {}
        self._zones: dict[str, ZoneCounter] = {}
        self._occupancy: dict[str, dict[int, int]] = {}
        self._analytics = AnalyticsRunner(labels)
        self._start()
        self.with_rules(rules)

    def _start(self) -> None:
        self._smoother = BoxSmoother()
        self._recorder = TrajectoryRecorder()
        self._selection = AnchorSelection(self.labels)
        self._epoch: int | None = None
        self._last: Stamp | None = None  # of the frame before
        self._base_ns = 0  # seconds count from here: float64 seconds keep nanoseconds only near 0
        self._now_s = 0.0

    def with_rules(self, rules: CameraRules) -> None:
        """Take new rules; lines and zones that did not change, or in their name alone, keep what they know
        of the tracks.

        Raises RuleError, and changes nothing, where a rule names a class the model does not have.
        """
        counted: tuple[LineSpec | ZoneSpec, ...] = (*rules.lines, *rules.zones)
        for spec in counted:
            self._check_classes(spec.name, spec.classes)
        for word, items in rules.of_tracks():
            for rule in items:
                self._check_classes(f"{word} {rule.name}", rule.classes)
        self._analytics.with_rules(rules)
        lines, zones = self._lines, self._zones
        self._lines = {s.name: _going_on(s, lines, rules.lines) or LineCounter(s) for s in rules.lines}
        before = {id(zone): self._occupancy.get(name, {}) for name, zone in zones.items()}
        self._zones = {s.name: _going_on(s, zones, rules.zones) or ZoneCounter(s) for s in rules.zones}
        self._occupancy = {name: before.get(id(zone), {}) for name, zone in self._zones.items()}
        self._line_bases = {line.name: line.model_dump(mode="json") for line in rules.lines}
        self._zone_bases = {zone.name: zone.model_dump(mode="json") for zone in rules.zones}
        self.rules = rules

    def _check_classes(self, name: str, classes: tuple[str, ...]) -> None:
        try:
            self.labels.mask(classes)
        except ValueError as error:
            raise RuleError(f"{name}: {error}") from error

    # ---- a frame

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """What was decided at this frame, as events in a fixed order."""
        events: list[Event] = []
        if self._epoch is None or stamp.epoch != self._epoch:
            events.extend(self._begin(stamp))
        now_s = (stamp.media_ns - self._base_ns) / 1e9
        if now_s < self._now_s - BACKWARDS_S:
            events.extend(self._begin(stamp))
            now_s = 0.0
        elif now_s <= self._now_s:
            return events
        self._now_s = now_s
        self._last = stamp
        for smoothed in self._smoother.past_smoothed(self._smoother.add(now_s, tracks)):
            events.extend(self._take(stamp, smoothed))
        events.extend(self._decide(stamp, flush=False))
        events.extend(self._forget(stamp))
        return events

    def _begin(self, stamp: Stamp) -> list[Event]:
        """What is told of the tracks before carries the stamp of their last frame: the clocks are new."""
        events = self.close(self._last or stamp) if self._epoch is not None else []
        self._epoch = stamp.epoch
        self._base_ns = stamp.media_ns
        self._now_s = -1e-9
        return events

    def _take(self, stamp: Stamp, smoothed: SmoothedBoxes) -> list[Event]:
        """Hand the smoothed boxes of one frame to the recorder, lines and zones."""
        events: list[Event] = []
        self._recorder.update(smoothed, self._smoother)
        self._selection.set_boxes(smoothed)
        for line in self._lines.values():
            line.update(*self._selection.select(line.spec.classes, line.spec.anchor))
        for zone in self._zones.values():
            chosen, anchors = self._selection.select(zone.spec.classes, zone.spec.anchor)
            changes = zone.update(chosen, anchors, self._smoother)
            if changes:
                decided = self._zone_events(stamp, zone, changes)
                events.extend((*decided, *self._analytics.on_events(decided, stamp, self._base_ns)))
        return events

    def set_occupancy(self, stamp: Stamp, name: str, count: int, told: Mapping[str, Any]) -> list[Event]:
        """The event of a person's setting of an occupancy; empty where there is no such one."""
        return self._analytics.set_occupancy(name, count, told, self._now_s, stamp, self._base_ns)

    def _decide(self, stamp: Stamp, flush: bool) -> list[Event]:
        events: list[Event] = []
        while (smoothed := self._smoother.next_smoothed(self._now_s, flush)) is not None:
            events.extend(self._take(stamp, smoothed))
            if self._analytics:
                _, anchors = self._selection.select((), "auto")
                events.extend(
                    self._analytics.on_frame(
                        smoothed, self._smoother.ids, anchors, self._zones, stamp, self._base_ns
                    )
                )
        for line in self._lines.values():
            if decided := self._line_events(stamp, line, flush):
                events.extend((*decided, *self._analytics.on_events(decided, stamp, self._base_ns)))
        return events

    def _forget(self, stamp: Stamp) -> list[Event]:
        rows = self._smoother.forget(self._now_s)
        if not len(rows):
            return []
        events: list[Event] = []
        for line in self._lines.values():
            line.forget(rows)
        for zone in self._zones.values():
            decided = self._zone_events(stamp, zone, zone.forget(rows))
            events.extend((*decided, *self._analytics.on_events(decided, stamp, self._base_ns)))
        paths = self._recorder.forget(rows)
        events.extend(self._analytics.forget([path.track_id for path in paths], stamp, self._base_ns))
        events.extend(self._ended(stamp, path) for path in paths)
        return events

    def close(self, stamp: Stamp) -> list[Event]:
        """Decide what was held back and end all tracks: the camera was closed or its epoch is over."""
        events = self._decide(stamp, flush=True)
        for zone in self._zones.values():
            decided = self._zone_events(stamp, zone, zone.close())
            events.extend((*decided, *self._analytics.on_events(decided, stamp, self._base_ns)))
        events.extend(self._analytics.close(self._now_s, stamp, self._base_ns))
        events.extend(self._ended(stamp, path) for path in self._recorder.close())
        self._lines = {name: LineCounter(line.spec) for name, line in self._lines.items()}
        self._zones = {name: ZoneCounter(zone.spec) for name, zone in self._zones.items()}
        self._occupancy = {name: {} for name in self._zones}
        self._start()
        return events

    # ---- events

    def _ns(self, time_s: float) -> int:
        return self._base_ns + round(time_s * 1e9)

    def _line_events(self, stamp: Stamp, line: LineCounter, flush: bool) -> list[Event]:
        events = []
        table = self._smoother
        for crossing in line.decide(self._now_s, table, flush):
            self._recorder.counted(crossing.row)
            events.append(
                event_data.line_crossed(
                    stamp,
                    self.labels,
                    line.spec,
                    crossing,
                    track_id=int(table.ids[crossing.row]),
                    class_id=int(table.class_ids[crossing.row]),
                    score=float(table.scores[crossing.row]),
                    crossed_ns=self._ns(crossing.time_s),
                    judgement=self._judge(crossing_signs(crossing, table)),
                    view_moved=self.view_moved,
                )
            )
        return events

    def _zone_events(self, stamp: Stamp, zone: ZoneCounter, changes: list[ZoneChange]) -> list[Event]:
        events = [
            event_data.zone_changed(stamp, self.labels, zone.spec, c, self._ns(c.time_s)) for c in changes
        ]
        if changes:
            counts = zone.occupancy
            if counts != self._occupancy[zone.spec.name]:
                self._occupancy[zone.spec.name] = counts
                events.append(event_data.zone_occupancy(stamp, self.labels, zone.spec, counts))
        return events

    def _ended(self, stamp: Stamp, path: RecordedTrajectory) -> Event:
        return event_data.track_ended(stamp, self.labels, path, self._ns(path.first_s), self._ns(path.last_s))

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on."""
        return {
            "format": FORMAT,
            "epoch": self._epoch,
            "last": None if self._last is None else list(astuple(self._last)),
            "base_ns": self._base_ns,
            "now_s": self._now_s,
            "smoother": self._smoother.save(),
            "paths": self._recorder.save(),
            "lines": {name: [self._line_bases[name], line.save()] for name, line in self._lines.items()},
            "zones": {name: [self._zone_bases[name], zone.save()] for name, zone in self._zones.items()},
            "further": self._analytics.save(),
            "occupancy": {n: [[c, k] for c, k in v.items()] for n, v in self._occupancy.items()},
        }

    def restore_standing(self, saved: dict[str, Any]) -> None:
        """Of `save`, what outlives an epoch alone (occupancy). Raises ValueError as restore() does."""
        self._analytics.restore(saved.get("further", {}))

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`; a line or zone that was changed meanwhile starts anew. Raises ValueError where
        another version saved it."""
        if saved.get("format") != FORMAT:
            raise ValueError(f"an analytics state of format {saved.get('format')!r} cannot be restored")
        self._epoch = saved["epoch"]
        last = saved.get("last")  # not in states of the versions before
        self._last = None if last is None else Stamp(*last)
        self._base_ns = int(saved["base_ns"])
        self._now_s = float(saved["now_s"])
        self._smoother.restore(saved["smoother"])
        self._recorder.restore(saved["paths"])
        self._analytics.restore(saved.get("further", {}))
        for name, (spec, state) in saved["lines"].items():
            if self._line_bases.get(name) == spec:
                self._lines[name].restore(state)
        for name, (spec, state) in saved["zones"].items():
            if self._zone_bases.get(name) == spec:
                self._zones[name].restore(state)
                self._occupancy[name] = {int(c): int(k) for c, k in saved["occupancy"].get(name, [])}


def _going_on(spec: Any, before: Mapping[str, Any], now: Sequence[Any]) -> Any:
    """What counted for `spec` before, also under a name that there is no more; None: nothing did."""
    same = before.get(spec.name)
    if same is not None:
        return same if same.spec == spec else None
    names = {item.name for item in now}
    for name, counter in before.items():
        if name not in names and counter.spec.model_copy(update={"name": spec.name}) == spec:
            counter.spec = spec
            return counter
    return None
