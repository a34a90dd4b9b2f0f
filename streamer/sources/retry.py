"""How long to wait before a source is opened again. A pure policy: it reads no clock and sleeps nowhere.

Delays double from 0.5 s to 30 s, each drawn from the upper half of its range ("equal jitter": M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that 64 cameras behind one switch do not
come back in one breath. A camera that refuses the credentials is asked rarely, since many lock a user out
after a few attempts. A source that was live for a while starts from the beginning again.
"""

from __future__ import annotations

import random

from streamer.errors import AuthFailed, SourceError

FIRST_S = 0.5
CAP_S = 30.0
AUTH_FIRST_S = 60.0
AUTH_CAP_S = 900.0  # 15 min
STABLE_S = 30.0  # live for so long, and the failures before are forgotten


class Backoff:
    """The waits of one source. `random_source` decides the jitter; pass a seeded one for a fixed sequence."""

    def __init__(self, random_source: random.Random | None = None) -> None:
        self._random = random_source or random.Random()
        self._failures = 0
        self._refusals = 0

    def after(self, error: SourceError, live_s: float = 0.0) -> float:
        """Seconds to wait after `error`, which came when the source had been live for `live_s`."""
        if live_s >= STABLE_S:
            self.reset()
        if isinstance(error, AuthFailed):
            self._refusals += 1
            return self._jittered(AUTH_FIRST_S, AUTH_CAP_S, self._refusals)
        self._refusals = 0
        self._failures += 1
        return self._jittered(FIRST_S, CAP_S, self._failures)

    def reset(self) -> None:
        """Forget all failures: the configuration changed, or the source works."""
        self._failures = 0
        self._refusals = 0

    def _jittered(self, first_s: float, cap_s: float, count: int) -> float:
        """In [full / 2, full] with full doubling; but never under `first_s`, so that no lock-out is near."""
        full_s = min(cap_s, first_s * 2 ** min(count, 32))
        return self._random.uniform(full_s / 2, full_s)
