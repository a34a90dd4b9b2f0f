"""Moments as people write them: how long ago, or a time."""

from __future__ import annotations

import re
import time
from datetime import datetime
from zoneinfo import ZoneInfo

from streamer.errors import ConfigError

_UNIT_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def unix_s(text: str, zone: ZoneInfo) -> int:
    """Unix seconds of 30m, 7d, all (0) or a time, of `zone` where it names none. Raise ConfigError."""
    if text == "all":
        return 0
    if found := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return int(time.time()) - int(found[1]) * _UNIT_S[found[2]]
    try:
        given = datetime.fromisoformat(text)
        return int((given if given.tzinfo else given.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{text[:64]!r}: use 30m, 12h, 7d, all, or a time such as 2026-05-01T08:00"
        ) from error
