"""All analytics of one camera behind one call: tracks in, events out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.line import LineCounter, LineCrossing
from pipelines.count.paths import PathRecorder, TrackPath
from pipelines.count.zone import ZoneChange, ZoneCounter
from pipelines.geometry import anchor_points
from pipelines.spec import CameraRules, LineSpec, ZoneSpec
from pipelines.values import Event, Labels, Stamp, Tracks

LINE_CROSSED = "streamer.line.crossed.v1"
ZONE_ENTERED = "streamer.zone.entered.v1"
ZONE_EXITED = "streamer.zone.exited.v1"
ZONE_OCCUPANCY = "streamer.zone.occupancy.v1"
TRACK_ENDED = "streamer.track.ended.v1"

FORMAT = 1
FOOT_GROUPS = ("person",)  # "auto" anchors: people stand on their feet, the rest is counted by the centre


class RuleError(ValueError):
    """Raised when a line or zone asks for a class or group that the model does not have."""


class Analytics:
    """The lines and zones of one camera. `update` must be called once a frame, in order of media time."""

    def __init__(self, rules: CameraRules, labels: Labels) -> None:
        self.labels = labels
        self._auto_foot = np.array([g in FOOT_GROUPS for g in labels.groups], np.bool_)
        self._recorder = PathRecorder()
        self._lines: dict[str, LineCounter] = {}
        self._zones: dict[str, ZoneCounter] = {}
        self._occupancy: dict[str, dict[int, int]] = {}
        self._wanted: dict[tuple[str, ...], npt.NDArray[np.bool_]] = {}
        self._epoch: int | None = None
        self.with_rules(rules)

    def with_rules(self, rules: CameraRules) -> None:
        """Take new rules; lines and zones that did not change keep what they know of the tracks."""
        self._wanted = {
            spec.classes: self._class_mask(spec.name, spec.classes) for spec in (*rules.lines, *rules.zones)
        }
        lines, zones = self._lines, self._zones
        self._lines = {
            s.name: lines[s.name] if s.name in lines and lines[s.name].spec == s else LineCounter(s)
            for s in rules.lines
        }
        self._zones = {
            s.name: zones[s.name] if s.name in zones and zones[s.name].spec == s else ZoneCounter(s)
            for s in rules.zones
        }
        self._occupancy = {
            name: self._occupancy.get(name, {}) if self._zones[name] is zones.get(name) else {}
            for name in self._zones
        }
        self.rules = rules

    def _class_mask(self, name: str, classes: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        known = {*self.labels.names, *self.labels.groups}
        for wanted in classes:
            if wanted not in known:
                raise RuleError(
                    f"{name}: the model has no class or group {wanted!r}; it has {', '.join(sorted(known))}"
                )
        if not classes:
            return np.ones(len(self.labels.names), np.bool_)
        return np.array(
            [n in classes or g in classes for n, g in zip(self.labels.names, self.labels.groups, strict=True)]
        )

    # ---- a frame

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """What happened at this frame, as events in a fixed order."""
        events: list[Event] = []
        if self._epoch is not None and stamp.epoch != self._epoch:
            events.extend(self.close(stamp))
        self._epoch = stamp.epoch
        time_s = stamp.media_ns / 1e9
        for line in self._lines.values():
            rows, anchors = self._select(line.spec, tracks)
            for crossing in line.update(time_s, tracks, anchors, rows):
                events.append(self._line_event(stamp, line.spec, tracks, crossing))
        for name, zone in self._zones.items():
            rows, anchors = self._select(zone.spec, tracks)
            for change in zone.update(time_s, tracks, anchors, rows):
                events.append(self._zone_event(stamp, zone.spec, change))
            occupancy = zone.occupancy
            if occupancy != self._occupancy[name]:
                self._occupancy[name] = occupancy
                events.append(self._occupancy_event(stamp, zone.spec, occupancy))
        for track_id, path in self._recorder.update(stamp.media_ns, tracks):
            events.append(self._ended_event(stamp, track_id, path))
        return events

    def close(self, stamp: Stamp) -> list[Event]:
        """End all tracks: the camera was closed or its epoch is over."""
        events = [self._ended_event(stamp, k, path) for k, path in self._recorder.close()]
        self._lines = {name: LineCounter(line.spec) for name, line in self._lines.items()}
        self._zones = {name: ZoneCounter(zone.spec) for name, zone in self._zones.items()}
        for name, before in self._occupancy.items():
            if before:
                events.append(self._occupancy_event(stamp, self._zones[name].spec, {}))
        self._occupancy = {name: {} for name in self._zones}
        self._epoch = None
        return events

    def _select(self, spec: LineSpec | ZoneSpec, tracks: Tracks) -> tuple[npt.NDArray[np.intp], Any]:
        boxes = tracks.boxes_xyxyn
        if spec.anchor == "auto":
            anchors = anchor_points(boxes, "center")
            foot = self._auto_foot[tracks.class_ids]
            anchors[foot, 1] = boxes[foot, 3]
        else:
            anchors = anchor_points(boxes, spec.anchor)
        return np.flatnonzero(self._wanted[spec.classes][tracks.class_ids]), anchors

    # ---- events

    def _names(self, class_id: int) -> dict[str, str]:
        return {"class": self.labels.names[class_id], "group": self.labels.groups[class_id]}

    def _line_event(self, stamp: Stamp, spec: LineSpec, tracks: Tracks, crossing: LineCrossing) -> Event:
        row = crossing.row
        right = crossing.side > 0
        crossed_ns = int(crossing.time_s * 1e9)
        data: dict[str, Any] = {
            "line": spec.name,
            "direction": spec.left_to_right if right else spec.right_to_left,
            "side": "left_to_right" if right else "right_to_left",
            **self._names(int(tracks.class_ids[row])),
            "track_id": int(tracks.track_ids[row]),
            "point_xyn": [round(v, 5) for v in crossing.point_xyn],
            "box_xyxyn": [round(float(v), 5) for v in tracks.boxes_xyxyn[row]],
            "score": round(float(tracks.scores[row]), 4),
            "margin": round(crossing.margin, 5),
            "crossed_media_ns": crossed_ns,
            "crossed_captured_ns": stamp.captured_ns - (stamp.media_ns - crossed_ns),
            "rule_rev": spec.rev,
        }
        return Event(LINE_CROSSED, stamp, spec.name, data)

    def _zone_event(self, stamp: Stamp, spec: ZoneSpec, change: ZoneChange) -> Event:
        data: dict[str, Any] = {
            "zone": spec.name,
            **self._names(change.class_id),
            "track_id": change.track_id,
            "rule_rev": spec.rev,
            "changed_media_ns": int(change.time_s * 1e9),
        }
        if change.dwell_s is not None:
            data["dwell_s"] = round(change.dwell_s, 3)
        return Event(ZONE_ENTERED if change.entered else ZONE_EXITED, stamp, spec.name, data)

    def _occupancy_event(self, stamp: Stamp, spec: ZoneSpec, counts: dict[int, int]) -> Event:
        by_class = {self.labels.names[c]: n for c, n in sorted(counts.items())}
        data = {"zone": spec.name, "count": sum(counts.values()), "by_class": by_class, "rule_rev": spec.rev}
        return Event(ZONE_OCCUPANCY, stamp, spec.name, data)

    def _ended_event(self, stamp: Stamp, track_id: int, path: TrackPath) -> Event:
        data = {
            **self._names(path.class_id),
            "track_id": track_id,
            "votes": {self.labels.names[c]: n for c, n in sorted(path.votes.items())},
            "first_media_ns": path.first_ns,
            "last_media_ns": path.last_ns,
            "path": path.points,
        }
        return Event(TRACK_ENDED, stamp, str(track_id), data)

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data (numbers, lists, strings) from which `restore` goes on."""
        return {
            "format": FORMAT,
            "epoch": self._epoch,
            "lines": {n: [c.spec.model_dump(mode="json"), c.save()] for n, c in self._lines.items()},
            "zones": {n: [c.spec.model_dump(mode="json"), c.save()] for n, c in self._zones.items()},
            "occupancy": {n: [[c, k] for c, k in v.items()] for n, v in self._occupancy.items()},
            "tracks": self._recorder.save(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`; a line or zone that was changed meanwhile starts anew. Raises ValueError where
        another version saved it."""
        if saved.get("format") != FORMAT:
            raise ValueError(f"analytics state of format {saved.get('format')!r} cannot be restored")
        self._epoch = saved["epoch"]
        for name, (spec, state) in saved["lines"].items():
            if name in self._lines and self._lines[name].spec.model_dump(mode="json") == spec:
                self._lines[name].restore(state)
        for name, (spec, state) in saved["zones"].items():
            if name in self._zones and self._zones[name].spec.model_dump(mode="json") == spec:
                self._zones[name].restore(state)
                self._occupancy[name] = {int(c): int(k) for c, k in saved["occupancy"].get(name, [])}
        self._recorder.restore(saved["tracks"])


def create_analytics(rules: CameraRules, labels: Labels) -> Analytics:
    """The analytics of one camera by its rules. Raises RuleError for a class the model does not have."""
    return Analytics(rules, labels)
