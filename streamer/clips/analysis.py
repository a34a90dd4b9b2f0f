"""What came out of a clip: counts, what the other rules told, and which of its frames were looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.analytics import ANALYTICS
from pipelines.camera_rules import CameraRules
from pipelines.count.confidence import Judgement
from pipelines.events import ACTION_DETECTED, ALERT, LINE_CROSSED, SCENE_CHANGED, ZONE_ENTERED, ZONE_EXITED
from pipelines.values import Event
from streamer.clips.needed_frames import Looks

# Events of which the number and the last are kept.
SUMMARISED = frozenset({ACTION_DETECTED, *(event.name for kind in ANALYTICS for event in kind.events)})


@dataclass
class LineCount:
    left_to_right: int = 0
    right_to_left: int = 0
    by_class: dict[str, dict[str, int]] = field(default_factory=dict)
    judgements: dict[str, list[Judgement]] = field(default_factory=dict)  # by side

    def add(self, side: str, name: str, judgement: Judgement) -> None:
        self.judgements.setdefault(side, []).append(judgement)
        kinds = self.by_class.setdefault(name, {"left_to_right": 0, "right_to_left": 0})
        kinds[side] += 1
        if side == "left_to_right":
            self.left_to_right += 1
        else:
            self.right_to_left += 1


@dataclass
class ZoneCount:
    entered: int = 0
    exited: int = 0
    by_class: dict[str, int] = field(default_factory=dict)  # entered
    dwell_s: list[float] = field(default_factory=list)


@dataclass
class Analysis:
    """What came out. `frames` of the clip were read, and all were looked at where `looks` does not say
    otherwise; `duration_s` is the media time covered, the last frame's own length included."""

    rules: CameraRules
    frames: int = 0
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    view_moved: float = 0.0  # how far the view is from where it began, in shares of the picture
    lines: dict[str, LineCount] = field(default_factory=dict)
    zones: dict[str, ZoneCount] = field(default_factory=dict)
    detector: dict[str, Any] = field(default_factory=dict)
    further: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # last data by type and rule, and how many
    scenes: dict[str, dict[str, float]] = field(default_factory=dict)  # seconds by head and label
    looks: Looks | None = None  # None: at every frame
    alerts: list[dict[str, Any]] = field(default_factory=list)  # time_s of the clip, and the event's data
    _scene_since_ns: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.lines = {line.name: LineCount() for line in self.rules.lines}
        self.zones = {zone.name: ZoneCount() for zone in self.rules.zones}

    def count(self, event: Event) -> None:
        data = event.data
        if event.type == LINE_CROSSED:
            judgement = Judgement(data["confidence"], data["stands_for"])
            self.lines[event.subject].add(data["side"], data["class"], judgement)
        elif event.type == ZONE_ENTERED:
            zone = self.zones[event.subject]
            zone.entered += 1
            zone.by_class[data["class"]] = zone.by_class.get(data["class"], 0) + 1
        elif event.type == ZONE_EXITED:
            zone = self.zones[event.subject]
            zone.exited += 1
            if "dwell_s" in data:
                zone.dwell_s.append(float(data["dwell_s"]))
        elif event.type == ALERT:
            self.alerts.append({"time_s": round(event.stamp.media_ns / 1e9, 3), **event.data})
        elif event.type == SCENE_CHANGED:
            self._scene(event.subject, data["previous"], data["start_media_ns"])
        elif event.type in SUMMARISED:
            kind = event.type.removeprefix("streamer.").removesuffix(".v1")
            told = self.further.setdefault(kind, {}).setdefault(event.subject, {"events": 0})
            told["events"] += 1
            told["last"] = dict(data)

    def _scene(self, head: str, ended: str, at_ns: int) -> None:
        """What was shown until then has had its time."""
        seconds = self.scenes.setdefault(head, {})
        lasted_s = (at_ns - self._scene_since_ns.get(head, 0)) / 1e9
        seconds[ended] = seconds.get(ended, 0.0) + lasted_s
        self._scene_since_ns[head] = at_ns
