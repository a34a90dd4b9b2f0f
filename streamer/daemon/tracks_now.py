"""The tracks of a camera at this moment, for who looks at its picture: asked of its inference worker, which
knows them from its last frame, and answered in a later turn of the loop."""

from __future__ import annotations

from typing import Any

from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.daemon.operations import Asked, Daemon, Operation
from streamer.errors import ControlError
from streamer.ipc.camera_requests import TracksNow

ANSWER_LIMIT_S = 3.0


class TracksArguments(Arguments):
    camera: Name


def told(now: TracksNow) -> dict[str, Any]:
    """What is answered; boxes are shares of the picture."""
    names = ("track_id", "class", "x1", "y1", "x2", "y2")
    tracks = [dict(zip(names, track, strict=True)) for track in now.tracks]
    return {"captured_ns": now.captured_ns, "tracks": tracks}


def late(camera: str) -> ControlError:
    return ControlError(f"camera {camera}: the tracks were not told in time: try again in a moment")


def _tracks(daemon: Daemon, arguments: TracksArguments, asked: Asked) -> None:
    daemon.tracks_now(arguments.camera, asked)


OPERATION = Operation(TracksArguments, _tracks)
