"""Where frames are far apart the tracker must guess: how often rightly, on drawn scenes whose truth is known.

Boxes are true but for noise; the pictures are people in one colour each on grey, seen through the same
colours as a camera's. Another pair stands by all the while, so that the camera knows how alike looks are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.registry import create_detector
from pipelines.rules import LineSpec
from pipelines.track.appearance import colour_histograms
from pipelines.values import Detections, Event, Floats, Image, Stamp

NAME = "slow-cameras"
DESCRIPTION = "right and wrong guesses where frames are far apart, on drawn scenes, with looks and without"
WIDE, HIGH = 0.07, 0.3  # of a person
NOISE, LOST = 0.03, 0.05  # of a box's side; and boxes that are missing
SIZE = (270, 480)
WARM_S, SCENE_S = 10.0, 8.0
RED, BLUE, GREEN, BLACK = (40, 30, 200), (200, 60, 30), (40, 160, 40), (20, 20, 20)
MIDDLE = LineSpec(name="middle", points=((0.5, 0.0), (0.5, 1.0)), anchor="center")
DOOR = LineSpec(name="door", points=((0.05, 0.0), (0.05, 1.0)), anchor="center")
Walk = Callable[[float], float | None]  # seconds -> place; None where nobody sees it


@dataclass(frozen=True, slots=True)
class Scene:
    """Walks and who wears what; how many crossings there are."""

    line: LineSpec
    crossings: int
    walks: Callable[[np.random.Generator], list[Walk]]
    worn: tuple[tuple[int, int, int], ...]
    others: tuple[tuple[int, int, int], ...] = (GREEN, BLACK)


def _hidden(rng: np.random.Generator) -> list[Walk]:
    speed = rng.uniform(0.1, 0.16)
    return [lambda t: None if 0.44 < 0.3 + speed * t < 0.56 else 0.3 + speed * t]


def _turn_back(rng: np.random.Generator) -> list[Walk]:
    speed, away_s = rng.uniform(0.08, 0.14), rng.uniform(0.6, 1.2)
    there_s = 0.17 / speed

    def way(t: float) -> float | None:
        if there_s < t < there_s + away_s:
            return None
        return speed * (t if t <= there_s else 2 * there_s + away_s - t)

    def left(t: float) -> float | None:
        return None if (x := way(t)) is None else 0.3 + x

    def right(t: float) -> float | None:
        return None if (x := way(t)) is None else 0.7 - x

    return [left, right]


def _another(rng: np.random.Generator) -> list[Walk]:
    speed, after_s = rng.uniform(0.08, 0.14), rng.uniform(0.1, 1.2)
    gone_s = 0.16 / speed
    return [
        lambda t: 0.3 + speed * t if t <= gone_s else None,
        lambda t: 0.54 + speed * (t - gone_s - after_s) if t >= gone_s + after_s else None,
    ]


def _comes_in(rng: np.random.Generator) -> list[Walk]:
    speed, begin = rng.uniform(0.12, 0.2), rng.uniform(-0.15, -0.03)
    return [lambda t: x if (x := begin + speed * (t - 2)) > -0.5 * WIDE + 0.01 else None]


def _steps_out(rng: np.random.Generator) -> list[Walk]:
    speed, begin_s = rng.uniform(0.06, 0.12), 2 + rng.uniform(0, 0.4)
    return [lambda t: 0.053 + speed * (t - begin_s) if t >= begin_s else None]


SCENES = {
    "a crossing hidden behind a pillar": Scene(MIDDLE, 1, _hidden, (RED,)),
    "two meet out of sight and turn back": Scene(MIDDLE, 0, _turn_back, (RED, BLUE)),
    "the same, all in one uniform": Scene(MIDDLE, 0, _turn_back, (RED, RED), (RED, RED)),
    "one vanishes, another appears beyond": Scene(MIDDLE, 0, _another, (RED, BLUE)),
    "that, all in one uniform": Scene(MIDDLE, 0, _another, (RED, RED), (RED, RED)),
    "comes in over the border": Scene(DOOR, 1, _comes_in, (RED,)),
    "steps into view just beyond a line": Scene(DOOR, 0, _steps_out, (RED,)),
}


def run(tries: int = 40, seed: int = 1) -> dict[str, Any]:
    rows = []
    for name, scene in SCENES.items():
        for fps in (2.5, 5.0, 10.0):
            row: dict[str, Any] = {"scene": name, "fps": fps, "tries": tries}
            for looks in (True, False):
                rng = np.random.default_rng(seed)
                counts = [_count(scene, fps, rng, looks) for _ in range(tries)]
                kind = "with" if looks else "without"
                row[f"missed_{kind}"] = sum(max(scene.crossings - n, 0) for n in counts)
                row[f"false_{kind}"] = sum(max(n - scene.crossings, 0) for n in counts)
            rows.append(row)
    return {"rows": rows}


def _count(scene: Scene, fps: float, rng: np.random.Generator, looks: bool) -> int:
    """The crossings that are counted in one try."""
    pipeline = Pipeline(create_detector("motion", None))
    pipeline.open_camera("drawn", CameraRules(lines=(scene.line,)))
    walks = scene.walks(rng)
    events: list[Event] = []
    stamp = Stamp("drawn", 1, 0, 0, 0, 0)
    for number in range(round((WARM_S + SCENE_S) * fps)):
        t = number / fps
        people: list[tuple[float, float, tuple[int, int, int]]] = [
            (0.3 + 0.02 * np.sin(t), 0.78, scene.others[0]),
            (0.7 + 0.02 * np.cos(t), 0.78, scene.others[1]),
        ]
        for walk, worn in zip(walks, scene.worn, strict=True):
            x = walk(t - WARM_S) if t >= WARM_S else None
            if x is not None and -0.5 * WIDE < x < 1 + 0.5 * WIDE:
                people.append((x, 0.4, worn))
        stamp = Stamp("drawn", 1, number, round(t * 1e9), 0, 0)
        events += pipeline.advance(stamp, _found(people, rng, looks)).events
    events += pipeline.end_tracks("drawn", stamp)
    return sum(event.type == LINE_CROSSED for event in events)


def _found(
    people: list[tuple[float, float, tuple[int, int, int]]], rng: np.random.Generator, looks: bool
) -> Detections:
    picture: Image = np.full((*SIZE, 3), 120, np.uint8)
    true = np.array([[x - WIDE / 2, y - HIGH / 2, x + WIDE / 2, y + HIGH / 2] for x, y, _ in people]).clip(
        0, 1
    )
    for (x1, y1, x2, y2), (_, _, worn) in zip(true, people, strict=True):
        rows, columns = (np.array([y1, y2]) * SIZE[0]).astype(int), (np.array([x1, x2]) * SIZE[1]).astype(int)
        picture[rows[0] : rows[1], columns[0] : columns[1]] = worn
    picture += rng.integers(0, 12, picture.shape, np.uint8)
    noise = rng.normal(0, NOISE, true.shape) * [WIDE, HIGH, WIDE, HIGH]
    inside = (true > 0) & (true < 1)
    boxes: Floats = (true + noise * inside).clip(0, 1).astype(np.float32)
    seen = rng.random(len(boxes)) >= LOST
    boxes = boxes[seen]
    scores = rng.normal(0.8, 0.05, len(boxes)).clip(0.3, 0.99).astype(np.float32)
    embeddings = colour_histograms(picture, boxes) if looks else None
    return Detections(boxes, scores, np.zeros(len(boxes), np.int32), embeddings)


def render(result: dict[str, Any]) -> str:
    lines = [
        "| scene | frames/s | tries | missed | false | without looks: missed | false |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['scene']} | {r['fps']:g} | {r['tries']} | {r['missed_with']} | {r['false_with']} "
        f"| {r['missed_without']} | {r['false_without']} |"
        for r in result["rows"]
    ]
    return "\n".join(lines)
