"""The event of an alert: what is told when it is raised, told again, and cleared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.analytics.base import RULE_REV, EventType
from pipelines.events import ALERT

NUMBER = {"type": "integer", "minimum": 0}

ALERT_TYPE = EventType(
    ALERT,
    "An alert was raised or cleared",
    "A rule of `alerts` holds, with what made it hold, or holds no longer. An alert that is raised is told "
    "once, and again every `repeat_after_s` where the rule asks for that.",
    {
        "alert": {"type": "string", "description": "the rule's name; also the subject"},
        "state": {"type": "string", "description": "what it is now", "enum": ["raised", "cleared"]},
        "kind": {
            "type": "string",
            "description": "what the rule is about",
            "enum": ["presence", "count", "crossing", "action", "wrong_way", "speed", "camera"],
        },
        "severity": {
            "type": "string",
            "description": "as the rule has it",
            "enum": ["info", "warning", "critical"],
        },
        "rule": {
            "type": "object",
            "description": "the rule as it was: its keys that are not left at their defaults",
        },
        "zone": {"type": "string", "description": "the zone's name, where the rule names one"},
        "line": {"type": "string", "description": "the line's name, where the rule names one"},
        "since_captured_ns": {
            "type": "integer",
            "description": "when it began to hold, by the box's wall clock, Unix time in nanoseconds",
        },
        "duration_s": {
            "type": "number",
            "description": "for how long it has held, or had when it was cleared, in seconds",
            "minimum": 0,
        },
        "count": {
            **NUMBER,
            "description": "how many: in the zone, crossings, actions, …; 0: it is about the camera",
        },
        "tracks": {
            "type": "array",
            "description": "the tracks that made it hold, 20 at most",
            "items": {
                "type": "object",
                "properties": {
                    "track_id": {"type": "integer", "minimum": 1},
                    "class": {"type": "string"},
                    "since_captured_ns": {"type": "integer"},
                },
            },
        },
        "events": {
            "type": "array",
            "description": "`seq` of this camera's events that made it hold, 20 at most",
            "items": {"type": "integer", "minimum": 1},
        },
        "raised_seq": {
            "type": "integer",
            "description": "`seq` of the event that first told it as raised: the same until it is cleared",
            "minimum": 1,
        },
        "repeats": {**NUMBER, "description": "how often it has been told again since"},
        "reason": {
            "type": "string",
            "description": (
                "why it was cleared: `over` (it holds no longer), `hours` (its hours have ended), `rule` "
                "(the rule was changed or removed), `removed` (the camera is not watched any more)"
            ),
            "enum": ["over", "hours", "rule", "removed"],
        },
        **RULE_REV,
    },
    optional=("zone", "line", "reason"),
)


def summary(data: Mapping[str, Any]) -> str:
    """The event's data in one line."""
    if data["state"] == "cleared":
        why = {"over": "", "hours": ", its hours have ended", "rule": ", the rule was changed"}
        return (
            f"cleared after {data['duration_s']:.0f} s{why.get(data['reason'], ', the camera was removed')}"
        )
    again = f" (told again, {data['repeats']})" if data["repeats"] else ""
    return f"{data['severity']}: {_what(data)}{again}"


def _what(data: Mapping[str, Any]) -> str:
    rule, lasted = data["rule"], f"{data['duration_s']:.0f} s"
    who = ", ".join(f"{track['class']} {track['track_id']}" for track in data["tracks"][:3])
    if data["kind"] == "presence":
        return f"{who} in {rule['zone']}{', held' if data['repeats'] else ''} for {lasted}"
    if data["kind"] == "count":
        return f"{data['count']} in {rule['zone']} for {lasted}"
    if data["kind"] == "camera":
        return f"camera {rule['camera']} for {lasted}"
    what = {
        "crossing": f"line {rule.get('line')} crossed {rule.get('direction', '')}".rstrip(),
        "action": str(rule.get("action")),
        "wrong_way": "wrong way",
        "speed": "too fast",
    }[data["kind"]]
    return f"{what}: {who or data['count']}"
