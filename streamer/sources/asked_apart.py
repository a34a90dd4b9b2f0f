"""Asks a module in a process of its own, for what may hang or break whoever does it: JSON in, JSON out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from streamer.errors import ConfigError, SourceError

GRACE_S = 5  # for a process that ends itself in time


def ask_apart(module: str, asked: Mapping[str, Any], ended_by_s: float, broken: str) -> dict[str, Any]:
    """What `module`, run as a program, answers to `asked`. Raise ConfigError for what it says is "refused",
    SourceError(`broken`) where it gave no answer within `ended_by_s`."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=ended_by_s + GRACE_S,
            check=False,
        )
        told: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise SourceError(broken) from error
    if "refused" in told:
        raise ConfigError(told["refused"])
    return told
