"""The site's cameras in this box's daemon, over its control socket. The daemon knows of no cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from streamer.api import control_socket as control

WELL = ("live", "connecting", "ended", "disabled")  # states of a camera that need nobody
CHANGE_TIMEOUT_S = 15.0  # a model that must be loaded first takes longer than the change itself


class Told(NamedTuple):
    """In which term the daemon runs a camera; None: it is the box's own. `sees`: a frame of it was inferred
    since it was added, or since the daemon began; `trouble`: why it counts nothing there, "" where it does.
    """

    term: int | None
    owned: bool | None
    sees: bool = False
    trouble: str = ""


class DaemonCameras:
    """Everything raises RunningError where no daemon answers, and ControlError where it refuses."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def status(self) -> tuple[str, dict[str, Told]]:
        """(the daemon's node, its cameras by name with what it was told of them)."""
        status = control.call(self._socket, "status")
        return str(status["node"]), {str(row["name"]): _told(row) for row in status["cameras"]}

    def tell_term(self, site: str, camera: str, term: int, owned: bool, from_ns: int) -> None:
        """In which term of the site it runs the camera, from now on."""
        arguments = {"site": site, "camera": camera, "term": term, "owned": owned, "from_ns": from_ns}
        self._call("camera.term", arguments)

    def put(self, camera: Mapping[str, Any]) -> None:
        """Add it, or change it to what it is now in the site."""
        self._call("change", {"op": "camera.put", "camera": dict(camera), "replace": True})

    def remove(self, camera: str) -> None:
        self._call("change", {"op": "camera.remove", "name": camera})

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> None:
        control.call(self._socket, operation, arguments, CHANGE_TIMEOUT_S)


def _told(row: Mapping[str, Any]) -> Told:
    state, trouble = row["state"], ""
    if state not in WELL:
        trouble = f"it is {state} there: `streamer status` on that box says why"
    return Told(row.get("term"), row.get("owned"), row["frames"]["inferred"] > 0, trouble)
