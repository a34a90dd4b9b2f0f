"""What it costs to bring one decoded frame to analysis size in BGR: our way beside the usual ones.

Real 1080p frames (the corpus's TownCentre clip), as they are and scaled to 720p, to 640x360. CPU time of all
threads of the process, the ways in turn, round by round; OpenCV on one thread, as in a capture worker.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import av
import cv2
import numpy as np

from pipelines.frame_conversion import write_bgr
from pipelines.values import Image
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS

NAME = "conversion"
DESCRIPTION = "CPU ms to convert a 1080p or 720p frame to 640x360 BGR, our way and the usual ones"
CLIP = "videos/towncentre-1080p.mp4"
SIZES = {"1080p": (1920, 1080), "720p": (1280, 720)}
OUT = (640, 360)
FRAMES = 8  # kept in memory: more than the cache holds, as fresh frames are
PER_ROUND = 40
BT709, LIMITED, FULL = 1, 1, 2

Convert = Callable[[av.VideoFrame, Image], None]


def run(rounds: int = 9) -> dict[str, Any]:
    clip = CORPUS / CLIP
    if not clip.exists():
        raise Unavailable("it needs the corpus")
    cv2.setNumThreads(1)
    values = {name: _measure(_frames(str(clip), size), rounds) for name, size in SIZES.items()}
    best = {name: min(v for way, v in ways.items() if way in _RIVALS) for name, ways in values.items()}
    ratios = {name: round(values[name]["ours"] / best[name], 3) for name in values}
    return {
        "values": values,
        "ours_over_best_rival": ratios,
        "method": f"median of {rounds} rounds of {PER_ROUND}",
    }


def _frames(clip: str, size: tuple[int, int]) -> list[av.VideoFrame]:
    frames = []
    with av.open(clip) as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number % 5 == 0:
                frames.append(frame.reformat(*size, "yuv420p"))
            if len(frames) == FRAMES:
                break
    return frames


def _measure(frames: list[av.VideoFrame], rounds: int) -> dict[str, float]:
    ways: dict[str, Convert] = {
        "ours": write_bgr,
        "ours, BT.709": _ours_bt709,
        "ours, full range": _ours_full,
        **_RIVALS,
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    out = np.empty((OUT[1], OUT[0], 3), np.uint8)
    for _ in range(rounds + 1):
        for way, convert in ways.items():
            begun_s = time.process_time()
            for number in range(PER_ROUND):
                convert(frames[number % FRAMES], out)
            taken[way].append((time.process_time() - begun_s) / PER_ROUND * 1000)
    return {way: round(statistics.median(times[1:]), 3) for way, times in taken.items()}  # the first warms up


def _ours_bt709(frame: av.VideoFrame, out: Image) -> None:
    frame.colorspace, frame.color_range = BT709, LIMITED
    write_bgr(frame, out)
    frame.colorspace, frame.color_range = 2, 0


def _ours_full(frame: av.VideoFrame, out: Image) -> None:
    frame.color_range = FULL
    write_bgr(frame, out)
    frame.color_range = 0


def _whole_then_shrink(frame: av.VideoFrame, out: Image) -> None:
    """What most programs do: the whole picture to BGR, then cv2.resize."""
    cv2.resize(frame.to_ndarray(format="bgr24"), OUT, dst=out, interpolation=cv2.INTER_LINEAR)


def _swscale(interpolation: str) -> Convert:
    reformatter = av.video.reformatter.VideoReformatter()

    def convert(frame: av.VideoFrame, out: Image) -> None:
        small = reformatter.reformat(frame, *OUT, "bgr24", interpolation=interpolation, threads=1)
        plane = small.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(OUT[1], plane.line_size)
        np.copyto(out, rows[:, : OUT[0] * 3].reshape(out.shape))

    return convert


_RIVALS: dict[str, Convert] = {
    "whole to BGR, then cv2.resize": _whole_then_shrink,
    "swscale fast bilinear": _swscale("FAST_BILINEAR"),
    "swscale bilinear": _swscale("BILINEAR"),
    "swscale area": _swscale("AREA"),
    "swscale point": _swscale("POINT"),
}


def render(result: dict[str, Any]) -> str:
    sizes = list(result["values"])
    lines = [f"{'CPU ms a frame':32}" + "".join(f"{size:>8}" for size in sizes)]
    for way in result["values"][sizes[0]]:
        lines.append(f"{way:32}" + "".join(f"{result['values'][size][way]:8.3f}" for size in sizes))
    ratios = ", ".join(f"{size} {ratio:.2f}" for size, ratio in result["ours_over_best_rival"].items())
    return "\n".join([*lines, f"ours over the best of the others: {ratios}", result["method"]])
