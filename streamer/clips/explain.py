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
from pipelines.events import TRACK_ENDED
from pipelines.rules import LineSpec, ZoneSpec
from streamer.errors import StreamerError
from streamer.events import cloudevents
from streamer.events.cloudevents import StoredEvent, rfc3339
from streamer.ledger import LedgerReader

NEAR = 0.05  # of the picture: nearer than this to a line or zone is told
FORMS = "NODE/CAMERA/LINEAGE/SEQ, CAMERA/SEQ, or LINEAGE-SEQ with --camera CAMERA"


class UnknownEvent(StreamerError):
    """Raised when text is no event's id, or the ledger does not have that event."""


class AskedEvent(NamedTuple):
    camera: str
    seq: int
    lineage: int | None = None
    node: str | None = None


@dataclass
class Explanation:
    """What explain() found. `rule` is the line or zone, `rules` all of its revision; `trace` is the track's
    path where it is kept. `as_dict` is plain JSON."""

    event: dict[str, Any]
    captured_ns: int
    rules: CameraRules | None = None
    rule: LineSpec | ZoneSpec | None = None
    trace: Trajectory | None = None
    track_first_media_ns: int = 0
    as_dict: dict[str, Any] = field(default_factory=dict)


def parse_id(text: str, camera: str | None = None) -> AskedEvent:
    """Raise UnknownEvent, with the forms there are."""
    if found := re.fullmatch(r"([^/]+)/([^/]+)/(\d{1,18})/(\d{1,18})", text):
        return AskedEvent(found[2], int(found[4]), int(found[3]), found[1])
    if found := re.fullmatch(r"([^/]+)/(\d{1,18})", text):
        return AskedEvent(found[1], int(found[2]))
    if found := re.fullmatch(r"(\d{1,18})-(\d{1,18})", text):
        if camera is None:
            raise UnknownEvent(f"{text} is an id of one camera's stream: add --camera CAMERA")
        return AskedEvent(camera, int(found[2]), int(found[1]))
    raise UnknownEvent(f"{text[:80]!r} is not an event's id: ids look like {FORMS}")


def explain(reader: LedgerReader, asked: AskedEvent) -> Explanation:
    """Raise UnknownEvent where the ledger does not have it."""
    stored = _find(reader, asked)
    event = json.loads(stored.body)
    data = event["data"]
    found = Explanation(event, cloudevents.parse_rfc3339_ns(event["time"]))
    shown = {
        name: data[name] for name in ("class", "group", "track_id", "direction", "dwell_s") if name in data
    }
    found.as_dict = {
        "id": event["id"],
        "stream_id": str(stored.id),
        "type": event["type"],
        "camera": stored.camera,
        "time": event["time"],
        "subject": event.get("subject", ""),
        **shown,
        "frames": _frames(found),
        "rule": _rule(reader, found),
        "margins": _margins(data),
    }
    if "track_id" in data:
        found.as_dict["track"] = _track(reader, found)
        found.as_dict["nearly"] = _nearly(reader, found)
    return found


