"""Faults of the daemon's own processes: killed, stopped without a word, told to leave."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

from tests.faults.soak.box import Box
from tests.faults.soak.fault import Fault, Struck

HEARTBEAT_S = 10.0  # until a worker that says nothing is taken for hung


def _one_of(box: Box, role: str, chance: random.Random) -> tuple[str, int]:
    running = [w for w in box.daemon.status()["workers"] if w["role"] == role and w["pid"]]
    worker = chance.choice(running)
    return str(worker["name"]), int(worker["pid"])


def _signal(role: str, signum: signal.Signals) -> Callable[[Box, random.Random], Struck]:
    def strike(box: Box, chance: random.Random) -> Struck:
        name, pid = _one_of(box, role, chance)
        os.kill(pid, signum)
        return Struck(killed={name: pid})

    return strike


def _pause_redis(box: Box, chance: random.Random) -> Struck:
    """It has no heartbeat: it comes back by itself, and what was sent meanwhile must not come twice."""
    _, pid = _one_of(box, "redis", chance)
    os.kill(pid, signal.SIGSTOP)
    return Struck(lift=lambda: os.kill(pid, signal.SIGCONT))


def _kill_supervisor(box: Box, _chance: random.Random) -> Struck:
    """And what systemd does then."""
    workers = box.daemon.status()["workers"]
    box.daemon.kill()
    for worker in workers:
        if worker["pid"]:
            box.daemon.wait_until_gone(worker["pid"], 15)
    return Struck(lift=lambda: _start(box))


def _restart(box: Box, _chance: random.Random) -> Struck:
    code = box.daemon.stop()
    assert code == 0, f"SIGTERM ended the daemon with {code}"
    return Struck(lift=lambda: _start(box))


def _start(box: Box) -> None:
    box.daemon.start(wait=False)


WORKER_FAULTS = (
    Fault("kill -9 capture", _signal("capture", signal.SIGKILL), 4.0),
    Fault("kill -9 infer", _signal("infer", signal.SIGKILL), 5.0),
    Fault("kill -9 deliver", _signal("deliver", signal.SIGKILL), 5.0),
    Fault("kill -9 redis", _signal("redis", signal.SIGKILL), 5.0),
    Fault("SIGSTOP capture", _signal("capture", signal.SIGSTOP), HEARTBEAT_S + 4.0),
    Fault("SIGSTOP infer", _signal("infer", signal.SIGSTOP), HEARTBEAT_S + 5.0),
    Fault("SIGSTOP deliver", _signal("deliver", signal.SIGSTOP), HEARTBEAT_S + 5.0),
    Fault("SIGSTOP redis", _pause_redis, 5.0, hold_s=8.0),
    Fault("kill -9 supervisor", _kill_supervisor, 8.0),
    Fault("SIGTERM and start", _restart, 8.0),
)
