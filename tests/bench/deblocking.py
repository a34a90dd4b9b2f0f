"""What leaving the deblocking filter out saves and costs: CPU of decoding, boxes that are found, counts.

The busy clips of the bench `capacity` (1080p, a key frame every two seconds), decoded in turn with the filter
and without it. Boxes are the default detector's, with the filter as reference: the share of them that has one
of the same class over more than half of it without. Crossings are counted with every frame, both ways.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import compare
from pipelines.geometry import iou
from pipelines.values import Detections, Frame, Stamp
from streamer.errors import SourceEnded
from streamer.sources.base import Source, create_source
from tests.bench import capacity_sites, capacity_truth
from tests.bench.capacity_sites import Drawn, Site
from tests.bench.gate_replay import ANALYSED_WIDTH
from tests.bench.registry import Unavailable
from tests.bench.rounds import in_turn, median_ratio
from tests.conftest import CORPUS

NAME = "deblocking"
DESCRIPTION = "decoding without the deblocking filter: CPU, boxes and counts beside those with it"
SAME = 0.5  # intersection over union
CAMERAS = 16  # as many as the bench `capacity` has: these are its clips


def run(clip_s: float = 30.0, rounds: int = 5, folder: str = "") -> dict[str, Any]:
    """Clips are at most `clip_s` long and made in `folder` once, or each time anew."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as base:
        kept = Path(folder or base) / "clips"
        kept.mkdir(parents=True, exist_ok=True)
        busy, _ = capacity_sites.clips(CORPUS, CAMERAS)
        drawn = [capacity_sites.draw(clip, kept, clip_s, CORPUS) for clip in busy]
        if not drawn:
            raise Unavailable("there are no clips")
        detector = capacity_truth.default_detector(threads=2)
        return {"rounds": rounds, "clips": [_row(clip, detector, rounds) for clip in drawn]}


def _row(clip: Drawn, detector: Detector, rounds: int) -> dict[str, Any]:
    cpu = in_turn(lambda: _decoded_s(clip, True), lambda: _decoded_s(clip, False), rounds)
    exact, sparing = _found(clip, detector, False), _found(clip, detector, True)
    site = Site(clip.clip.name, clip, clip.path, 0, clip.frames)
    wanted, counted = (capacity_truth.crossings(site, found, detector) for found in (exact, sparing))
    pairs = compare(wanted, counted, capacity_truth.WITHIN_S)
    return {
        "clip": clip.clip.name,
        "cpu": median_ratio(cpu),
        "boxes": sum(len(_high(boxes)) for boxes in exact.values()),
        "found": sum(_refound(_high(exact[n]), sparing[n]) for n in exact),
        "crossings": len(wanted),
        "missed": len(pairs.missed),
        "false": len(pairs.false),
    }


def _source(clip: Drawn, spared: bool) -> Source:
    source = create_source(str(clip.path), realtime=False, spares=lambda: spared)
    source.open()
    return source


def _decoded_s(clip: Drawn, spared: bool) -> float:
    """CPU seconds of decoding all of it."""
    source, begun_s = _source(clip, spared), time.process_time()
    try:
        while True:
            source.read()
    except SourceEnded:
        return time.process_time() - begun_s
    finally:
        source.close()


def _found(clip: Drawn, detector: Detector, spared: bool) -> dict[int, Detections]:
    """By picture."""
    source, found = _source(clip, spared), dict[int, Detections]()
    try:
        while True:
            decoded = source.read()
            frame = Frame(
                Stamp("bench", 1, len(found), decoded.media_ns, 0, 0), decoded.image(ANALYSED_WIDTH)
            )
            (found[len(found)],) = detector.collect(detector.submit([frame]))
    except SourceEnded:
        return found
    finally:
        source.close()


def _high(found: Detections) -> Detections:
    """Those that prove an object."""
    return found.take(found.scores >= found.high_threshold)


def _refound(exact: Detections, sparing: Detections) -> int:
    if not len(exact) or not len(sparing):
        return 0
    same = iou(exact.boxes_xyxyn, sparing.boxes_xyxyn)
    same[exact.class_ids[:, None] != sparing.class_ids[None, :]] = 0
    return int(np.count_nonzero(same.max(axis=1) > SAME))


def render(result: dict[str, Any]) -> str:
    lines = [f"{'clip':22} {'CPU without/with':>17} {'boxes':>7} {'found':>6}  crossings, missed, false"]
    for row in result["clips"]:
        share = row["found"] / max(1, row["boxes"])
        counts = f"{row['crossings']:9}, {row['missed']:6}, {row['false']:5}"
        lines.append(f"{row['clip']:22} {row['cpu']:17.2f} {row['boxes']:7} {share:6.1%}  {counts}")
    return "\n".join([*lines, f"CPU: median of {result['rounds']} rounds in turn"])
