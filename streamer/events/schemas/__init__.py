"""The JSON Schemas of the events, and the schema of their common envelope.

There is a file for each type but those of analytics and alerts, which lie beside what makes them
(pipelines/analytics, pipelines/alerts) and get here what all have in common (common.json). A type's schema
describes the event's `data`, as CloudEvents' `dataschema` says; `envelope()` the rest.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from pipelines.alerts.event import ALERT_TYPE
from pipelines.analytics import ANALYTICS
from pipelines.analytics.base import EventType
from pipelines.journeys.event import JOURNEY_TYPE
from streamer.errors import ConfigError

_ENVELOPE = "cloudevent"
_COMMON = "common"  # the members that the data of every event on a frame has
_COMPOSED = {
    event.name: event for event in (*(e for kind in ANALYTICS for e in kind.events), ALERT_TYPE, JOURNEY_TYPE)
}


def names() -> list[str]:
    """Every event type, sorted."""
    stems = (entry.name.removesuffix(".json") for entry in files(__name__).iterdir() if ".json" in entry.name)
    return sorted({*stems, *_COMPOSED} - {_ENVELOPE, _COMMON})


def get(event_type: str) -> dict[str, Any]:
    """The schema of the type's `data`. Raise ConfigError for a type that there is not."""
    types = names()
    if event_type not in types:
        raise ConfigError(f"no event type {event_type[:80]!r}: there are {', '.join(types)}")
    composed = _COMPOSED.get(event_type)
    return _load(event_type) if composed is None else _compose(composed)


def _compose(event: EventType) -> dict[str, Any]:
    common = _load(_COMMON)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:streamer:schema:{event.name}",
        "title": event.title,
        "description": f"{event.description} This is the schema of `data`; consumers ignore members they do "
        "not know.",
        "type": "object",
        "properties": {**event.members, **common["properties"]},
        "required": [*(name for name in event.members if name not in event.optional), *common["required"]],
    }


def envelope() -> dict[str, Any]:
    """The schema of what all events have in common."""
    return _load(_ENVELOPE)


def _load(stem: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files(__name__) / f"{stem}.json").read_text("utf-8"))
    return schema
