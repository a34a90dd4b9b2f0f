"""What the demo tells of its people, on streets that nothing was trained on: scene, default detector, tracker
and the model of actions, frame by frame as in `streamer demo`, without its processes and its clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.actions.factory import create_engine
from pipelines.camera_rules import CameraRules
from pipelines.detect.card import read_card
from pipelines.detect.detector import Detector
from pipelines.geometry import iou
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.spec import ActionsSpec
from pipelines.values import Detections, Frame, Stamp
from streamer.cli.demo import CAMERA, SCENE
from streamer.cli.demo_actions import ActionBoard
from streamer.sources.synthetic.acts import ActTruth
from streamer.sources.synthetic.painter import Drawn, placed
from streamer.sources.synthetic.scene import Scene
from tests.bench.actions import Say

SETTLE_S = 2.0  # as in the demo: what is told before does not count
LYING = 0.9  # of a body's way down
SAME = 0.3  # intersection over union with the true box
HIGH_OR_LOW, LOW_CONFIDENCE = "high or low", "low confidence"
COLUMNS = ("events", "truth", "found", "false")
ACTION = "streamer.action.detected.v1"


def measure(seeds: tuple[int, ...], seconds: float, low_confidence: bool, say: Say) -> dict[str, Any]:
    """Over all streets: one row a label (events, acts of the truth, how many of these were found, false
    events), and in how many frames who lies on the ground is seen, and how surely. `low_confidence`: with
    the boxes below the low threshold, as the demo has them."""
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    detector = create_detector("auto", PACKAGED_MODEL, threads=1, sidecar=card)
    total: dict[str, Counter[str]] = {}
    late: dict[str, list[float]] = {}
    lying: Counter[str] = Counter()
    for seed in seeds:
        board = _play(replace(SCENE, seed=seed), detector, seconds, low_confidence, lying)
        rows = board.rows(SETTLE_S, seconds)
        for label, events, truth, found, _, false in rows:
            counted = total.setdefault(label, Counter())
            counted.update(dict(zip(COLUMNS, map(int, (events, truth, found, false)), strict=True)))
        for act in board.truth.between(SETTLE_S, seconds) if board.truth is not None else ():
            if act.told_s is not None:
                late.setdefault(act.label, []).append(act.told_s - act.start_s)
        say(f"street {seed}: " + "; ".join(f"{r[0]} {r[3]} of {r[2]}, {r[5]} false" for r in rows))
    return {
        "labels": [
            {"name": label, **counted, "after_s": _middle(late.get(label, []))}
            for label, counted in sorted(total.items())
        ],
        "lying": dict(lying),
    }


def render(found: dict[str, Any]) -> list[str]:
    lines = ["demo: events, acts, acts found, median seconds after their beginning, false events", ""]
    lines += [
        f"| {r['name']} | {r['events']} | {r['truth']} | {r['found']} | {r['after_s']} | {r['false']} |"
        for r in found["labels"]
    ]
    lying = found["lying"]
    shares = ", ".join(
        f"{how} {lying.get(how, 0) / max(1, lying['frames']):.0%}" for how in (HIGH_OR_LOW, LOW_CONFIDENCE)
    )
    return [*lines, "", f"who lies on the ground is seen, of {lying.get('frames', 0)} frames: {shares}", ""]


def _middle(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 1) if values else None


def _play(
    scene: Scene, detector: Detector, seconds: float, low_confidence: bool, lying: Counter[str]
) -> ActionBoard:
    pipeline = Pipeline(detector, create_engine(ActionsSpec(), detector))
    pipeline.open_camera(CAMERA, CameraRules())
    board, painter = ActionBoard(ActTruth(scene)), scene.painter()
    for number in range(round(seconds * scene.fps)):
        at_ns = scene.media_ns(number)
        picture = scene.snapshot(painter, number)
        pending = pipeline.submit([Frame(Stamp(CAMERA, 1, number, at_ns, at_ns, 0), painter.paint(picture))])
        pending.ticket.low_confidence = low_confidence
        found = detector.collect(pending.ticket)
        for event in pipeline.follow(pending, found)[0].events:
            if event.type == ACTION:
                board.take(dict(event.data))
        fallen = [d for d in placed(picture.actors, painter.view) if d.actor.down >= LYING]
        lying.update(_seen(fallen, found[0], scene))
    return board


def _seen(fallen: list[Drawn], found: Detections, scene: Scene) -> Iterator[str]:
    """One word a person who lies in the picture, and one for how they are seen."""
    size = np.array([scene.width, scene.height] * 2)
    low_confidence = found.low_confidence or Detections.empty()
    for box in (np.array(d.box) for d in fallen):
        if (box < 0).any() or (box > size).any():
            continue
        yield "frames"
        for how, seen in ((HIGH_OR_LOW, found), (LOW_CONFIDENCE, low_confidence)):
            if (iou(box[None] / size, seen.boxes_xyxyn) >= SAME).any():
                yield how
                break
