"""Days that begin at a time of the clock on the wall, in a timezone with its daylight saving.

A day has one beginning. A time that the clock shows twice, when it is put back, is the first of the two; one
that it leaves out, when it is put forward, is as long after midnight as on other days (PEP 495, fold=0).
"""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

NS_PER_S = 1_000_000_000
DAY_S = 86_400


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ValueError(f"{name[:64]!r} is not a timezone name such as Europe/Berlin") from error
    return name


Timezone = Annotated[str, AfterValidator(_known)]


class LocalDays:
    """`begins` is a time as HH:MM, `timezone` an IANA name. Days are counted from 1970-01-01 on."""

    def __init__(self, begins: str, timezone: str) -> None:
        hours, minutes = begins.split(":")
        self._begins_s = 3600 * int(hours) + 60 * int(minutes)
        self._zone = ZoneInfo(timezone)
        self._day, self._first_ns, self._end_ns = 0, 0, 0  # the one that was asked for last

    def of(self, at_ns: int) -> int:
        """The number of the day that `at_ns` (Unix time) lies in; it rises by one a day."""
        if not self._first_ns <= at_ns < self._end_ns:
            self._look(at_ns)
        return self._day

    def _look(self, at_ns: int) -> None:
        day = at_ns // NS_PER_S // DAY_S + 2  # later than it is in any timezone
        while self._begin_ns(day) > at_ns:
            day -= 1
        self._day = day
        self._first_ns, self._end_ns = self._begin_ns(day), self._begin_ns(day + 1)

    def _begin_ns(self, day: int) -> int:
        """When it begins. numpy knows the calendar, and reads no clock for it."""
        import numpy as np  # now: `streamer status` knows the rules, and needs none

        on_the_wall = np.datetime64(DAY_S * day + self._begins_s, "s").item()
        return round(on_the_wall.replace(tzinfo=self._zone).timestamp()) * NS_PER_S
