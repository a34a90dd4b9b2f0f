"""When a rule holds, and what makes it hold: a condition for each kind of alert.

A lasting one (presence, count, camera) is looked up in the view at every step; a momentary one (a crossing,
an action, …) is heard, and holds for the one step after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.alerts.rule import AlertSpec
from pipelines.alerts.view import CameraView, Visit
from pipelines.analytics.speed import MEASURED
from pipelines.analytics.wrong_way import DETECTED
from pipelines.class_names import named_by_any
from pipelines.events import ACTION_DETECTED, LINE_CROSSED
from pipelines.values import Event

LAG_S = 1.0  # who has left by then is known only then: lines and zones decide about half a second late
# The moment that an event tells of: each type has one of these.
MOMENTS = ("crossed_media_ns", "start_media_ns", "since_media_ns", "measured_media_ns")


class Seen(NamedTuple):
    """A track as evidence."""

    track_id: int
    class_name: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What makes a rule hold, since when; `events` are numbers of this camera's events."""

    since_s: float
    count: int
    tracks: tuple[Seen, ...] = ()
    events: tuple[int, ...] = ()


class Condition:
    """One rule's. `floor_s`: what was before counts for nothing (the rule's hours had not begun)."""

    def __init__(self, spec: AlertSpec) -> None:
        self.spec = spec
        self.pending: list[Evidence] = []  # moments heard since the last step

    def hear(self, event: Event, seq: int, view: CameraView) -> None:
        """Something was told of the camera."""

    def evidence(self, view: CameraView, floor_s: float) -> Evidence | None:
        """None while it does not hold."""
        raise NotImplementedError

    def concerns(self, class_name: str, group: str) -> bool:
        """Whether the rule is about this class."""
        return not self.spec.classes or bool(named_by_any(self.spec.classes, {class_name, group} - {""}))

    def visits(self, view: CameraView) -> list[Visit]:
        there = view.inside.get(self.spec.zone or "", {})
        return [visit for visit in there.values() if self.concerns(visit.class_name, visit.group)]

    def save(self) -> Any:
        return None

    def restore(self, saved: Any) -> None: ...


class Presence(Condition):
    """Somebody stays in a zone, each judged alone."""

    def evidence(self, view: CameraView, floor_s: float) -> Evidence | None:
        stays = [
            (visit, since_s)
            for visit in self.visits(view)
            if (since_s := self._since(visit, view, floor_s)) is not None
        ]
        if not stays:
            return None
        tracks = tuple(Seen(visit.track_id, visit.class_name, since_s) for visit, since_s in stays)
        events = tuple(visit.seq for visit, _ in stays if visit.seq)
        return Evidence(min(since for _, since in stays), len(stays), tracks, events)

    def _since(self, visit: Visit, view: CameraView, floor_s: float) -> float | None:
        """Since when; None where that is too short, or over."""
        spec = self.spec
        if visit.left_s is not None and view.now_s - visit.left_s > spec.debounce_s:
            return None
        since_s = max(visit.since_s(spec.debounce_s), floor_s)
        until_s = min(visit.seen_s, view.now_s - LAG_S)
        return since_s if until_s - since_s >= (spec.for_s or 0.0) else None


class _Held(Condition):
    """Holds while something is so, and has been for `for_s`."""

    def __init__(self, spec: AlertSpec) -> None:
        super().__init__(spec)
        self._since_s: float | None = None
        self._last_s = 0.0

    def held(self, is_so: bool, since_s: float, view: CameraView, floor_s: float) -> float | None:
        """Since when, breaks below the debounce left out; None while it does not hold."""
        if is_so:
            if self._since_s is None:
                self._since_s = since_s
            self._last_s = view.now_s
        elif self._since_s is not None and view.now_s - self._last_s > self.spec.debounce_s:
            self._since_s = None
        if not is_so or self._since_s is None:
            return None
        begun_s = max(self._since_s, floor_s)
        return begun_s if view.now_s - begun_s >= (self.spec.for_s or 0.0) else None

    def save(self) -> Any:
        return [self._since_s, self._last_s]

    def restore(self, saved: Any) -> None:
        since_s, last_s = saved
        self._since_s, self._last_s = None if since_s is None else float(since_s), float(last_s)


