"""All alerts of one camera: it hears what is told of the camera, and says what is raised and cleared.

It stands behind the pipeline, no part of it: a camera that is offline, or whose model is being changed, is
watched all the same. It reads no clock and no calendar: time comes with frames and ticks, and whoever makes
it says whether a name of `opening_hours` is open at a moment.

What is raised is in the events that told so. A process that goes on for another takes the tracks and times of
its checkpoint, and what is raised from the ledger (`adopt`), so that nothing is raised twice or for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.alerts.conditions import Condition, Evidence, Momentary, condition_of
from pipelines.alerts.raised import Raised
from pipelines.alerts.rule import AlertSpec
from pipelines.alerts.view import KEPT_S, CameraView
from pipelines.analytics.base import nameless
from pipelines.camera_rules import CameraRules, line_names, zone_names
from pipelines.values import Event, Stamp

IsOpen = Callable[[str, int], bool]  # a name of opening_hours, Unix time in nanoseconds
QUIET_S = 2.0  # no frame for so long: ticks are the time
ALWAYS_S = float("-inf")


@dataclass(slots=True, eq=False)
class _Alert:
    """A rule at work. `floor_s`: when its hours began; None: they have not."""

    spec: AlertSpec
    basis: Any  # what it rests on, as plain data: another makes it another rule
    rev: int
    condition: Condition
    floor_s: float | None = None
    raised: Raised | None = None
    begun: bool = False  # whether its hours were looked up before


class CameraAlerts:
    """`is_open` says whether hours are open; None: every rule's hours hold (a clip of no known time)."""

    def __init__(self, rules: CameraRules, is_open: IsOpen | None) -> None:
        self.is_open = is_open
        self._view = CameraView()
        self._alerts: dict[str, _Alert] = {}
        self._orphans: list[Raised] = []  # raised, of rules that are no more
        self._zones: dict[str, Any] = {}
        self._undo: Callable[[], None] = lambda: None
        self.with_rules(rules)

    def with_rules(self, rules: CameraRules) -> None:
        """Take new rules; one that is as before goes on. What others raised is cleared at the next step."""
        zones = {zone.name: zone.model_dump(mode="json", exclude={"rev"}) for zone in rules.zones}
        for name, zone in zones.items():
            for was, old_zone in self._zones.items():
                if name not in self._zones and was not in zones and {**old_zone, "name": name} == zone:
                    self._view.rename_zone(was, name)
        self._view.forget_tracks(
            [name for name in self._view.inside if zones.get(name) != self._zones.get(name)]
        )
        self._zones = zones
        before, self._alerts = self._alerts, {}
        for spec, basis, rev in _with_basis(rules):
            old = before.get(spec.name)
            if old is not None and old.basis == basis:
                self._alerts[spec.name] = before.pop(spec.name)
                old.spec, old.rev = spec, rev
                continue
            self._alerts[spec.name] = alert = _Alert(spec, basis, rev, condition_of(spec))
            if old is not None and nameless(old.basis) == nameless(basis):  # a line or zone was renamed
                before.pop(spec.name)
                alert.floor_s, alert.raised, alert.begun = old.floor_s, old.raised, old.begun
        self._orphans += [old.raised for old in before.values() if old.raised is not None]
        self._view.kept_s = max([KEPT_S, *(alert.spec.debounce_s for alert in self._alerts.values())])

    def hours(self) -> list[str]:
        """The names of opening_hours that its rules ask for."""
        return sorted({a.spec.when.hours for a in self._alerts.values() if a.spec.when is not None})

    # ---- what happens

    def hear(self, events: Iterable[Event], first_seq: int) -> None:
        """What is told of the camera, numbered from `first_seq` on."""
        for seq, event in enumerate(events, first_seq):
            self._view.hear(event, seq)
            for alert in self._alerts.values():
                alert.condition.hear(event, seq, self._view)

    def source_state(self, state: str, health: str) -> None:
        """The camera's state ("live", "offline", …) and health ("ok", "frozen", …; "": nobody knows)."""
        self._view.source_state(state, health)

    def state_told(self, seq: int) -> None:
        """The number of the event that told of its state."""
        self._view.state_told(seq)

    def on_frame(
        self, stamp: Stamp, seen: Collection[int], events: Sequence[Event], first_seq: int
    ) -> list[Event]:
        """A frame: the tracks seen in it, and what it told, numbered from `first_seq` on. What is returned
        follows these."""
        self._view.frame(stamp, seen)
        self.hear(events, first_seq)
        return self._step(stamp, first_seq + len(events))

    def tick(self, camera: str, captured_ns: int, mono_ns: int, next_seq: int) -> list[Event]:
        """Time passes, by the wall clock and the monotonic one: needed where no frames come."""
        if 0 < self._view.quiet_for(mono_ns) < QUIET_S:
            return []
        self._view.tick(captured_ns, mono_ns)
        return self._step(Stamp(camera, 0, -1, 0, captured_ns, 0, "arrival"), next_seq)

    def stop(self, camera: str, captured_ns: int) -> list[Event]:
        """The camera is watched no more: what is raised is cleared."""
        self._view.captured_ns = captured_ns
        stamp = Stamp(camera, 0, -1, 0, captured_ns, 0, "arrival")
        raised = [*self._orphans, *(a.raised for a in self._alerts.values() if a.raised is not None)]
        self._orphans = []
        for alert in self._alerts.values():
            alert.raised = None
        return [each.event(stamp, each.last_s, "removed") for each in raised]

    # ---- what follows from it

    def _step(self, stamp: Stamp, next_seq: int) -> list[Event]:
        self._remember()
        events = [each.event(stamp, each.last_s, "rule") for each in self._orphans]
        self._orphans = []
        for alert in self._alerts.values():
            within = self._within(alert)
            floor_s = ALWAYS_S if alert.floor_s is None else alert.floor_s
            evidence = alert.condition.evidence(self._view, floor_s)
            event = self._decide(alert, evidence if within else None, within, stamp, next_seq + len(events))
            if event is not None:
                events.append(event)
        return events

    def _within(self, alert: _Alert) -> bool:
        """Whether the rule's hours hold; notes when they began."""
        when = alert.spec.when
        if when is None or self.is_open is None:
            alert.floor_s = ALWAYS_S
            return True
        within = self.is_open(when.hours, self._view.captured_ns) == (when.inside is not None)
        if not within:
            alert.floor_s = None
        elif alert.floor_s is None:
            alert.floor_s = self._view.now_s if alert.begun else ALWAYS_S
        alert.begun = True
        return within

    def _decide(
        self, alert: _Alert, evidence: Evidence | None, within: bool, stamp: Stamp, seq: int
    ) -> Event | None:
        raised, now_s = alert.raised, self._view.now_s
        if raised is None:
            return self._raise(alert, evidence, stamp, seq) if evidence is not None else None
        if evidence is not None:
            alert.raised = raised.still(evidence, isinstance(alert.condition, Momentary), self._view)
            return self._repeat(alert, alert.raised, stamp)
        if within and now_s - raised.last_s < alert.spec.clear_after_s:
            return None
        alert.raised = None
        return raised.event(stamp, raised.last_s, "over" if within else "hours")

    def _raise(self, alert: _Alert, evidence: Evidence, stamp: Stamp, seq: int) -> Event:
        alert.raised = Raised.of(alert.spec, alert.rev, evidence, self._view, seq)
        return alert.raised.event(stamp, self._view.now_s)

    def _repeat(self, alert: _Alert, raised: Raised, stamp: Stamp) -> Event | None:
        every_s, now_s = alert.spec.repeat_after_s, self._view.now_s
        if every_s is None or now_s - raised.told_s < every_s:
            return None
        alert.raised = replace(raised, told_s=now_s, repeats=raised.repeats + 1)
        return alert.raised.event(stamp, now_s)

    def _remember(self) -> None:
        """What there is before a step: see `not_sent`."""
        before = [(a, a.raised, list(a.condition.pending)) for a in self._alerts.values()]
        orphans = list(self._orphans)

        def undo() -> None:
            for alert, raised, pending in before:
                alert.raised, alert.condition.pending = raised, pending
            self._orphans = orphans

        self._undo = undo

    def not_sent(self) -> None:
        """The events of the last step were lost: it is as if it had not been, and the next tells them."""
        self._undo()
        self._undo = lambda: None

    # ---- what is raised

    def describe(self) -> list[dict[str, Any]]:
        """What is raised now, for `streamer status`: plain JSON."""
        return [
            {
                "alert": raised.name,
                "severity": raised.severity,
                "kind": raised.kind,
                "since_ns": raised.since_ns,
                "count": raised.count,
                "raised_seq": raised.seq,
                "rule": raised.rule,
            }
            for alert in self._alerts.values()
            if (raised := alert.raised) is not None
        ]

    def adopt(self, told: Iterable[Mapping[str, Any]], captured_ns: int) -> None:
        """What the ledger has as raised (the data of its events), whatever the checkpoint says."""
        self._view.captured_ns = captured_ns
        by_name = {data["alert"]: data for data in told}
        for alert in self._alerts.values():
            data = by_name.pop(alert.spec.name, None)
            if data is None:
                alert.raised = None
            elif alert.raised is None or alert.raised.seq != data["raised_seq"]:
                alert.raised = Raised.told(data, self._view)
        known = {orphan.name for orphan in self._orphans}
        self._orphans = [orphan for orphan in self._orphans if orphan.name in by_name]
        self._orphans += [
            Raised.told(data, self._view) for name, data in by_name.items() if name not in known
        ]

    # ---- checkpoints

    def forget_tracks(self) -> None:
        """The camera's tracks begin anew: nobody is known to be anywhere."""
        self._view.forget_tracks()

    def save(self) -> dict[str, Any]:
        """Plain data from which `restore` goes on."""
        alerts = {
            name: [
                a.basis,
                a.condition.save(),
                a.floor_s,
                a.begun,
                None if a.raised is None else a.raised.save(),
            ]
            for name, a in self._alerts.items()
        }
        return {"view": self._view.save(), "zones": self._zones, "alerts": alerts}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from `save`; a rule or zone that was changed meanwhile starts anew. Raises KeyError,
        TypeError or ValueError where it is not from save()."""
        self._view.restore(saved["view"])
        changed = [name for name in self._view.inside if saved["zones"].get(name) != self._zones.get(name)]
        self._view.forget_tracks(changed)
        for name, (basis, condition, floor_s, begun, raised) in saved["alerts"].items():
            alert = self._alerts.get(name)
            if alert is None or alert.basis != basis:
                continue
            alert.condition.restore(condition)
            alert.floor_s, alert.begun = floor_s, bool(begun)
            alert.raised = None if raised is None else Raised(**raised)


def _with_basis(rules: CameraRules) -> Iterable[tuple[AlertSpec, Any, int]]:
    """Every alert, what it rests on, and the revision that last changed any of that."""
    named: dict[str, dict[str, Any]] = {
        "lines": {x.name: x for x in rules.lines},
        "zones": {x.name: x for x in rules.zones},
        "wrong_ways": {x.name: x for x in rules.of("wrong_ways")},
        "speeds": {x.name: x for x in rules.of("speeds")},
    }
    for spec in rules.alerts:
        rests_on = [named["lines"][name] for name in line_names(spec)]
        rests_on += [named["zones"][name] for name in zone_names(spec)]
        rests_on += [named[f"{key}s"][name] for key in ("wrong_way", "speed") if (name := getattr(spec, key))]
        basis = [x.model_dump(mode="json", exclude={"rev"}) for x in (spec, *rests_on)]
        yield spec, basis, max(x.rev for x in (spec, *rests_on))
