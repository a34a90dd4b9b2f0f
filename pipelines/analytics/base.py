"""What an analytic beyond lines and zones is made of, is given, and gives back. runner.py runs them.

An analytic is a kind of rule: its specification, what runs it, the types of its events and how one reads in a
line, all in one file and one line of the table in `__init__.py`. A running rule is one rule of one camera. It
sees the tracks of every frame, hears what lines and zones decided, and returns events; it keeps something
only of tracks that live. Times are seconds of the stream's own time since the epoch's first frame.

The table is read wherever a configuration is, also by commands that compute nothing. So numpy, and what rests
on it (geometry, values), is imported in the functions that run a rule, not at the head of an analytic's file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.class_names import named_by_any
from pipelines.rules import CalibrationSpec, LineSpec, Name, Rules

if TYPE_CHECKING:
    from pipelines.geometry import Array
    from pipelines.values import Labels

Member = dict[str, Any]  # the JSON Schema of one member of an event's data


class AnalyticSpec(Rules):
    """A rule with a name. `rev` is the configuration revision that last changed it."""

    name: Name
    classes: tuple[str, ...] = ()
    rev: int = 0

    def check_lines(self, lines: Mapping[str, LineSpec]) -> None:
        """Raise ValueError where the rule asks a line for a direction that it does not have."""


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event. `members` are the JSON Schemas of its data beside the members that every event has;
    all are there in each event but the `optional` ones."""

    name: str
    title: str
    description: str
    members: Mapping[str, Member]
    optional: tuple[str, ...] = ()


TRACK: Mapping[str, Member] = {
    "class": {"type": "string", "description": "the class with most votes of the track so far"},
    "group": {"type": "string", "description": "the class's group: person, vehicle, …"},
    "track_id": {"type": "integer", "description": "the track, unique within camera and epoch", "minimum": 1},
}


def counted_members(count: str, by_class: str, by_group: str) -> dict[str, Member]:
    """What ClassFilter.counted() gives, described."""
    number = {"type": "integer", "minimum": 0}
    return {
        "count": {"type": "integer", "description": count, "minimum": 0},
        "by_class": {"type": "object", "description": by_class, "additionalProperties": number},
        "by_group": {"type": "object", "description": by_group, "additionalProperties": number},
    }


# The same, as an object within an event's data.
COUNTED: Member = {
    "type": "object",
    "properties": counted_members("all", "by class", "by group"),
    "required": ["count", "by_class", "by_group"],
}
PERIOD: Mapping[str, Member] = {
    "start_media_ns": {
        "type": "integer",
        "description": "the stream's time of the period's begin, in nanoseconds",
    },
    "end_media_ns": {
        "type": "integer",
        "description": "the stream's time of its end, not part of it, in nanoseconds",
    },
    "complete": {
        "type": "boolean",
        "description": "false: the period was cut short by the end of an epoch",
    },
}
RULE_REV: Mapping[str, Member] = {
    "rule_rev": {
        "type": "integer",
        "description": (
            "the configuration revision that last changed this rule, or a line or zone that it rests on"
        ),
        "minimum": 0,
    },
}


@dataclass(frozen=True, slots=True, eq=False)
class TrackSnapshot:
    """The N tracks that were there at `time_s`.

    boxes_xyxyn and points_xyn (the foot of a person, else the centre) are (N, 4) and (N, 2); `row_of` gives
    a track's row by its id. `inside` says who is in a zone: zone -> track id -> since when.
    """

    time_s: float
    captured_ns: int  # the box's wall clock at that moment
    ids: list[int]
    class_ids: list[int]
    boxes_xyxyn: Array
    points_xyn: Array
    row_of: Mapping[int, int]
    inside: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class CountingEvent:
    """What a line ("crossed") or a zone ("entered", "exited") decided about a track."""

    kind: str
    name: str
    track_id: int
    class_id: int
    time_s: float
    direction: str = ""
    side: int = 0  # of a crossing: +1 to the right, -1 to the left
    dwell_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AnalyticEvent:
    """An event to be: plain data, and moments in seconds that become `NAME_media_ns`."""

    type: str
    data: dict[str, Any]
    times_s: dict[str, float] = field(default_factory=dict)


