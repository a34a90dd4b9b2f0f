"""Clips: what may be asked for, and the way of the messages about them between the workers.

The daemon itself knows nothing of clips; where they are off there is no worker for them, and it says so.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.api.explain import UnknownEvent, parse_id
from streamer.daemon.operations import Asked, Daemon, Operation
from streamer.daemon.process_spec import Plan
from streamer.errors import ConfigError, ControlError
from streamer.ipc.clip_messages import ClipRecorded, ClipStored, ClipTold, ClipWanted, RecordClip

ANSWER_LIMIT_S = 8.0
WORKER = "clips"
OFF = "clips are off: set clips.enabled in streamer.yaml (and `systemctl reload streamer`), see docs/clips.md"
AWAY = "the clips worker is away: try again in a moment"
ClipMessage = ClipWanted | RecordClip | ClipRecorded | ClipStored | ClipTold


class ClipArguments(Arguments):
    """`event` is an event's id, or a clip's; `offset` of what is read, `camera` of a list."""

    action: Literal["make", "list", "read", "remove"]
    event: str = Field(default="", max_length=255)
    camera: Name | None = None
    offset: int = Field(default=0, ge=0, lt=1 << 63)


def camera_of(arguments: ClipArguments) -> str:
    """Which camera it is about, "" for a list of all. Raises ConfigError for what is no id."""
    if arguments.action == "list":
        return arguments.camera or ""
    try:
        return parse_id(arguments.event).camera
    except UnknownEvent as error:
        name, _, rest = arguments.event.rpartition("-")
        camera, _, lineage = name.rpartition("-")
        if camera and lineage.isdigit() and rest.isdigit() and arguments.action != "make":
            return camera  # the clip's own id
        raise ConfigError(str(error)) from error


def destination(message: ClipMessage, plan: Plan) -> str:
    """The worker that a message about a clip is for; "" where there is none now."""
    if isinstance(message, RecordClip):
        return plan.capture_of.get(message.camera, "")
    if isinstance(message, ClipStored):
        return plan.infer_of.get(message.camera, "")
    return WORKER if WORKER in plan.workers else ""


def not_recorded(asked: RecordClip) -> ClipRecorded:
    """What the clips worker is told where nobody captures the camera."""
    why = f"camera {asked.camera}: is not captured now: enable it, or try again in a moment"
    return ClipRecorded(asked.clip, asked.camera, "", 0, 0, "", error=why)


def late(_camera: str) -> ControlError:
    return ControlError("no answer about the clip in time: look at `streamer clip list` before you ask again")


def _clip(daemon: Daemon, arguments: ClipArguments, asked: Asked) -> None:
    daemon.clip(arguments, asked)


OPERATION = Operation(ClipArguments, _clip, "admin")
