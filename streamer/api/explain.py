"""Why an event was made: the event, its track, the rule as it was, the frames, and what nearly happened.

All of it from the ledger, read-only: a daemon may be running or not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from pipelines.camera_rules import CameraRules
from pipelines.count.line import EVIDENCE
from pipelines.count.near_misses import line_passages, nearest_to_line, nearest_to_zone
from pipelines.count.replay import stored_anchors
from pipelines.count.trajectory_codec import Trajectory, TrajectoryError, decode
from pipelines.events import ALERT, TRACK_ENDED
from pipelines.rules import LineSpec, ZoneSpec
from streamer.errors import Exit, StreamerError
from streamer.events import cloudevents
from streamer.events.cloudevents import StoredEvent, rfc3339
from streamer.ledger import LedgerReader

NEAR = 0.05  # of the picture: nearer than this to a line or zone is told
SET = "set"  # the cause of an occupancy that a person has set
SET_MEMBERS = ("count", "reason", "by", "uid")
ALERT_MEMBERS = (
    *("alert", "state", "severity", "kind", "rule", "since_captured_ns", "duration_s", "count", "tracks"),
    *("events", "raised_seq", "repeats", "reason"),
)
FORMS = "NODE/CAMERA/LINEAGE/SEQ, CAMERA/SEQ, or LINEAGE-SEQ with --camera CAMERA"


class UnknownEvent(StreamerError):
    """Raised when text is no event's id, or the ledger does not have that event."""

    exit_code = Exit.CONFIG


class AskedEvent(NamedTuple):
    camera: str
    seq: int
    lineage: int | None = None
    node: str | None = None


@dataclass
class Explanation:
    """What explain() found. `rule` is the line or zone, `rules` all of its revision; `trajectory` is the path
    of the track, where it is kept. `as_dict` is plain JSON."""

    event: dict[str, Any]
    captured_ns: int
    rules: CameraRules | None = None
    rule: LineSpec | ZoneSpec | None = None
    trajectory: Trajectory | None = None
    track_first_media_ns: int = 0
    as_dict: dict[str, Any] = field(default_factory=dict)


def parse_id(text: str, camera: str | None = None) -> AskedEvent:
    """Raise UnknownEvent, with the forms there are."""
    if match := re.fullmatch(r"([^/]+)/([^/]+)/(\d{1,18})/(\d{1,18})", text):
        return AskedEvent(match[2], int(match[4]), int(match[3]), match[1])
    if match := re.fullmatch(r"([^/]+)/(\d{1,18})", text):
        return AskedEvent(match[1], int(match[2]))
    if match := re.fullmatch(r"(\d{1,18})-(\d{1,18})", text):
        if camera is None:
            raise UnknownEvent(f"{text} is an id of one camera's stream: add --camera CAMERA")
        return AskedEvent(camera, int(match[2]), int(match[1]))
    raise UnknownEvent(f"{text[:80]!r} is not an event's id: ids look like {FORMS}")


def explain(reader: LedgerReader, asked: AskedEvent) -> Explanation:
    """Raise UnknownEvent where the ledger does not have it."""
    stored = _find(reader, asked)
    event = json.loads(stored.body)
    data = event["data"]
    explanation = Explanation(event, cloudevents.parse_rfc3339_ns(event["time"]))
    details = {
        name: data[name] for name in ("class", "group", "track_id", "direction", "dwell_s") if name in data
    }
    explanation.as_dict = {
        "id": event["id"],
        "stream_id": str(stored.id),
        "type": event["type"],
        "camera": stored.camera,
        "time": event["time"],
        "subject": event.get("subject", ""),
        **details,
        "frames": _frames(explanation),
        "rule": _rule(reader, explanation),
        "margins": _margins(data),
    }
    if data.get("cause") == SET:
        explanation.as_dict["set"] = {name: data[name] for name in SET_MEMBERS if name in data}
    if event["type"] == ALERT:
        explanation.as_dict["alert"] = {name: data[name] for name in ALERT_MEMBERS if name in data}
        explanation.as_dict["evidence"] = _evidence(reader, data)
    if "track_id" in data:
        explanation.as_dict["track"] = _track(reader, explanation)
        explanation.as_dict["nearly"] = _nearly(reader, explanation)
    return explanation