def _find(reader: LedgerReader, asked: AskedEvent) -> StoredEvent:
    cameras = reader.cameras()
    if asked.camera not in cameras:
        known = ", ".join(sorted(cameras)) or "none"
        raise UnknownEvent(
            f"the ledger has no camera {asked.camera[:63]!r} (it has {known}); ids look like {FORMS}"
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


def _wall(found: Explanation, media_ns: int) -> str:
    """The moment of the stream's time on the box's clock, as the event has them."""
    return rfc3339(found.captured_ns + media_ns - int(found.event["data"]["media_ns"]))


def _frames(found: Explanation) -> dict[str, Any]:
    data = found.event["data"]
    frames: dict[str, Any] = {
        "decided": {
            "frame_id": data["frame_id"],
            "epoch": data["epoch"],
            "media_ns": data["media_ns"],
            "time": found.event["time"],
            "age_ms": data["age_ms"],
            "taken_ms": data["taken_ms"],
            "inference_ms": data["inference_ms"],
        }
    }
    happened_ns = data.get("crossed_media_ns", data.get("changed_media_ns"))
    if happened_ns is not None:
        frames["happened"] = {
            "media_ns": happened_ns,
            "time": _wall(found, happened_ns),
            "before_decision_s": round((data["media_ns"] - happened_ns) / 1e9, 3),
        }
    return frames


def _margins(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {n: data[n] for n in ("margin", "evidence", "score") if n in data}
    if "margin" in found:
        found |= {"margin_needed": 1.0, "evidence_needed": EVIDENCE}
    return found


def _rule(reader: LedgerReader, found: Explanation) -> dict[str, Any]:
    data = found.event["data"]
    rev = int(data["config_rev"])
    told: dict[str, Any] = {"config_rev": rev}
    kept = reader.revision(rev)
    if kept is None:
        return told | {"note": f"the ledger does not have configuration revision {rev}"}
    told["in_force_since"] = rfc3339(kept[0])
    cameras = {camera["name"]: camera for camera in kept[1].get("cameras", ())}
    try:
        found.rules = CameraRules.model_validate(cameras[data["camera"]]["rules"])
    except (KeyError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        return told | {"note": f"revision {rev} has no rules of this camera that can be read: {reason}"}
    for kind, rules in (("line", found.rules.lines), ("zone", found.rules.zones)):
        named: dict[str, LineSpec | ZoneSpec] = {rule.name: rule for rule in rules}
        if kind in data and data[kind] in named:
            found.rule = named[data[kind]]
            told[kind] = found.rule.model_dump(mode="json")
    return told


# ---- the track


def _track(reader: LedgerReader, found: Explanation) -> dict[str, Any]:
    data, camera = found.event["data"], found.event["data"]["camera"]
    epoch, track_id = int(data["epoch"]), int(data["track_id"])
    told: dict[str, Any] = {"track_id": track_id, "epoch": epoch}
    kept = reader.path_of(camera, epoch, track_id)
    if kept is None:
        if reader.of_track(camera, TRACK_ENDED, epoch, track_id):
            return told | {"state": "ended", "note": "its path was not kept"}
        return told | {"state": "still open", "note": "its path is kept when it ends; look again then"}
    ended = reader.event(camera, kept.seq)
    if ended is None:
        return told | {"state": "not kept"}
    track = json.loads(ended.body)["data"]
    found.track_first_media_ns = int(track["first_media_ns"])
    told |= {
        "state": "ended",
        "ended_event": f"{camera}/{kept.seq}",
        "first": rfc3339(kept.first_ns),
        "last": rfc3339(kept.last_ns),
        "seconds": round((kept.last_ns - kept.first_ns) / 1e9, 3),
        "class": track["class"],
        "votes": track["votes"],
        "crossings": track.get("crossings", 0),
    }
    try:
        trace = found.trace = decode(kept.trace)
    except TrajectoryError as error:
        return told | {"note": str(error)}
    told["places"] = int(trace.samples_each.sum())
    told["path"] = [
        [round(at_s, 4), *(round(v, 4) for v in box)]
        for at_s, box in zip(trace.times_s.tolist(), trace.boxes_xyxyn.tolist(), strict=True)
    ]
    return told


def anchors(found: Explanation) -> list[tuple[float, float]]:
    """The points of the track by which its rule judged it, knot by knot; none where no path is kept."""
    if found.trace is None:
        return []
    anchor = found.rule.anchor if found.rule is not None else "auto"
    points = stored_anchors(found.trace.boxes_xyxyn, found.trace.class_index, found.trace, anchor)
    return [(float(x), float(y)) for x, y in points]


# ---- what nearly happened


def _nearly(reader: LedgerReader, found: Explanation) -> list[dict[str, Any]]:
    told = _repeats(reader, found)
    if found.trace is None or found.rules is None:
        return told
    for line in found.rules.lines:
        told.extend(_nearly_crossed(found, line))
    for zone in found.rules.zones:
        nearest = nearest_to_zone(found.trace, zone)
        if 0 < nearest.distance <= NEAR:
            text = f"it came within {nearest.distance:.3f} of zone {zone.name} and did not enter"
            told.append(_moment(found, "near", zone.name, nearest.time_s, nearest.point_xyn, text))
    return told


def _nearly_crossed(found: Explanation, line: LineSpec) -> list[dict[str, Any]]:
    assert found.trace is not None
    told, seen = [], line_passages(found.trace, line)
    for passage in seen:
        if passage.refused:
            name = line.left_to_right if passage.side > 0 else line.right_to_left
            text = f"line {line.name}, {name}: not counted, {passage.refused}"
            told.append(_moment(found, "refused", line.name, passage.time_s, passage.point_xyn, text))
    if not seen:
        nearest = nearest_to_line(found.trace, line)
        if nearest.distance <= NEAR:
            text = f"it came within {nearest.distance:.3f} of line {line.name} and did not cross"
            told.append(_moment(found, "near", line.name, nearest.time_s, nearest.point_xyn, text))
    return told


def _repeats(reader: LedgerReader, found: Explanation) -> list[dict[str, Any]]:
    """Other events of this type by the same track on the same rule."""
    data = found.event["data"]
    told = []
    for other in reader.of_track(data["camera"], found.event["type"], data["epoch"], data["track_id"]):
        event = json.loads(other.body)
        if event["id"] == found.event["id"] or event.get("subject") != found.event.get("subject"):
            continue
        at = "crossed_media_ns" if "crossed_media_ns" in event["data"] else "media_ns"
        apart_s = (event["data"][at] - data.get(at, data["media_ns"])) / 1e9
        way = event["data"].get("direction", event["type"].split(".")[-2])
        when = f"{abs(apart_s):.1f} s {'later' if apart_s > 0 else 'before'}"
        text = f"the same track was counted here too, {way}, {when}"
        told.append(
            {
                "kind": "repeat",
                "rule": event.get("subject", ""),
                "time": event["time"],
                "event": f"{data['camera']}/{other.id.seq}",
                "text": text,
            }
        )
    return told


def _moment(
    found: Explanation, kind: str, rule: str, time_s: float, point: tuple[float, float], text: str
) -> dict[str, Any]:
    media_ns = found.track_first_media_ns + round(time_s * 1e9)
    return {
        "kind": kind,
        "rule": rule,
        "time": _wall(found, media_ns),
        "point_xyn": [round(v, 4) for v in point],
        "text": text,
    }
