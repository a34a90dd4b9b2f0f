"""Speed of association alone: our tracker and the peers' over the same walk of boxes, on one core.

Each gets every frame's boxes and scores as arrays, in the type it takes, made beforehand, and gives ids and
boxes as arrays. They run in turn, round by round; of each frame its least CPU time over the rounds counts, so
that other work on the machine does not: what is compared is what a frame costs where nothing disturbs it.
Run it with OPENBLAS_NUM_THREADS=1: numpy's threads would count for the peers that multiply large matrices.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.track import create_tracker
from pipelines.values import Detections, Labels, Stamp
from tests.bench.counting import peers

OBJECTS = (20, 100)
GOALS = {"20": 4, "100": 6}  # times the fastest peer
FRAMES, FPS = 300, 25.0
LABELS = Labels(("object",), ("person",))
PIXELS = 1000.0  # the picture's size for the peers

Walk = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
Step = Callable[[], object]  # one frame through a tracker


def speed(objects: int, with_peers: bool, rounds: int) -> dict[str, Any]:
    """Frames a second by name, "ours" and the peers', and how many times as fast as each peer we are."""
    walk = _walk(objects)
    makers: dict[str, Callable[[], list[Step]]] = {"ours": lambda: _ours(walk)}
    if with_peers:
        for name in peers.TRACKERS:
            makers[name] = lambda name=name: _peer(name, walk)  # type: ignore[misc]
    least_ns = {name: np.full(len(walk), np.iinfo(np.int64).max) for name in makers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            for name, make in makers.items():
                np.minimum(least_ns[name], _times_ns(make()), out=least_ns[name])
    fps = {name: len(walk) / (float(ns.sum()) / 1e9) for name, ns in least_ns.items()}
    row: dict[str, Any] = {"fps": fps}
    if with_peers:
        row["times"] = {name: fps["ours"] / value for name, value in fps.items() if name != "ours"}
        row["ratio"] = min(row["times"].values())
    return row


def render(speeds: dict[str, Any]) -> list[str]:
    """A line for each number of objects, one for each peer."""
    lines = []
    for objects, row in speeds.items():
        lines.append(f"association at {objects} objects: ours {row['fps']['ours']:.0f} frames/s")
        for name, times in sorted(row.get("times", {}).items(), key=lambda item: item[1]):
            lines.append(f"         {times:5.1f} times {name} ({row['fps'][name]:.0f})")
        if "ratio" in row:
            lines.append(f"         {row['ratio']:.1f} times the fastest peer (goal {GOALS[objects]})")
    return lines


def _times_ns(steps: list[Step]) -> npt.NDArray[np.int64]:
    times = np.empty(len(steps), np.int64)
    for i, step in enumerate(steps):
        started = time.process_time_ns()
        step()
        times[i] = time.process_time_ns() - started
    return times


def _ours(walk: Walk) -> list[Step]:
    tracker = create_tracker()
    steps: list[Step] = []
    for i, (boxes, scores) in enumerate(walk):
        ns = round(i / FPS * 1e9)
        stamp = Stamp("walk", 1, i, ns, ns, 0)
        found = Detections(boxes, scores, np.zeros(len(boxes), np.int32))
        steps.append(lambda stamp=stamp, found=found: tracker.update(stamp, found, LABELS))  # type: ignore[misc]
    return steps


def _peer(name: str, walk: Walk) -> list[Step]:
    tracker = peers.make(name, FPS)
    ready = [peers.detections(boxes * PIXELS, scores) for boxes, scores in walk]
    return [lambda found=found: tracker.update(found) for found in ready]  # type: ignore[misc]


def _walk(objects: int) -> Walk:
    """Boxes that wander over the picture and turn back at its edges; a tenth is missing in each frame."""
    random = np.random.default_rng(7)
    at = random.uniform(0.05, 0.95, (objects, 2))
    way = random.normal(0, 0.004, (objects, 2))
    half = np.column_stack([random.uniform(0.01, 0.02, objects), random.uniform(0.03, 0.05, objects)])
    frames = []
    for _ in range(FRAMES):
        at = at + way
        way = np.where((at < 0.05) | (at > 0.95), -way, way)
        boxes = np.concatenate([at - half, at + half], axis=1)
        boxes = boxes + random.normal(0, 0.001, boxes.shape)
        seen = random.random(objects) > 0.1
        scores = random.uniform(0.7, 0.95, int(seen.sum()))
        frames.append((boxes[seen].astype(np.float32), scores.astype(np.float32)))
    return frames
