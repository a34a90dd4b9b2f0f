"""What is worth saying of an event in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.alerts.event import summary as of_alert
from pipelines.analytics import ANALYTICS
from pipelines.events import ACTION_DETECTED, ALERT, JOURNEY, SCENE_CHANGED
from pipelines.journeys.event import summary as of_journey
from streamer.events.cloudevents import CLIP, COUNT_CORRECTED

_OF_ANALYTICS = {event.name: kind.summary for kind in ANALYTICS for event in kind.events}


def one_line(event_type: str, data: Mapping[str, Any]) -> str | None:
    """None for a type that is told otherwise, or is not known here."""
    if event_type in _OF_ANALYTICS:
        return _OF_ANALYTICS[event_type](event_type, data)
    match event_type:
        case str() if event_type == COUNT_CORRECTED:
            what = f"{data['direction']} {data['class']} {data['amount']:+d}"
            return f"{what} by {data['by']}: {data['reason']}"
        case str() if event_type == CLIP:
            note = f"; {data['note']}" if data["note"] else ""
            return f"of {data['event']}: {data['bytes'] / 1e6:.1f} MB, people: {data['people']}{note}"
        case str() if event_type == ACTION_DETECTED:
            who = f", {data['class']} {data['track_id']}" if "track_id" in data else ""
            return f"{data['action']} {data['probability']:.0%}{who}"
        case str() if event_type == SCENE_CHANGED:
            return f"{data['scene']} {data['probability']:.0%}, was {data['previous']}"
        case str() if event_type == ALERT:
            return of_alert(data)
        case str() if event_type == JOURNEY:
            return of_journey(data)
    return None
