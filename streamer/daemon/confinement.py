"""What the daemon gives up for itself and every process that it starts."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

UMASK = 0o027  # as the unit has it: whatever does not say its mode is nobody's but ours and our group's
_SECRET_PREFIXES = ("STREAMER_CAMERA_", "STREAMER_SINK_", "STREAMER_REDIS_")
_CREDENTIALS_FOLDER = "CREDENTIALS_DIRECTORY"


def confine() -> None:
    """No core dumps, which would hold every password and a picture of each camera; no files for others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(UMASK)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a child may have of it: credentials reach a worker by the bus alone, and only its own."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_SECRET_PREFIXES) and name != _CREDENTIALS_FOLDER
    }