def _find(reader: LedgerReader, asked: AskedEvent) -> StoredEvent:
    cameras = reader.cameras()
    if asked.camera not in cameras:
        names = ", ".join(sorted(cameras)) or "none"
        raise UnknownEvent(
            f"the ledger has no camera {asked.camera[:63]!r} (it has {names}); ids look like {FORMS}"
        )
    node = reader.status()["node"]
    if asked.node not in (None, node):
        raise UnknownEvent(f"the event is of node {asked.node}, this ledger of node {node}: ask there")
    stored = reader.event(asked.camera, asked.seq)
    if stored is not None and asked.lineage in (None, stored.id.lineage):
        return stored
    if stored is not None:
        raise UnknownEvent(
            f"{asked.camera}: number {asked.seq} is of lineage {stored.id.lineage} here, not {asked.lineage}"
        )
    first, last = reader.first_seq(asked.camera), cameras[asked.camera]
    if first is not None and asked.seq < first and asked.seq > 0:
        raise UnknownEvent(
            f"{asked.camera}: event {asked.seq} is past its retention; the oldest that is kept is {first}"
        )
    raise UnknownEvent(f"{asked.camera}: there is no event {asked.seq}; its last is {last}")


def _wall(explanation: Explanation, media_ns: int) -> str:
    """The moment of the stream's time on the box's clock, as the event has them."""
    return rfc3339(explanation.captured_ns + media_ns - int(explanation.event["data"]["media_ns"]))


def _frames(explanation: Explanation) -> dict[str, Any]:
    data = explanation.event["data"]
    frames: dict[str, Any] = {
        "decided": {
            "frame_id": data["frame_id"],
            "epoch": data["epoch"],
            "media_ns": data["media_ns"],
            "time": explanation.event["time"],
            "age_ms": data["age_ms"],
            "taken_ms": data["taken_ms"],
            "inference_ms": data["inference_ms"],
        }
    }
    happened_ns = data.get("crossed_media_ns", data.get("changed_media_ns"))
    if happened_ns is not None and data.get("cause") != SET:
        frames["happened"] = {
            "media_ns": happened_ns,
            "time": _wall(explanation, happened_ns),
            "before_decision_s": round((data["media_ns"] - happened_ns) / 1e9, 3),
        }
    return frames


def _margins(data: dict[str, Any]) -> dict[str, Any]:
    margins: dict[str, Any] = {n: data[n] for n in ("margin", "evidence", "score", "confidence") if n in data}
    if "margin" in margins:
        margins |= {"margin_needed": 1.0, "evidence_needed": EVIDENCE}
    return margins


