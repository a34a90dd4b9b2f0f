"""What keeps one bad message, request or moment from ending a loop that others depend on.

An exception that nobody foresaw is a fault of this program: it is logged with its traceback, counted, and
told in the status; the loop goes on. The same one is logged once a minute at most, with how often it came.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamer.errors import StreamerError

log = logging.getLogger(__name__)

AGAIN_S = 60.0  # until the same one is logged again
MAX_KINDS = 200  # different ones that are told apart

_Kind = tuple[str, str]  # what was being done, and where which error came from


class Guard:
    """`with guard("request status"): …` survives any Exception; `counts` says how many there were of what."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._logged_s: dict[_Kind, float] = {}
        self._silent: Counter[_Kind] = Counter()

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.counts[what] += 1
            more = self._more(what, error)
            if more is None:
                return
            again = f" ({more} more since it was told last)" if more else ""
            if isinstance(error, StreamerError):  # foreseen, only not here: its text is enough
                log.error("%s: %s%s", what, error, again)
            else:
                log.exception("%s: a fault of this program, which goes on; please report it%s", what, again)

    def warning(self) -> str:
        """One line for the status; "" where all went well."""
        if not self.counts:
            return ""
        commonest = ", ".join(f"{what} {n}" for what, n in self.counts.most_common(3))
        return f"{self.counts.total()} unexpected errors since the start ({commonest}): see the log"

    def _more(self, what: str, error: Exception) -> int | None:
        """How many like this one were not logged since the last that was; None: this one is not, either."""
        kind = what, _origin(error)
        now_s = self._clock()
        last_s = self._logged_s.get(kind)
        if last_s is not None and now_s - last_s < AGAIN_S:
            self._silent[kind] += 1
            return None
        if len(self._logged_s) >= MAX_KINDS:
            self._logged_s.clear()
            self._silent.clear()
        self._logged_s[kind] = now_s
        return self._silent.pop(kind, 0)


def _origin(error: Exception) -> str:
    """Which error, and the line it was raised on; its text may hold what changes from one to the next."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__} at {where}"
