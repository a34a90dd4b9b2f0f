"""How long tests wait for what should happen.

A limit ends a test that would wait for ever: only a fault meets it. So it may be generous, and the speed of a
machine decides nothing. Each is written for a quiet machine of today, and multiplied.
"""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("STREAMER_TEST_PATIENCE") or 4)


def patient(seconds: float) -> float:
    """The limit in seconds on this machine."""
    return seconds * FACTOR
