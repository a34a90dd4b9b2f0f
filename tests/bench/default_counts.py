"""What the two scores of the default detector's card do to its counts: detected once, counted often.

Clips with known counts, and PETS09-S2L1 with its true crossings (misses and false counts of a vertical and a
horizontal line through the middle, by the rule of counting/data.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from pipelines.camera_rules import CameraRules
from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import Crossing, compare
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.rules import LineSpec
from pipelines.train.detector.counts import CLIPS
from pipelines.values import Detections, Event, Frame, Stamp
from tests.bench import detection_data as data
from tests.bench.counting import data as counting_data
from tests.bench.registry import Unavailable

NAME = "default-counts"
DESCRIPTION = "counts of the default detector, or another, on real clips at other scores and rates"
MIN_SCORE = 0.1
SURE = "0.5,0.53,0.57,0.61"
LOW = "0.2,0.3,0.4,0.5"
DIRECTIONS = {"v": ("rightwards", "leftwards"), "h": ("down", "up")}  # as greater and lesser
PETS_LINES = (
    LineSpec(
        name="v",
        points=((0.5, 0.0), (0.5, 1.0)),
        left_to_right="leftwards",
        right_to_left="rightwards",
        anchor="foot",
    ),
    LineSpec(
        name="h", points=((0.0, 0.5), (1.0, 0.5)), left_to_right="down", right_to_left="up", anchor="foot"
    ),
)


@dataclass(frozen=True, slots=True)
class ClipDetections:
    """What the detector found in a clip from LOWEST on, frame by frame."""

    stamps: list[Stamp]
    frames: list[Detections]


def run(
    sure: str | float = SURE,
    low: str | float = LOW,
    model: str = str(PACKAGED_MODEL),
    step: int = 1,
    first: int = 0,
    shape: str = "card",
    size: int = 0,
) -> dict[str, Any]:
    """`sure`, `low`: scores, by commas (`low` "none" for none); without low boxes is tried beside them.
    `step`: every how many frames one is looked at, from which `first` on; `model`: a path, one without a
    card has the usual one. `shape`: "fixed" or "picture" instead of what the card says; `size`: the input's
    side in pixels instead of the card's."""
    root = counting_data.corpus()
    if root is None:
        raise Unavailable("the corpus is missing: set STREAMER_CORPUS")
    path = Path(model)
    sidecar = path.with_suffix(".yaml")
    card = as_input(read_card(sidecar) if sidecar.exists() else ModelCard(), shape, size)
    detector = create_detector("openvino", path, threads=1, score=MIN_SCORE, sidecar=card)
    names = [*(clip.name for clip in CLIPS), Path(data.CLIP).name]
    seen = {name: look(detector, root / "videos" / name, step, first) for name in names}
    truth = pets_truth(root)
    rows = []
    for least in (float(word) for word in str(sure).split(",")):
        lows = [] if low == "none" else [float(word) for word in str(low).split(",")]
        lower = [value for value in lows if value < least]
        rows += [_row(detector, seen, truth, least, lowest) for lowest in (*lower, least)]
    return {
        "shipped": {"score": card.score, "low_score": card.low_score},
        "input": {"shape": card.input_shape, "compiled": detector.describe()["compiled"]},
        "rows": rows,
    }


def as_input(card: ModelCard, shape: str = "card", size: int = 0) -> ModelCard:
    """The card with another `input_shape` ("card": its own) and `input_size` (0: its own)."""
    data = card.model_dump()
    if shape != "card":
        data["input_shape"] = shape
    if size:
        data["input_size"] = (size, size)
    return ModelCard.model_validate(data)


def look(detector: Detector, clip: Path, step: int, first: int = 0) -> ClipDetections:
    capture = cv2.VideoCapture(str(clip))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    pipeline = Pipeline(detector)
    pipeline.open_camera("bench", CameraRules())
    frames, stamps = [], []
    for number, image in data.images(clip, step, first):
        stamps.append(Stamp("bench", 1, number, round(number * 1e9 / fps), 0, 0))
        pending = pipeline.submit([Frame(stamps[-1], image)])
        frames += pipeline.look(pending, detector.collect(pending.ticket))
    return ClipDetections(stamps, frames)


def _row(
    detector: Detector, seen: dict[str, ClipDetections], truth: list[Crossing], sure: float, low: float
) -> dict[str, Any]:
    counted, errors = {}, {}
    for clip in CLIPS:
        found = dict.fromkeys(clip.true, 0)
        for event in events(
            detector, seen[clip.name], CameraRules(classes=clip.classes, lines=clip.lines), sure, low
        ):
            key = (str(event.data["line"]), str(event.data["direction"]))
            found[key] = found.get(key, 0) + 1
        counted[clip.name] = {" ".join(key): n for key, n in found.items()}
        errors[clip.name] = sum(abs(n - clip.true.get(key, 0)) for key, n in found.items())
    rules = CameraRules(classes=("person",), lines=PETS_LINES)
    crossings = [
        Crossing(str(e.data["line"]), str(e.data["direction"]), e.data["crossed_media_ns"] / 1e9)
        for e in events(detector, seen[Path(data.CLIP).name], rules, sure, low)
    ]
    pets = compare(truth, crossings)
    return {
        "score": sure,
        "low_score": low,
        "counted": counted,
        "errors": errors,
        "gross": sum(errors.values()),
        "crossings": sum(sum(clip.true.values()) for clip in CLIPS),
        "pets_missed": [sum(c.line == line for c in pets.missed) for line in DIRECTIONS],
        "pets_false": [sum(c.line == line for c in pets.false) for line in DIRECTIONS],
    }


def events(
    detector: Detector, seen: ClipDetections, rules: CameraRules, sure: float, low: float
) -> list[Event]:
    """The crossings that are counted where boxes from `low` to `sure` are low ones."""
    pipeline = Pipeline(detector)
    pipeline.open_camera("bench", rules)
    found: list[Event] = []
    for stamp, boxes in zip(seen.stamps, seen.frames, strict=True):
        kept = replace(boxes.take(boxes.scores >= low), high_threshold=sure if low < sure else 0.0)
        found += pipeline.advance(stamp, kept).events
    return [e for e in (*found, *pipeline.end_tracks("bench", seen.stamps[-1])) if e.type == LINE_CROSSED]


def pets_truth(root: Path) -> list[Crossing]:
    pets = next(s for s in counting_data.load("MOT15", root) if s.name == "PETS09-S2L1")
    truth = []
    for crossing in counting_data.true_crossings(pets, 0.5, 0.5):
        line = crossing.line.lower()
        direction = DIRECTIONS[line][crossing.direction == "lesser"]
        truth.append(Crossing(line, direction, crossing.time_s * pets.fps * data.FRAME_NS / 1e9))
    return truth


def render(result: dict[str, Any]) -> str:
    shipped = result["shipped"]
    lines = [
        f"in the card: score {shipped['score']}, low_score {shipped['low_score']}; "
        f"inputs {' '.join('x'.join(map(str, size)) for size in result['input']['compiled'])}",
        "",
        "| score | low_score | overpass, street, one-by-one | gross error | PETS09 missed x, y | false |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        low = f"{row['low_score']:g}" if row["low_score"] < row["score"] else "none"
        share = f"{row['gross']} of {row['crossings']} ({row['gross'] / row['crossings']:.1%})"
        each = ", ".join(map(str, row["errors"].values()))
        missed, false = (", ".join(map(str, row[kind])) for kind in ("pets_missed", "pets_false"))
        lines.append(f"| {row['score']:g} | {low} | {each} | {share} | {missed} | {false} |")
    return "\n".join(lines)