class RunningRule:
    """One rule of one camera at work. A kind of rule overrides what it needs; of all else it says nothing.

    `save` gives plain JSON data of which `restore` makes the same state again.
    """

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:  # noqa: ARG002
        """The tracks of a frame, also where there is none."""
        return []

    def on_event(self, event: CountingEvent) -> list[AnalyticEvent]:  # noqa: ARG002
        """What a line or zone has just decided."""
        return []

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:  # noqa: ARG002
        """These tracks are over."""
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        """An epoch ends: all tracks are over and the time starts anew."""
        return []

    def save(self) -> Any:
        raise NotImplementedError

    def restore(self, saved: Any) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What a rule may rest on: the model's labels, the camera's lines, and its calibration."""

    labels: Labels
    lines: Mapping[str, LineSpec]
    calibration: CalibrationSpec | None


@dataclass(frozen=True, slots=True)
class Analytic:
    """An entry of the table ANALYTICS.

    `name` is the word for one rule of the kind, `field` the key of CameraRules that holds them; `start` makes
    a running rule of a specification; `summary` tells an event's data in one line, by its type's name.
    """

    name: str
    field: str
    spec: type[AnalyticSpec]
    start: Callable[[Any, RuleContext], RunningRule]
    events: tuple[EventType, ...]
    summary: Callable[[str, Mapping[str, Any]], str]
    max_rules: int = 32
    calibrated: bool = False  # needs the camera's calibration


class ClassFilter:
    """The classes that a rule is about, and their names."""

    def __init__(self, labels: Labels, classes: tuple[str, ...]) -> None:
        pairs = list(zip(labels.names, labels.groups, strict=True))
        meant = named_by_any(classes, {*labels.names, *labels.groups})
        # by class id: whether the rule is about it
        self.includes = [not classes or name in meant or group in meant for name, group in pairs]
        self._pairs = pairs

    def names(self, class_id: int) -> dict[str, str]:
        name, group = self._pairs[class_id]
        return {"class": name, "group": group}

    def counted(self, class_ids: Counter[int]) -> dict[str, Any]:
        """`count`, `by_class` and `by_group`; what there is none of is left out."""
        by_class: Counter[str] = Counter()
        by_group: Counter[str] = Counter()
        for class_id, n in sorted(class_ids.items()):
            if n:
                by_class[self._pairs[class_id][0]] += n
                by_group[self._pairs[class_id][1]] += n
        return {"count": by_class.total(), "by_class": dict(by_class), "by_group": dict(by_group)}


class Period:
    """Successive periods of the stream's time; one in which no frame came is passed over."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.start_s: float | None = None

    def over(self, time_s: float) -> dict[str, float] | None:
        """The period that `time_s` has left behind, as {"start", "end"}; None while it goes on."""
        if self.start_s is None:
            self.start_s = time_s
        if time_s < self.start_s + self.every_s:
            return None
        ended = {"start": self.start_s, "end": self.start_s + self.every_s}
        self.start_s += self.every_s * int((time_s - self.start_s) / self.every_s)
        return ended

    def cut(self, time_s: float) -> dict[str, float] | None:
        """End the open period early; None where nothing was seen in it."""
        if self.start_s is None:
            return None
        start_s, self.start_s = self.start_s, None
        return {"start": start_s, "end": min(max(time_s, start_s), start_s + self.every_s)}


def mean_max(values: list[float]) -> dict[str, float | None]:
    """{"mean", "max"} in seconds to the millisecond; null where there are none."""
    if not values:
        return {"mean": None, "max": None}
    return {"mean": round(sum(values) / len(values), 3), "max": round(max(values), 3)}


def seconds(value: float | None) -> str:
    """For people; "-" where there is none."""
    return "-" if value is None else f"{value:.1f} s"


_NAMES = ("line", "lines", "zone", "zones")  # of a rule: the keys that name what it rests on


def nameless(basis: Any) -> list[dict[str, Any]]:
    """What a rule rests on (itself first, then its lines and zones), but for what these are called."""
    first, *others = basis
    return [
        {key: value for key, value in first.items() if key not in _NAMES},
        *({key: value for key, value in other.items() if key != "name"} for other in others),
    ]