def _rule(reader: LedgerReader, explanation: Explanation) -> dict[str, Any]:
    data = explanation.event["data"]
    rev = int(data["config_rev"])
    rule_json: dict[str, Any] = {"config_rev": rev}
    revision = reader.revision(rev)
    if revision is None:
        return rule_json | {"note": f"the ledger does not have configuration revision {rev}"}
    rule_json["in_force_since"] = rfc3339(revision[0])
    cameras = {camera["name"]: camera for camera in revision[1].get("cameras", ())}
    try:
        explanation.rules = CameraRules.model_validate(cameras[data["camera"]]["rules"])
    except (KeyError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        return rule_json | {"note": f"revision {rev} has no rules of this camera that can be read: {reason}"}
    if explanation.rules.region != "off":
        rule_json["region"] = explanation.rules.region
    for kind, rules in (("line", explanation.rules.lines), ("zone", explanation.rules.zones)):
        by_name: dict[str, LineSpec | ZoneSpec] = {rule.name: rule for rule in rules}
        if kind in data and data[kind] in by_name:
            explanation.rule = by_name[data[kind]]
            rule_json[kind] = explanation.rule.model_dump(mode="json")
    return rule_json


# ---- an alert


def _evidence(reader: LedgerReader, data: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that made an alert hold, as far as they are kept, and the one that raised it."""
    evidence = []
    raised = [] if data["raised_seq"] == data["seq"] else [data["raised_seq"]]
    for seq in [*data["events"], *raised]:
        stored = reader.event(data["camera"], seq)
        told: dict[str, Any] = {"event": f"{data['camera']}/{seq}"}
        if stored is None:
            evidence.append(told | {"note": "past its retention"})
            continue
        event = json.loads(stored.body)
        told |= {"type": event["type"], "time": event["time"], "subject": event.get("subject", "")}
        told["data"] = event["data"]
        evidence.append(told)
    return evidence


# ---- the track


def _track(reader: LedgerReader, explanation: Explanation) -> dict[str, Any]:
    data, camera = explanation.event["data"], explanation.event["data"]["camera"]
    epoch, track_id = int(data["epoch"]), int(data["track_id"])
    track_json: dict[str, Any] = {"track_id": track_id, "epoch": epoch}
    path = reader.path_of(camera, epoch, track_id)
    if path is None:
        if reader.of_track(camera, TRACK_ENDED, epoch, track_id):
            return track_json | {"state": "ended", "note": "its path was not kept"}
        return track_json | {"state": "still open", "note": "its path is kept when it ends; look again then"}
    ended = reader.event(camera, path.seq)
    if ended is None:
        return track_json | {"state": "not kept"}
    track = json.loads(ended.body)["data"]
    explanation.track_first_media_ns = int(track["first_media_ns"])
    track_json |= {
        "state": "ended",
        "ended_event": f"{camera}/{path.seq}",
        "first": rfc3339(path.first_ns),
        "last": rfc3339(path.last_ns),
        "seconds": round((path.last_ns - path.first_ns) / 1e9, 3),
        "class": track["class"],
        "votes": track["votes"],
        "crossings": track.get("crossings", 0),
    }
    try:
        trajectory = explanation.trajectory = decode(path.trace)
    except TrajectoryError as error:
        return track_json | {"note": str(error)}
    track_json["places"] = int(trajectory.samples_each.sum())
    track_json["path"] = [
        [round(at_s, 4), *(round(v, 4) for v in box)]
        for at_s, box in zip(trajectory.times_s.tolist(), trajectory.boxes_xyxyn.tolist(), strict=True)
    ]
    return track_json


def anchors(explanation: Explanation) -> list[tuple[float, float]]:
    """The points of the track by which its rule judged it, knot by knot; none where no path is kept."""
    if explanation.trajectory is None:
        return []
    anchor = explanation.rule.anchor if explanation.rule is not None else "auto"
    points = stored_anchors(
        explanation.trajectory.boxes_xyxyn, explanation.trajectory.class_index, explanation.trajectory, anchor
    )
    return [(float(x), float(y)) for x, y in points]


# ---- what nearly happened


def _nearly(reader: LedgerReader, explanation: Explanation) -> list[dict[str, Any]]:
    moments = _repeats(reader, explanation)
    if explanation.trajectory is None or explanation.rules is None:
        return moments
    for line in explanation.rules.lines:
        moments.extend(_nearly_crossed(explanation, line))
    for zone in explanation.rules.zones:
        nearest = nearest_to_zone(explanation.trajectory, zone)
        if 0 < nearest.distance <= NEAR:
            text = f"it came within {nearest.distance:.3f} of zone {zone.name} and did not enter"
            moments.append(_moment(explanation, "near", zone.name, nearest.time_s, nearest.point_xyn, text))
    return moments


def _nearly_crossed(explanation: Explanation, line: LineSpec) -> list[dict[str, Any]]:
    assert explanation.trajectory is not None
    moments, passages = [], line_passages(explanation.trajectory, line)
    for passage in passages:
        if passage.refused:
            name = line.left_to_right if passage.side > 0 else line.right_to_left
            text = f"line {line.name}, {name}: not counted, {passage.refused}"
            moments.append(
                _moment(explanation, "refused", line.name, passage.time_s, passage.point_xyn, text)
            )
    if not passages:
        nearest = nearest_to_line(explanation.trajectory, line)
        if nearest.distance <= NEAR:
            text = f"it came within {nearest.distance:.3f} of line {line.name} and did not cross"
            moments.append(_moment(explanation, "near", line.name, nearest.time_s, nearest.point_xyn, text))
    return moments


def _repeats(reader: LedgerReader, explanation: Explanation) -> list[dict[str, Any]]:
    """Other events of this type by the same track on the same rule."""
    data = explanation.event["data"]
    repeats = []
    for other in reader.of_track(data["camera"], explanation.event["type"], data["epoch"], data["track_id"]):
        event = json.loads(other.body)
        if event["id"] == explanation.event["id"] or event.get("subject") != explanation.event.get("subject"):
            continue
        at = "crossed_media_ns" if "crossed_media_ns" in event["data"] else "media_ns"
        apart_s = (event["data"][at] - data.get(at, data["media_ns"])) / 1e9
        way = event["data"].get("direction", event["type"].split(".")[-2])
        when = f"{abs(apart_s):.1f} s {'later' if apart_s > 0 else 'before'}"
        text = f"the same track was counted here too, {way}, {when}"
        repeats.append(
            {
                "kind": "repeat",
                "rule": event.get("subject", ""),
                "time": event["time"],
                "event": f"{data['camera']}/{other.id.seq}",
                "text": text,
            }
        )
    return repeats


def _moment(
    explanation: Explanation, kind: str, rule: str, time_s: float, point: tuple[float, float], text: str
) -> dict[str, Any]:
    media_ns = explanation.track_first_media_ns + round(time_s * 1e9)
    return {
        "kind": kind,
        "rule": rule,
        "time": _wall(explanation, media_ns),
        "point_xyn": [round(v, 4) for v in point],
        "text": text,
    }