class Crowd(_Held):
    """So many are in a zone, whoever they are."""

    def evidence(self, view: CameraView, floor_s: float) -> Evidence | None:
        there = [visit for visit in self.visits(view) if visit.left_s is None]
        enough = len(there) >= (self.spec.at_least or 1)
        since_s = self.held(enough, view.now_s, view, floor_s)
        if since_s is None:
            return None
        tracks = tuple(Seen(v.track_id, v.class_name, v.stays[-1][1]) for v in there)
        return Evidence(since_s, len(there), tracks, tuple(v.seq for v in there if v.seq))


class Fault(_Held):
    """The camera itself sees nothing, or is not there."""

    def evidence(self, view: CameraView, floor_s: float) -> Evidence | None:
        fault = view.faults[self.spec.camera or ""]
        since_s = self.held(fault.holds, fault.since_s, view, floor_s)
        if since_s is None:
            return None
        return Evidence(since_s, 0, events=(fault.seq,) if fault.seq else ())


class Momentary(Condition):
    """Something happened: `matches` says whether an event is that."""

    def __init__(self, spec: AlertSpec, matches: Callable[[AlertSpec, Event, CameraView], bool]) -> None:
        super().__init__(spec)
        self._matches = matches

    def hear(self, event: Event, seq: int, view: CameraView) -> None:
        data = event.data
        if not self._matches(self.spec, event, view):
            return
        if self.spec.classes and not self.concerns(data.get("class", ""), data.get("group", "")):
            return
        moment_ns = next(data[name] for name in MOMENTS if name in data)
        at_s = view.moment(event.stamp, moment_ns)
        who = (Seen(data["track_id"], data["class"], at_s),) if "track_id" in data else ()
        self.pending.append(Evidence(at_s, 1, who, (seq,)))

    def evidence(self, view: CameraView, floor_s: float) -> Evidence | None:  # noqa: ARG002
        pending, self.pending = self.pending, []
        if not pending:
            return None
        tracks = tuple(track for each in pending for track in each.tracks)
        events = tuple(seq for each in pending for seq in each.events)
        return Evidence(pending[0].since_s, len(pending), tracks, events)


def _crossed(spec: AlertSpec, event: Event, _view: CameraView) -> bool:
    ways = (None, event.data.get("direction"))
    return event.type == LINE_CROSSED and event.subject == spec.line and spec.direction in ways


def _acted(spec: AlertSpec, event: Event, view: CameraView) -> bool:
    data = event.data
    if event.type != ACTION_DETECTED or data["action"] != spec.action:
        return False
    if spec.zone is not None:
        visit = view.inside.get(spec.zone, {}).get(data.get("track_id", 0))
        if visit is None or visit.left_s is not None:
            return False
    return bool(data["probability"] >= (spec.min_confidence or 0.0))


def _went_wrong(spec: AlertSpec, event: Event, _view: CameraView) -> bool:
    return event.type == DETECTED.name and event.subject == spec.wrong_way


def _sped(spec: AlertSpec, event: Event, _view: CameraView) -> bool:
    data = event.data
    if event.type != MEASURED.name or event.subject != spec.speed or data["speed"] is None:
        return False
    return bool(data["speed"] > spec.over if spec.over is not None else data.get("over_limit"))


_CONDITIONS: Mapping[str, Callable[[AlertSpec], Condition]] = {
    "presence": Presence,
    "count": Crowd,
    "camera": Fault,
    "crossing": lambda spec: Momentary(spec, _crossed),
    "action": lambda spec: Momentary(spec, _acted),
    "wrong_way": lambda spec: Momentary(spec, _went_wrong),
    "speed": lambda spec: Momentary(spec, _sped),
}


def condition_of(spec: AlertSpec) -> Condition:
    """The condition of a rule, which knows nothing yet."""
    return _CONDITIONS[spec.kind](spec)
