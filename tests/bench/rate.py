"""Looking only as often as a scene needs (`fps: auto`): frames saved, and what that costs in counts.

Sequences with known tracks and public detections, the corpus's clips with the default detector, and drawn
scenes. Constants were chosen on those marked "chosen on"; the others only say what was reached. Every row has
the errors of all frames, of the frames that `auto` takes, and of the same number evenly spread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.detect.filter import DetectionFilter
from pipelines.events import LINE_CROSSED
from pipelines.track import create_tracker, needed_rate
from pipelines.track.needed_rate import NeededRate, segments
from pipelines.train.detector.counts import CLIPS
from pipelines.values import Detections, Event, Labels, Stamp
from streamer.models.model_handle import open_detector, packaged
from streamer.workers.capture.pace import Pace
from tests.bench.counting import data, ours
from tests.bench.default_counts import look
from tests.bench.registry import Unavailable

NAME = "rate"
DESCRIPTION = "frames saved by looking as often as a scene needs, and the counts beside those of every frame"
CHOSEN_ON = ("first", "one-by-one-person.mp4", "overpass-cars.mp4")
DRAWN_S, DRAWN_FPS = 240.0, 25
MIN_SEQUENCE_FPS = 20.0  # below, there is little to save


@dataclass(frozen=True, slots=True)
class Case:
    """Frames of one camera in order, and how wrong the crossings that are counted are."""

    name: str
    chosen_on: bool
    rules: CameraRules
    labels: Labels
    frames: list[tuple[Stamp, Detections]]
    true: int
    errors: Callable[[list[Event]], int]


def run(only: str = "", constants: str = "") -> dict[str, Any]:
    """`only`: a part of a case's name. `constants`: others of pipelines.track.needed_rate than it has, as
    "CROWD=5,IDLE_FPS=4" (decision 031)."""
    root = data.corpus()
    if root is None:
        raise Unavailable("the corpus is missing: set STREAMER_CORPUS")
    with _changed(constants):
        rows = [_row(case) for case in (*_drawn(only), *_sequences(root, only), *_clips(root, only))]
    return {"rows": rows, "sums": [_sum(rows, chosen) for chosen in (True, False)]}


@contextmanager
def _changed(constants: str) -> Iterator[None]:
    pairs = [pair.partition("=") for pair in constants.split(",") if pair]
    if unknown := [name for name, _, _ in pairs if not (name.isupper() and hasattr(needed_rate, name))]:
        raise Unavailable(f"pipelines.track.needed_rate has no {', '.join(unknown)}")
    before = {name: getattr(needed_rate, name) for name, _, _ in pairs}
    try:
        for name, _, value in pairs:
            setattr(needed_rate, name, float(value))
        yield
    finally:
        for name, value in before.items():
            setattr(needed_rate, name, value)


# ---- what is looked at


def _every(case: Case) -> list[bool]:
    return [True] * len(case.frames)


def _spread(case: Case, taken: int) -> list[bool]:
    """So many, evenly."""
    total = len(case.frames)
    return [(i + 1) * taken // total > i * taken // total for i in range(total)]


def _row(case: Case) -> dict[str, Any]:
    auto_events, taken = _auto(case)
    return {
        "case": case.name,
        "chosen_on": case.chosen_on,
        "frames": len(case.frames),
        "taken": taken,
        "true": case.true,
        "errors_every": case.errors(_count(case, _every(case))),
        "errors_auto": case.errors(auto_events),
        "errors_spread": case.errors(_count(case, _spread(case, taken))),
    }


def _sum(rows: list[dict[str, Any]], chosen: bool) -> dict[str, Any]:
    mine = [row for row in rows if row["chosen_on"] == chosen]
    keys = ("frames", "taken", "true", "errors_every", "errors_auto", "errors_spread")
    return {"case": "all of them", "chosen_on": chosen, **{key: sum(r[key] for r in mine) for key in keys}}


def _count(case: Case, wanted: list[bool]) -> list[Event]:
    tracker, analytics = create_tracker(), CameraCounts(case.rules, case.labels)
    events: list[Event] = []
    for (stamp, boxes), take in zip(case.frames, wanted, strict=True):
        if take:
            events += analytics.update(stamp, tracker.update(stamp, boxes, case.labels))
    events += analytics.close(case.frames[-1][0])
    return [event for event in events if event.type == LINE_CROSSED]


def _auto(case: Case) -> tuple[list[Event], int]:
    """As the daemon does: what is wanted after a frame decides which is due next."""
    tracker, analytics = create_tracker(), CameraCounts(case.rules, case.labels)
    need, pace = NeededRate(), Pace(1)
    pieces = segments([line.points for line in case.rules.lines], ())
    events: list[Event] = []
    taken = 0
    for stamp, boxes in case.frames:
        if not pace.due(stamp.media_ns, need.fps):
            continue
        taken += 1
        events += analytics.update(stamp, tracker.update(stamp, boxes, case.labels))
        need.update(stamp.epoch, stamp.media_ns, tracker.motion, pieces)
    events += analytics.close(case.frames[-1][0])
    return [event for event in events if event.type == LINE_CROSSED], taken


# ---- cases


def _sequences(root: Path, only: str) -> Iterator[Case]:
    for part in data.PARTS:
        for sequence in data.load(part, root):
            if sequence.moving or sequence.fps < MIN_SEQUENCE_FPS or only not in sequence.name:
                continue
            yield _of_sequence(sequence, part.endswith("first"))


def _drawn(only: str) -> Iterator[Case]:
    """Places before which somebody comes now and then, each by a straight way over the line in the middle."""
    for name, speed, every_s in (("people", 0.08, 25.0), ("vehicles", 0.3, 20.0), ("a busy door", 0.1, 4.0)):
        for seed in range(4):
            case = f"drawn: {name} {seed}"
            if only in case:
                yield _walks(case, seed < 2, np.random.default_rng([seed, round(every_s)]), speed, every_s)


def _walks(name: str, chosen_on: bool, rng: np.random.Generator, speed: float, every_s: float) -> Case:
    """`speed`: widths of the picture a second; a box is 0.07 wide, 0.2 high, and 1 in 20 is missing."""
    starts = np.cumsum(rng.exponential(every_s, round(2 * DRAWN_S / every_s)))
    starts = starts[starts < DRAWN_S - 2 / speed]
    ways = [(at, speed * rng.uniform(0.7, 1.4), rng.uniform(0.3, 0.9), rng.random() < 0.5) for at in starts]
    frames = []
    for number in range(round(DRAWN_S * DRAWN_FPS)):
        t = number / DRAWN_FPS
        there = [(pace * (t - at), y, back) for at, pace, y, back in ways if 0 < pace * (t - at) < 1]
        centres = [(1 - x if back else x, y) for x, y, back in there if rng.random() > 0.05]
        table = np.array([(x - 0.035, y - 0.2, x + 0.035, y) for x, y in centres], np.float32).reshape(-1, 4)
        table += rng.normal(0, 0.03, table.shape) * np.array([0.07, 0.2, 0.07, 0.2])
        boxes = table.clip(0, 1).astype(np.float32)
        kept = boxes[(boxes[:, 2] - boxes[:, 0] > 0.01)]
        scores, classes = np.full(len(kept), 0.8, np.float32), np.zeros(len(kept), np.int32)
        stamp = Stamp("drawn", 1, number, round(t * 1e9), 0, 0)
        frames.append((stamp, Detections(kept, scores, classes)))
    true = Counter("lesser" if back else "greater" for *_, back in ways)

    def errors(events: list[Event]) -> int:
        found = Counter(str(event.data["direction"]) for event in events)
        return sum(abs(found[key] - true[key]) for key in {*found, *true})

    rules = CameraRules(lines=(ours.LINES.lines[0],))
    return Case(name, chosen_on, rules, ours.LABELS, frames, len(ways), errors)


def _of_sequence(sequence: data.Sequence, chosen_on: bool) -> Case:
    frames = [(stamp, boxes) for stamp, boxes in ours.detections(sequence)]
    true = data.true_crossings(sequence)

    def errors(events: list[Event]) -> int:
        found = ours.crossings(events)
        return sum(
            abs(sum(key(c) == key(of) for c in found) - sum(key(c) == key(of) for c in true))
            for of in {key(c): c for c in (*found, *true)}.values()
        )

    def key(crossing: Any) -> tuple[str, str]:
        return crossing.line, crossing.direction

    return Case(sequence.name, chosen_on, ours.LINES, ours.LABELS, frames, len(true), errors)


def _clips(root: Path, only: str) -> Iterator[Case]:
    if not any(only in clip.name for clip in CLIPS):
        return
    detector = open_detector("openvino", packaged(), threads=1)
    for clip in CLIPS:
        if only not in clip.name:
            continue
        seen = look(detector, root / "videos" / clip.name, 1)
        rules = CameraRules(classes=clip.classes, lines=clip.lines)
        kept = _filtered(seen.frames, rules, detector.labels)

        def errors(events: list[Event], true: dict[tuple[str, str], int] = clip.true) -> int:
            found = dict.fromkeys(true, 0)
            for event in events:
                key = (str(event.data["line"]), str(event.data["direction"]))
                found[key] = found.get(key, 0) + 1
            return sum(abs(n - true.get(key, 0)) for key, n in found.items())

        frames = list(zip(seen.stamps, kept, strict=True))
        chosen = clip.name in CHOSEN_ON
        yield Case(clip.name, chosen, rules, detector.labels, frames, sum(clip.true.values()), errors)


def _filtered(frames: list[Detections], rules: CameraRules, labels: Labels) -> list[Detections]:
    chosen = DetectionFilter(rules, labels)
    return [replace(chosen.apply(boxes), embeddings=None) for boxes in frames]


def render(result: dict[str, Any]) -> str:
    lines = [
        "| case | chosen on | frames | taken | true | errors: every | auto | as many, spread |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['case']} | {'yes' if r['chosen_on'] else ''} | {r['frames']} | {r['taken']} "
        f"({r['taken'] / max(1, r['frames']):.0%}) | {r['true']} | {r['errors_every']} | {r['errors_auto']} "
        f"| {r['errors_spread']} |"
        for r in (*result["rows"], *result["sums"])
    ]
    return "\n".join(lines)
