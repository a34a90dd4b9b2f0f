"""What one camera costs before anything is detected: CPU of decoding a stream, and of converting its frames.

Clips of three sizes are made of the same real street (the corpus's TownCentre clip) by x264, as a camera
would: 25 frames a second, a keyframe every 2 s, no B-frames. One core is busy at 1.0.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.geometry import fit
from streamer.errors import SourceEnded
from streamer.sources.base import create_source
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS

NAME = "decoding"
DESCRIPTION = "cores that one 25 fps H.264 camera takes to decode, and to convert for analysis, by size"
CLIP = "videos/towncentre-1080p.mp4"
FPS = 25
SIZES = {"1080p": ("1920x1080", "4M"), "720p": ("1280x720", "2M"), "360p": ("640x360", "600k")}
ANALYSIS_WIDTH = 640


def run(rounds: int = 3) -> dict[str, Any]:
    clip = CORPUS / CLIP
    if shutil.which("ffmpeg") is None or not clip.exists():
        raise Unavailable("it needs ffmpeg and the corpus")
    values: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (size, bit_rate) in SIZES.items():
            encoded = _encode(clip, Path(folder) / f"{name}.mp4", size, bit_rate)
            decode = statistics.median(_cores(encoded, convert=False) for _ in range(rounds))
            both = statistics.median(_cores(encoded, convert=True) for _ in range(rounds))
            values[name] = {"decode_cores": round(decode, 3), "decode_and_convert_cores": round(both, 3)}
    return {
        "values": values,
        "method": f"process CPU over media time at {FPS} fps, median of {rounds} rounds",
    }


def _encode(clip: Path, target: Path, size: str, bit_rate: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-i", clip, "-an", "-r", str(FPS), "-s", size, "-c:v", "libx264"]
    command += ["-preset", "veryfast", "-b:v", bit_rate, "-g", str(2 * FPS), "-bf", "0", target]
    subprocess.run([str(word) for word in command], check=True)
    return target


def _cores(clip: Path, convert: bool) -> float:
    """CPU seconds of this process for one second of the clip, all frames wanted or none."""
    source = create_source(str(clip), realtime=False)
    info = source.open()
    width, height = fit(info.width, info.height, ANALYSIS_WIDTH)
    out = np.empty((height, width, 3), np.uint8)
    started_s = time.process_time()
    frames = 0
    try:
        while True:
            decoded = source.read()
            frames += 1
            if convert:
                decoded.write_bgr(out)
    except SourceEnded:
        return (time.process_time() - started_s) / (frames / FPS)
    finally:
        source.close()


def render(result: dict[str, Any]) -> str:
    lines = [f"{'size':6}  {'decode':>8}  {'and convert every frame':>24}   (cores)"]
    for name, cores in result["values"].items():
        lines.append(f"{name:6}  {cores['decode_cores']:8.3f}  {cores['decode_and_convert_cores']:24.3f}")
    return "\n".join([*lines, result["method"]])
