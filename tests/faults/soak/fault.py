"""What a fault is: how it strikes, how long it lasts, how it ends, and what recovery from it is promised."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.soak.box import OFFICE, Box, Status


def _nothing() -> None:
    """A kill ends by itself."""


@dataclass(slots=True)
class Struck:
    """A fault that has struck: `lift` ends it. Recovery waits until the workers of `killed` have another pid,
    and besides for `also`."""

    lift: Callable[[], None] = _nothing
    killed: dict[str, int] = field(default_factory=dict)
    also: Callable[[Status], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Fault:
    """`hold_s` is how long it lasts; `recovery_s` what is promised from its end until all is well."""

    kind: str
    strike: Callable[[Box, random.Random], Struck]
    recovery_s: float
    hold_s: float = 0.0
    needs_disks: bool = False  # of the box's own


def replaced(struck: Struck, status: Status) -> bool:
    pids = {worker["name"]: worker["pid"] for worker in status["workers"]}
    return all(pids.get(name) not in (None, pid) for name, pid in struck.killed.items())


def well(status: Status, since: dict[str, int]) -> bool:
    """Every worker is ready, every camera is seen and looked at again, every sink is written to.

    `since`: the frames of each camera that were looked at when recovery began; fewer are a new daemon's.
    """
    cameras = {c["name"]: c for c in status["cameras"]}
    return (
        all(w["state"] == "ready" for w in status["workers"])
        and all(c["state"] == "live" for c in cameras.values())
        and all((c["health"] or {"state": "ok"})["state"] == "ok" for c in cameras.values())
        and all(cameras[name]["frames"]["inferred"] > n for name, n in since.items())
        and all(status["sinks"].get(name, {}).get("state") == "up" for name in ("redis", OFFICE))
        and status["ledger"].get("state") == "ok"
    )
