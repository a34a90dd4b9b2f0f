"""A person sets how many are inside, as an event beside the count: what may be asked for.

The camera's inference worker, which keeps the sum, makes the event, so that it has its place in the sequence
like every other. What was counted before stays as it was told.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from pipelines.defaults import with_defaults
from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.config.schema import CameraConfig
from streamer.daemon.operations import Asked, Daemon, Operation
from streamer.errors import ConfigError
from streamer.models.camera_check import pipeline_of

MAX_COUNT = 1_000_000
MAX_REASON = 500  # characters


class OccupancyArguments(Arguments):
    """`by` is the name of who asks, as the command has it; over HTTP the token's."""

    camera: Name
    occupancy: Name
    count: int = Field(ge=0, le=MAX_COUNT)
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    by: str = Field(min_length=1, max_length=64)

    @field_validator("reason", "by")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if not text.isprintable() or not text.strip():
            raise ValueError("is one line of text")
        return text


def check_occupancy(camera: CameraConfig, name: str) -> None:
    """Raise ConfigError with the occupancies that the camera has, where it has no such one."""
    rules = with_defaults(camera.rules, pipeline_of(camera))
    known = [rule.name for rule in rules.of("occupancies")]
    if name in known:
        return
    if name in {zone.name for zone in rules.zones}:
        more = f"zone {name} tells who is seen in it now, which nobody can set; an occupancy over it can be"
        raise ConfigError(f"camera {camera.name}: {more} (docs/analytics.md)")
    listed = ", ".join(known) or "there is none (docs/analytics.md)"
    raise ConfigError(f"camera {camera.name} has no occupancy {name[:63]!r}; known: {listed}")


def asked_for(arguments: OccupancyArguments, uid: int | None) -> dict[str, Any]:
    """What the worker is asked, with what the event says of who asked; `uid` as the kernel tells it."""
    told = {"reason": arguments.reason, "by": arguments.by, "uid": uid}
    return {"name": arguments.occupancy, "count": arguments.count, "told": told}


def _set(daemon: Daemon, arguments: OccupancyArguments, asked: Asked) -> None:
    caller = asked.caller  # over HTTP a process asks for somebody else: its user is nobody who sets
    uid = None if caller.behalf else caller.uid
    daemon.set_occupancy(arguments, uid, asked)


OPERATION = Operation(OccupancyArguments, _set, "operator")
