"""What one more 720p25 camera adds: proportional set size of all processes, shared memory included."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import rounds
from tests.bench.end_to_end import MODEL
from tests.clips import make_clip
from tests.conftest import CORPUS
from tests.daemon import Daemon

NAME = "memory"
DESCRIPTION = "MB that one more 720p25 camera adds (PSS of all processes and shared memory)"
CAMERAS = 4
SETTLE_S = 6.0


def run(cameras: int = CAMERAS) -> dict[str, Any]:
    """Adds cameras one by one to a daemon with motion detection, then to one that needs a second process."""
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        clip = make_clip(base / "clip.mp4", frames=250, width=1280, height=720, fps=25, key_frame_gap=50)
        daemon = Daemon(base / "d")
        if (CORPUS / MODEL).exists():  # the motion detector keeps a background a camera: 6 MB more
            daemon.cli("model", "add", str(CORPUS / MODEL), "--name", "yolov8n")
        daemon.start()
        try:
            totals = [_settled(daemon)]
            for number in range(cameras + 1):
                daemon.cli("camera", "add", f"cam-{number}", str(clip), "--loop", "--fps", "5", "--no-probe")
                totals.append(_settled(daemon))
        finally:
            daemon.stop()
    added = [(after - before) / 1e6 for before, after in itertools.pairwise(totals)]
    return {
        "empty_mb": totals[0] / 1e6,
        "first_mb": added[0],
        "next_mb": added[1:cameras],
        "one_more_mb": statistics.median(added[1:cameras]),
        "with_new_process_mb": added[cameras],
    }


def render(result: dict[str, Any]) -> str:
    steps = ", ".join(f"{mb:.1f}" for mb in result["next_mb"])
    return (
        f"a daemon without cameras: {result['empty_mb']:.0f} MB; "
        f"the first camera adds {result['first_mb']:.1f} MB (its capture process with it)\n"
        f"one more 720p25 camera adds {result['one_more_mb']:.1f} MB "
        f"(median of {steps}; aim 20), "
        f"every fifth one {result['with_new_process_mb']:.1f} MB with its process"
    )


def _settled(daemon: Daemon) -> int:
    """The median of a few readings after the last change has settled."""
    time.sleep(SETTLE_S)
    assert daemon.process is not None
    readings = []
    for _ in range(5):
        readings.append(rounds.pss_bytes([daemon.process.pid]))
        time.sleep(0.2)
    return int(statistics.median(readings))
