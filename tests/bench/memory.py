"""What one more 720p25 camera adds: proportional set size of all processes, shared memory included.

Most of it is the decoder's: pictures that others are predicted from. Cameras send one reference and no B
frames; x264 by itself makes three, and B frames. With `-o clips=1` packets are kept for clips (clips.enabled,
30 s of 2 Mbit/s), which each camera adds to its capture process.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import rounds
from tests.clips import make_clip
from tests.daemon import Daemon

NAME = "memory"
DESCRIPTION = "MB that one more 720p25 camera adds (PSS of all processes and shared memory)"
CAMERAS = 4
GOAL_MB = 12.0  # of one more, as cameras send
STREAMS = {"as cameras send": {"bf": "0", "refs": "1"}, "three references and B frames": {}}
SETTLE_S = 6.0
BUFFER_S = 30.0  # clips.buffer_s as it is by itself
BITRATE = {"b": "2000k", "maxrate": "2000k", "bufsize": "2000k", "x264-params": "nal-hrd=cbr:force-cfr=1"}


def run(cameras: int = CAMERAS, clips: int = 0) -> dict[str, Any]:
    """Adds cameras one by one to a daemon with the default detector, then one that needs a second process."""
    streams = {"as cameras send": STREAMS["as cameras send"] | BITRATE} if clips else STREAMS
    return {
        "goal_mb": GOAL_MB,
        "clips": bool(clips),
        "streams": {kind: _added(options, cameras, bool(clips)) for kind, options in streams.items()},
    }


def _added(options: dict[str, str], cameras: int, clips: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        clip = make_clip(
            base / "clip.mp4", frames=250, width=1280, height=720, fps=25, key_frame_gap=50, options=options
        )
        daemon = Daemon(base / "d", clips={"enabled": clips, "buffer_s": BUFFER_S})
        daemon.start()
        settle_s = BUFFER_S + SETTLE_S if clips else SETTLE_S
        try:
            totals, capturing = [_settled(daemon, SETTLE_S)], [0]
            for number in range(cameras + 1):
                daemon.cli("camera", "add", f"cam-{number}", str(clip), "--loop", "--fps", "5", "--no-probe")
                totals.append(_settled(daemon, settle_s))
                capturing.append(_capturing(daemon))
            kept_mb = [camera.get("clip_buffer_mb") for camera in daemon.status()["cameras"]]
        finally:
            daemon.stop()
    captured = [(after - before) / 1e6 for before, after in itertools.pairwise(capturing)]
    added = [(after - before) / 1e6 for before, after in itertools.pairwise(totals)]
    return {
        "empty_mb": totals[0] / 1e6,
        "first_mb": added[0],
        "next_mb": added[1:cameras],
        "one_more_mb": statistics.median(added[1:cameras]),
        "with_new_process_mb": added[cameras],
        "capture_mb": captured,
        "kept_mb": kept_mb if clips else [],
    }


def render(result: dict[str, Any]) -> str:
    return "\n".join(_lines(kind, of, result["goal_mb"]) for kind, of in result["streams"].items())


def _lines(kind: str, of: dict[str, Any], goal_mb: float) -> str:
    steps = ", ".join(f"{mb:.1f}" for mb in of["next_mb"])
    return (
        f"{kind}: a daemon without cameras {of['empty_mb']:.0f} MB, the first camera adds "
        f"{of['first_mb']:.1f} MB (detector and capture process with it), one more 720p25 camera "
        f"{of['one_more_mb']:.1f} MB (median of {steps}; goal {goal_mb:g}), every fifth one "
        f"{of['with_new_process_mb']:.1f} MB with its process; the capture processes alone: "
        + ", ".join(f"{mb:.1f}" for mb in of["capture_mb"])
        + " MB"
        + _kept(of["kept_mb"])
    )


def _kept(kept_mb: list[float | None]) -> str:
    shown = ", ".join("none" if mb is None else f"{mb:.1f}" for mb in kept_mb)
    return f"; kept for clips of each: {shown} MB" if kept_mb else ""


def _capturing(daemon: Daemon) -> int:
    """Of the processes that read cameras, where packets are kept."""
    workers = daemon.status()["workers"]
    return rounds.pss_bytes([worker["pid"] for worker in workers if worker["name"].startswith("capture")])


def _settled(daemon: Daemon, settle_s: float) -> int:
    """The median of a few readings after the last change has settled."""
    time.sleep(settle_s)
    assert daemon.process is not None
    readings = []
    for _ in range(5):
        readings.append(rounds.pss_bytes([daemon.process.pid]))
        time.sleep(0.2)
    return int(statistics.median(readings))
