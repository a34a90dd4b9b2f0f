"""How long a camera is blind when a worker is killed: from kill -9 to its next frame inferred."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import rounds
from tests.bench.end_to_end import MODEL, start_daemon, stream_clip
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.daemon import Daemon

NAME = "recovery"
DESCRIPTION = "seconds from kill -9 of a worker to the camera's next inferred frame"
KILLS = 20


def run(kills: int = KILLS) -> dict[str, Any]:
    if not (CORPUS / MODEL).exists():
        raise Unavailable(f"needs {MODEL} of the corpus at {CORPUS}")
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        daemon = start_daemon(base / "d", stream_clip(base), 2, 5.0)
        try:
            return {role: _kill(daemon, role, kills) for role in ("capture", "infer")}
        finally:
            daemon.stop()


def render(result: dict[str, Any]) -> str:
    goals = {"capture": 2.0, "infer": 5.0}
    return "\n".join(
        f"{role:8} killed {len(r['seconds'])} times: next frame after {r['median_s']:.2f} s (median), "
        f"{r['p95_s']:.2f} s (p95, goal {goals[role]:.0f})"
        for role, r in result.items()
    )


def _kill(daemon: Daemon, role: str, kills: int) -> dict[str, Any]:
    """Frames that were in flight when the worker died do not count: inferred must rise after the restart."""
    moments = random.Random(role)
    seconds = []
    for _ in range(kills):
        time.sleep(moments.uniform(2.0, 3.5))
        camera = daemon.camera("cam-0")
        worker = daemon.worker(camera["worker" if role == "capture" else "infer_worker"])
        os.kill(worker["pid"], signal.SIGKILL)
        killed_s = time.monotonic()
        seconds.append(_next_frame(daemon, role, camera, worker["pid"]) - killed_s)
    return {
        "seconds": seconds,
        "median_s": rounds.percentile(seconds, 50),
        "p95_s": rounds.percentile(seconds, 95),
    }


def _next_frame(daemon: Daemon, role: str, before: dict[str, Any], pid: int) -> float:
    """The moment at which the camera's first frame after the kill has been inferred."""
    deadline_s = time.monotonic() + 30
    base: int | None = None
    while time.monotonic() < deadline_s:
        camera = daemon.camera("cam-0")
        worker = daemon.worker(camera["worker" if role == "capture" else "infer_worker"])
        fresh = worker["pid"] not in (None, pid)
        if role == "capture":
            fresh = fresh and camera["epoch"] > before["epoch"]
        if not fresh:
            base = camera["frames"]["inferred"]
        elif base is None or camera["frames"]["inferred"] > base:
            return time.monotonic()
        time.sleep(0.01)
    raise AssertionError(f"no frame within 30 s:\n{daemon.log()}")
