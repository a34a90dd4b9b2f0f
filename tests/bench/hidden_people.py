"""How many people are hidden in pictures, by `--people`, of those that a person marked in them.

A head is the upper quarter of a true box, over the middle half of its width; it is hidden where nine tenths
of it are. Frames are taken one by one, as snapshots are, and in a row, as of a rendered clip.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.values import Image
from streamer.clips.evaluation import load_truth
from streamer.clips.people import PeopleHider
from streamer.models.model_handle import open_detector, packaged
from streamer.sources.base import create_source
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.street_people import filled

NAME = "hidden_people"
DESCRIPTION = "share of people whose heads are hidden in real pictures, alone and in a clip"
CLIP, TRUTH = "videos/pets09-s2l1.avi", "mot/MOT15/PETS09-S2L1/gt.txt"
COVERED = 0.9


def run(frames: int = 200, every: int = 5) -> dict[str, Any]:
    clip, truth = CORPUS / CLIP, CORPUS / TRUTH
    if not clip.is_file() or not truth.is_file():
        raise Unavailable(f"no {CLIP} and {TRUTH} in {CORPUS}")
    known = load_truth(truth)
    boxes = known.boxes
    assert boxes is not None
    assert known.size is not None
    detector = open_detector("auto", packaged(), threads=1)
    alone, in_row = PeopleHider(detector, "silhouette"), PeopleHider(detector, "silhouette")
    shares: dict[str, list[float]] = {"alone": [], "in_a_clip": []}
    areas: list[float] = []
    spent_s = 0.0
    with contextlib.closing(create_source(str(clip), loop=False, realtime=False)) as source:
        source.open()
        for number in range(1, frames + 1):
            frame = source.read()
            row, single = frame.image(0), frame.image(0).copy()
            in_row.hide_next(row, frame.media_ns)
            if number % every:
                continue
            true = boxes.boxes_xyxy[boxes.frames == number] * (row.shape[1] / known.size[0])
            shares["in_a_clip"] += _covered_heads(row, true)
            start_s = time.perf_counter()
            alone.hide(single)
            spent_s += time.perf_counter() - start_s
            shares["alone"] += _covered_heads(single, true)
            areas.append(float(filled(single).mean()))
    return {
        "people": len(shares["alone"]),
        "hidden": {kind: float(np.mean(np.array(each) >= COVERED)) for kind, each in shares.items()},
        "hidden_area": float(np.mean(areas)),
        "ms_a_picture": 1000 * spent_s / len(areas),
    }


def _covered_heads(image: Image, true_xyxy: npt.NDArray[np.float64]) -> list[float]:
    mask = filled(image)
    shares = []
    for x1, y1, x2, y2 in true_xyxy:
        left, right = x1 + 0.25 * (x2 - x1), x2 - 0.25 * (x2 - x1)
        head = mask[max(0, round(y1)) : round(y1 + 0.25 * (y2 - y1)), max(0, round(left)) : round(right)]
        if head.size:
            shares.append(float(head.mean()))
    return shares


def render(result: dict[str, Any]) -> str:
    hidden = result["hidden"]
    return (
        f"{result['people']} people marked: hidden {hidden['alone']:.1%} in single pictures, "
        f"{hidden['in_a_clip']:.1%} in a clip; {result['hidden_area']:.0%} of the picture is hidden, "
        f"{result['ms_a_picture']:.0f} ms a picture"
    )
