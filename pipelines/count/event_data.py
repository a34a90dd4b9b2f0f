"""What lines, zones and ended tracks tell, as the data of events (docs/reference/events.md)."""

from __future__ import annotations

from typing import Any

from pipelines.count.confidence import Judgement
from pipelines.count.line import LineCrossing
from pipelines.count.trajectory_codec import encode
from pipelines.count.trajectory_recorder import RecordedTrajectory
from pipelines.count.zone import ZoneChange
from pipelines.events import LINE_CROSSED, TRACK_ENDED, ZONE_ENTERED, ZONE_EXITED, ZONE_OCCUPANCY
from pipelines.rules import LineSpec, ZoneSpec
from pipelines.values import Event, Labels, Stamp


def _names(labels: Labels, class_id: int) -> dict[str, str]:
    return {"class": labels.names[class_id], "group": labels.groups[class_id]}


def line_crossed(
    stamp: Stamp,
    labels: Labels,
    spec: LineSpec,
    crossing: LineCrossing,
    *,
    track_id: int,
    class_id: int,
    score: float,
    crossed_ns: int,
    judgement: Judgement,
    view_moved: bool = False,
) -> Event:
    """`crossed_*_ns` are the crossing's own time, interpolated; the event's stamp is when it was decided."""
    right = crossing.side > 0
    data: dict[str, Any] = {
        "line": spec.name,
        "direction": spec.left_to_right if right else spec.right_to_left,
        "side": "left_to_right" if right else "right_to_left",
        **_names(labels, class_id),
        "track_id": track_id,
        "point_xyn": [round(v, 5) + 0.0 for v in crossing.point_xyn],  # never -0.0
        "box_xyxyn": [round(v, 5) + 0.0 for v in crossing.box_xyxyn],
        "score": round(score, 4),
        "margin": round(crossing.margin, 3),
        "evidence": round(crossing.evidence, 3),
        "confidence": judgement.confidence,
        "stands_for": judgement.stands_for,
        "crossed_media_ns": crossed_ns,
        "crossed_captured_ns": stamp.captured_ns - (stamp.media_ns - crossed_ns),
        "rule_rev": spec.rev,
    }
    if view_moved:
        data["view_moved"] = True
    return Event(LINE_CROSSED, stamp, spec.name, data)


def zone_changed(stamp: Stamp, labels: Labels, spec: ZoneSpec, change: ZoneChange, changed_ns: int) -> Event:
    """Entered, or exited with `dwell_s`; `changed_media_ns` is the change's own time."""
    data: dict[str, Any] = {
        "zone": spec.name,
        **_names(labels, change.class_id),
        "track_id": change.track_id,
        "changed_media_ns": changed_ns,
        "rule_rev": spec.rev,
    }
    if change.dwell_s is not None:
        data["dwell_s"] = round(change.dwell_s, 3)
    return Event(ZONE_ENTERED if change.entered else ZONE_EXITED, stamp, spec.name, data)


def zone_occupancy(stamp: Stamp, labels: Labels, spec: ZoneSpec, counts: dict[int, int]) -> Event:
    """How many are inside from now on."""
    data = {
        "zone": spec.name,
        "count": sum(counts.values()),
        "by_class": {labels.names[c]: n for c, n in sorted(counts.items())},
        "rule_rev": spec.rev,
    }
    return Event(ZONE_OCCUPANCY, stamp, spec.name, data)


def track_ended(stamp: Stamp, labels: Labels, path: RecordedTrajectory, first_ns: int, last_ns: int) -> Event:
    """The whole track: `path` has some points of it, [ms since first_media_ns, x1, y1, x2, y2 in 1/10000];
    `trace` is all of it (trajectory_codec.py), which the ledger keeps apart and does not send on."""
    rows = path.rows
    known = {class_id: i for i, class_id in enumerate(dict.fromkeys(row[-1] for row in rows))}
    knots = [[*row[:-1], known[row[-1]]] for row in rows]
    classes = [(labels.names[c], labels.groups[c]) for c in known]
    data = {
        **_names(labels, path.class_id),
        "track_id": path.track_id,
        "votes": {labels.names[c]: n for c, n in sorted(path.votes.items())},
        "first_media_ns": first_ns,
        "last_media_ns": last_ns,
        "crossings": path.crossings,
        "path": path.points,
        "trace": encode(knots, path.evidence, classes, path.frame_s, path.evidence_before),
    }
    return Event(TRACK_ENDED, stamp, str(path.track_id), data)
