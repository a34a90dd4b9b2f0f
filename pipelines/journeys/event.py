"""The event of a journey, described: who came to a camera was at another one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.analytics.base import TRACK, EventType
from pipelines.events import JOURNEY

_TRACK_NUMBER = {"type": "integer", "minimum": 1}

JOURNEY_TYPE = EventType(
    JOURNEY,
    "Somebody came who was at another camera before",
    "Who or what came to this camera left another camera of the site shortly before, as its look says. Told "
    "where that is sure alone, so that many journeys are not told; no look is in it.",
    {
        "from_camera": {"type": "string", "description": "the camera that was left; `camera`: come to"},
        "from_epoch": {"type": "integer", "description": "scopes from_track_id there", "minimum": 0},
        "from_track_id": {**_TRACK_NUMBER, "description": "the track there, unique within camera and epoch"},
        **TRACK,
        "left_captured_ns": {
            "type": "integer",
            "description": "when it was last seen there, by the box's wall clock, Unix time in nanoseconds",
        },
        "came_captured_ns": {"type": "integer", "description": "when it was first seen here, likewise"},
        "between_s": {"type": "number", "description": "the seconds between both", "minimum": 0},
        "probability": {
            "type": "number",
            "description": "how sure it is that both are one, calibrated on drawn scenes",
            "minimum": 0,
            "maximum": 1,
        },
    },
)  # fmt: skip


def summary(data: Mapping[str, Any]) -> str:
    """The event's data in one line."""
    came = f"{data['class']} {data['track_id']}"
    before = f"{data['from_camera']} {data['from_track_id']}"
    return f"{came} was {before}, {data['between_s']:.0f} s before, {data['probability']:.0%}"
