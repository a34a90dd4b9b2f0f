"""What a camera with the motion detector gets beside others with the default model, and what they get."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from tests.daemon import Daemon
from tests.moving import camera, write_moving_clip

NAME = "beside"
DESCRIPTION = "frames a second of a motion camera alone and beside cameras with the default model"


def run(others: int = 2, seconds: float = 20.0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        clip = write_moving_clip(base / "clip.mp4", 20.0)
        quick = {**camera("quick", clip, loop=True), "model": "motion"}
        slow = [camera(f"default-{number}", clip, loop=True) for number in range(others)]
        return {
            "alone": _frames_a_second(base / "alone", [quick], seconds),
            "beside": _frames_a_second(base / "beside", [quick, *slow], seconds),
        }


def render(result: dict[str, Any]) -> str:
    alone, beside = result["alone"], result["beside"]
    rest = ", ".join(f"{name} {fps:.1f}" for name, fps in beside.items() if name != "quick")
    return (
        f"a camera with the motion detector: {alone['quick']:.1f} frames a second alone, "
        f"{beside['quick']:.1f} beside others ({rest})"
    )


def _frames_a_second(base: Path, cameras: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    daemon = Daemon(base, cameras).start()
    try:
        daemon.wait_for(lambda s: all(c["frames"]["inferred"] > 20 for c in s["cameras"]), 60, "frames")
        before, began_s = _inferred(daemon), time.monotonic()
        time.sleep(seconds)
        after, took_s = _inferred(daemon), time.monotonic() - began_s
    finally:
        daemon.stop()
        daemon.kill()
    return {name: (after[name] - before[name]) / took_s for name in after}


def _inferred(daemon: Daemon) -> dict[str, int]:
    return {c["name"]: c["frames"]["inferred"] for c in daemon.status()["cameras"]}
