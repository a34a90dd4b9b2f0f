"""What the demo tells of its people, on streets that nothing was trained on: scene, default detector, tracker
and the model of actions, frame by frame as in `streamer demo`, without its processes and its clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from pipelines.actions.create import create_engine
from pipelines.detect.card import read_card
from pipelines.detect.detector import Detector
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.spec import ActionsSpec, CameraRules
from pipelines.values import Frame, Stamp
from streamer.cli.demo import CAMERA, SCENE
from streamer.cli.demo_actions import ActionBoard
from streamer.sources.synthetic.acts import ActTruth
from streamer.sources.synthetic.scene import Scene
from tests.bench.action_sets import Say

SETTLE_S = 2.0  # as in the demo: what is told before does not count
COLUMNS = ("events", "truth", "found", "false")
ACTION = "streamer.action.detected.v1"


def measure(seeds: tuple[int, ...], seconds: float, say: Say) -> list[dict[str, Any]]:
    """One row a label: events, acts of the truth, how many of these were found, false events, over all
    streets."""
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    detector = create_detector("auto", PACKAGED_MODEL, threads=1, sidecar=card)
    total: dict[str, Counter[str]] = {}
    late: dict[str, list[float]] = {}
    for seed in seeds:
        board = _play(replace(SCENE, seed=seed), detector, seconds)
        rows = board.rows(SETTLE_S, seconds)
        for label, events, truth, found, _, false in rows:
            counted = total.setdefault(label, Counter())
            counted.update(dict(zip(COLUMNS, map(int, (events, truth, found, false)), strict=True)))
        for act in board.truth.between(SETTLE_S, seconds) if board.truth is not None else ():
            if act.told_s is not None:
                late.setdefault(act.label, []).append(act.told_s - act.start_s)
        say(f"street {seed}: " + "; ".join(f"{r[0]} {r[3]} of {r[2]}, {r[5]} false" for r in rows))
    return [
        {"name": label, **counted, "after_s": _middle(late.get(label, []))}
        for label, counted in sorted(total.items())
    ]


def _middle(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 1) if values else None


def _play(scene: Scene, detector: Detector, seconds: float) -> ActionBoard:
    pipeline = Pipeline(detector, create_engine(ActionsSpec(), detector))
    pipeline.open_camera(CAMERA, CameraRules())
    board, painter = ActionBoard(ActTruth(scene)), scene.painter()
    for number in range(round(seconds * scene.fps)):
        at_ns = scene.media_ns(number)
        frame = Frame(Stamp(CAMERA, 1, number, at_ns, at_ns, 0), scene.picture(painter, number))
        for event in pipeline.step([frame])[0].events:
            if event.type == ACTION:
                board.take(dict(event.data))
    return board
