"""Moments as people write them, how long ago or a time, and as they are printed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from streamer.errors import ConfigError
from streamer.ledger.quarters import QUARTER_S

_FORMATS = {
    "minute": "%Y-%m-%d %H:%M",
    "hour": "%Y-%m-%d %H:00",
    "day": "%Y-%m-%d",
    "week": "%G-W%V",  # ISO 8601: from Monday
}
_WITHOUT_CLOCK = ("day", "week")
PERIODS = tuple(_FORMATS)
PERIOD_S = {"hour": 3600, "day": 86_400, "week": 604_800}
_DAY_S = 86_400
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


class LocalTime(str):
    """A printed time of `zone`, with `at_s`, the Unix seconds that it was made of, by which it is sorted."""

    __slots__ = ("at_s",)
    at_s: int

    @classmethod
    def of(cls, at_s: int, zone: ZoneInfo, period: str) -> LocalTime:
        """`period` is one of PERIODS. The hour that comes twice when the clocks go back is told apart by its
        distance to UTC: "2026-10-25 02:00 +0200", and after it "2026-10-25 02:00 +0100".
        """
        if period == "minute":
            return cls._made(at_s, zone, period)
        return _of_quarter(at_s - at_s % QUARTER_S, zone, period)

    @classmethod
    def _made(cls, at_s: int, zone: ZoneInfo, period: str) -> LocalTime:
        at = datetime.fromtimestamp(at_s, zone)
        twice = (
            period not in _WITHOUT_CLOCK and at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
        )
        made = cls(at.strftime(_FORMATS[period] + (" %z" if twice else "")))
        made.at_s = at_s
        return made


@lru_cache(maxsize=1 << 14)  # five months of quarters: each is asked for by every camera's counts and buckets
def _of_quarter(at_s: int, zone: ZoneInfo, period: str) -> LocalTime:
    return LocalTime._made(at_s, zone, period)


def spans_of_offset(zone: ZoneInfo, begin_s: int, end_s: int) -> Iterator[tuple[int, int, int]]:
    """(begin, end, seconds ahead of UTC) of the parts of a time between which the clocks were changed. All of
    them are Unix seconds, at whole quarters of an hour where `begin_s` and `end_s` are."""
    while begin_s < end_s:
        offset_s = _offset_s(zone, begin_s)
        days = range(begin_s + _DAY_S, end_s, _DAY_S)
        day_s = next((at_s for at_s in days if _offset_s(zone, at_s) != offset_s), end_s)
        quarters = range(max(begin_s, day_s - _DAY_S), day_s, QUARTER_S)
        until_s = next((at_s for at_s in quarters if _offset_s(zone, at_s) != offset_s), day_s)
        yield begin_s, until_s, offset_s
        begin_s = until_s


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    ahead = datetime.fromtimestamp(at_s, zone).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0


def row_order(key: tuple[object, ...]) -> tuple[tuple[int, str], ...]:
    """For sorted(): a row's times by when they were, its other columns by their text."""
    return tuple((v.at_s, "") if isinstance(v, LocalTime) else (0, str(v)) for v in key)
