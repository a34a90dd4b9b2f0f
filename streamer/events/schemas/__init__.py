"""The JSON Schemas of the events, one file a type, beside the schema of their common envelope.

A type's schema describes the event's `data`, as CloudEvents' `dataschema` says; `envelope()` the rest.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from streamer.errors import ConfigError

_ENVELOPE = "cloudevent"


def names() -> list[str]:
    """Every event type, sorted."""
    stems = (entry.name.removesuffix(".json") for entry in files(__name__).iterdir() if ".json" in entry.name)
    return sorted(stem for stem in stems if stem != _ENVELOPE)


def get(event_type: str) -> dict[str, Any]:
    """The schema of the type's `data`. Raise ConfigError for a type that there is not."""
    known = names()
    if event_type not in known:
        raise ConfigError(f"no event type {event_type[:80]!r}: there are {', '.join(known)}")
    return _load(event_type)


def envelope() -> dict[str, Any]:
    """The schema of what all events have in common."""
    return _load(_ENVELOPE)


def _load(stem: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files(__name__) / f"{stem}.json").read_text("utf-8"))
    return schema
