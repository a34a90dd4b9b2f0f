"""A region of interest on real clips whose true crossings are known: the whole picture beside a region.

A row is one line of one clip. The region is what `auto` makes of the tracks of the whole picture, as a daemon
does that has learnt; it is inferred at the scale of the whole picture, and once more enlarged
(`region_zoom`). Errors are missed and false crossings together for PETS09, whose truth has times, and
differences of counts for the others. Milliseconds are CPU time of all threads for a frame's inference and
what follows it, decoding left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import Crossing, compare
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.region.approach import Approach
from pipelines.region.camera_region import MARGIN, MARGIN_S, auto_region
from pipelines.region.spec import WHOLE, around, share
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.rules import LineSpec
from pipelines.train.detector.counts import CLIPS
from pipelines.values import Event, Frame, Stamp
from tests.bench import detection_data
from tests.bench.counting import data as counting_data
from tests.bench.default_counts import PETS_LINES, pets_truth
from tests.bench.registry import Unavailable

NAME = "region"
DESCRIPTION = "A region of interest: errors, share of the picture and CPU beside the whole picture"
Errors = Callable[[list[Event]], int]


class _Scene(NamedTuple):
    name: str
    clip: Path
    classes: tuple[str, ...]
    line: LineSpec
    true: int
    errors: Errors


class _Run(NamedTuple):
    errors: int
    ms: float


def run(
    margin: float = MARGIN,
    margin_s: float = MARGIN_S,
    step: int = 1,
    only: str = "",
    model: str = str(PACKAGED_MODEL),
) -> dict[str, Any]:
    """`margin`, `margin_s`: as of `auto`; `step`: every how many frames one is looked at; `only`: clips whose
    name begins so. Raises Unavailable without the corpus."""
    root = counting_data.corpus()
    if root is None:
        raise Unavailable("the corpus is missing: set STREAMER_CORPUS")
    detector = create_detector("openvino", Path(model), threads=1)
    rows = []
    for scene in _scenes(root):
        if scene.name.startswith(only):
            rows.append(_row(detector, scene, (margin, margin_s), step))
    return {"margins": [margin, margin_s], "rows": rows}


def _row(detector: Detector, scene: _Scene, margins: tuple[float, float], step: int) -> dict[str, Any]:
    rules = CameraRules(classes=scene.classes, lines=(scene.line,))
    approach = Approach([around(scene.line.points)])
    whole = _count(detector, scene, rules, step, approach)
    approach.end()
    scale = approach.scale()
    box = auto_region(rules, scale, *margins) if scale else WHOLE
    row = {"scene": scene.name, "true": scene.true, "box": box, "whole": whole, "share": share(box)}
    if box != WHOLE:
        fixed = rules.model_copy(update={"region": box})
        row["region"] = _count(detector, scene, fixed, step)
        zoomed = fixed.model_copy(update={"region_zoom": True})
        row["zoom"] = _count(detector, scene, zoomed, step)
    return row


def _count(
    detector: Detector, scene: _Scene, rules: CameraRules, step: int, approach: Approach | None = None
) -> _Run:
    capture = cv2.VideoCapture(str(scene.clip))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    pipeline = Pipeline(detector)
    pipeline.open_camera("bench", rules)
    events: list[Event] = []
    frames, spent_ns, stamp = 0, 0, Stamp("bench", 1, 0, 0, 0, 0)
    for number, image in detection_data.images(scene.clip, step):
        stamp = Stamp("bench", 1, number, round(number * 1e9 / fps), 0, 0)
        begun_ns = time.process_time_ns()
        (result,) = pipeline.step([Frame(stamp, image)])
        if frames > 0:  # the first one may wait for a compilation
            spent_ns += time.process_time_ns() - begun_ns
        frames += 1
        events += result.events
        if approach is not None:
            approach.follow(1, stamp.media_ns / 1e9, result.tracks)
    events += pipeline.end_tracks("bench", stamp)
    crossed = [event for event in events if event.type == LINE_CROSSED]
    return _Run(scene.errors(crossed), spent_ns / 1e6 / max(1, frames - 1))


def _scenes(root: Path) -> list[_Scene]:
    scenes = []
    for clip in CLIPS:
        for line in clip.lines:
            true = {way: n for (name, way), n in clip.true.items() if name == line.name}
            place = root / "videos" / clip.name
            name = f"{clip.name.partition('.')[0]} {line.name}"
            scenes.append(_Scene(name, place, clip.classes, line, sum(true.values()), _by_counts(true)))
    pets = root / detection_data.CLIP
    for line in PETS_LINES:
        its = [crossing for crossing in pets_truth(root) if crossing.line == line.name]
        scenes.append(_Scene(f"pets09 {line.name}", pets, ("person",), line, len(its), _by_times(its)))
    return scenes


def _by_counts(true: dict[str, int]) -> Errors:
    def errors(events: list[Event]) -> int:
        counted = Counter(str(event.data["direction"]) for event in events)
        return sum(abs(counted[way] - true.get(way, 0)) for way in {*counted, *true})

    return errors


def _by_times(true: list[Crossing]) -> Errors:
    def errors(events: list[Event]) -> int:
        found = compare(
            true,
            [
                Crossing(str(e.data["line"]), str(e.data["direction"]), e.data["crossed_media_ns"] / 1e9)
                for e in events
            ],
        )
        return len(found.missed) + len(found.false)

    return errors


def render(result: dict[str, Any]) -> str:
    lines = [
        f"margins: {result['margins'][0]:g} sizes, {result['margins'][1]:g} s",
        "",
        "| clip, line | true | share | errors whole | region | zoom | CPU ms a frame whole | region | zoom |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        runs = [row.get(key) for key in ("whole", "region", "zoom")]
        errors = " | ".join("" if each is None else str(each.errors) for each in runs)
        times = " | ".join("" if each is None else f"{each.ms:.1f}" for each in runs)
        lines.append(f"| {row['scene']} | {row['true']} | {row['share']:.2f} | {errors} | {times} |")
    return "\n".join(lines)
