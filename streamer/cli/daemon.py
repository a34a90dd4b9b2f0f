"""What a running daemon says of itself and its cameras."""

from __future__ import annotations

from typing import Any

from streamer.api import control_socket as control
from streamer.config.schema import Config
from streamer.errors import RunningError


def status(config: Config) -> dict[str, Any] | None:
    """What the daemon says of itself; None where no daemon answers."""
    try:
        return control.call(config.control_path, "status", timeout_s=5.0)
    except RunningError:
        return None


def camera_status(config: Config, name: str) -> dict[str, Any]:
    """The daemon's words about one camera; {} without a daemon or where it does not know it."""
    cameras = (status(config) or {}).get("cameras", ())
    return next((dict(c) for c in cameras if c.get("name") == name), {})
