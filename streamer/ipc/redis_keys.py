"""Every Redis key (DESIGN section 4): the braces keep one camera's keys in one Cluster slot."""

from __future__ import annotations


def events_key(node: str, camera: str) -> str:
    return f"streamer:{{{node}/{camera}}}:events"


def totals_key(node: str, camera: str) -> str:
    return f"streamer:{{{node}/{camera}}}:totals"


def state_key(node: str, camera: str) -> str:
    return f"streamer:{{{node}/{camera}}}:state"


CAMERAS_KEY = "streamer:cameras"
