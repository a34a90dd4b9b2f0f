"""Whether the frame counters of a camera add up: decoded = inferred + gated + dropped + in flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from streamer.ipc.counters import Balance


def unaccounted(frames: Balance | Mapping[str, Any]) -> int:
    """Frames that were decoded and are nowhere; `frames` as the counters or the status have them."""
    words = asdict(frames) if isinstance(frames, Balance) else frames
    accounted = words["inferred"] + words["gated"] + sum(words["dropped"].values()) + words["in_flight"]
    return int(words["decoded"] - accounted)
