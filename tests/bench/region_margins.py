"""The margins of a region that is `auto`, chosen out of fold: on all sequences but one, and scored on that.

Public sequences with a fixed view, their boxes as a detector gives them, each of the two lines by itself. The
region comes of what our own tracks of the whole picture say of sizes and speeds; then boxes are cut at its
edges, those of which less than half is left go, and the rest is tracked and counted anew. Of a fold's margins
the least that makes no more errors on the others than the whole picture is taken (by share of the picture).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.evaluate.crossings import Crossing, compare
from pipelines.events import LINE_CROSSED
from pipelines.region.approach import Approach, ObjectScale
from pipelines.region.camera_region import MARGIN, MARGIN_S, auto_region
from pipelines.region.spec import WHOLE, Box, around, share
from pipelines.track import create_tracker
from pipelines.values import Detections, Event
from tests.bench.counting import data, ours
from tests.bench.registry import Unavailable

NAME = "region_margins"
DESCRIPTION = "How far around lines a region must reach, in sizes and seconds: errors out of fold"
SIZES = (0.0, 0.5, 1.0, 1.5, 2.0)
SECONDS = (0.0, 0.5, 1.0)
STEPS = (1, 3)  # each frame, and each third
LEFT = 0.5  # of a box at the region's edge: with less of it inside it is not found
Margins = tuple[float, float]  # sizes, seconds


def run() -> dict[str, Any]:
    """Raises Unavailable without the corpus."""
    root = data.corpus()
    if root is None:
        raise Unavailable("the corpus is missing: set STREAMER_CORPUS")
    sequences = [s for group in ("MOT15", "MOT17") for s in data.load(group, root) if not s.moving]
    tables = {sequence.name: _table(sequence) for sequence in sequences}
    tried = [(size, second) for size in SIZES for second in SECONDS]
    folds = [_fold(name, tables, tried) for name in tables]
    return {
        "shipped": [MARGIN, MARGIN_S],
        "true": sum(table["true"] for table in tables.values()),
        "whole": sum(table["whole"] for table in tables.values()),
        "margins": [
            {"margins": each, "errors": _errors(tables, each), "share": _share(tables, each)}
            for each in tried
        ],
        "folds": folds,
    }


def _fold(name: str, tables: dict[str, dict[str, Any]], tried: list[Margins]) -> dict[str, Any]:
    others = {other: table for other, table in tables.items() if other != name}
    whole = sum(table["whole"] for table in others.values())
    good = [each for each in tried if _errors(others, each) <= whole] or tried[-1:]
    chosen = min(good, key=lambda each: _share(others, each))
    errors, part = tables[name]["regions"][chosen]
    return {
        "sequence": name,
        "chosen": chosen,
        "true": tables[name]["true"],
        "whole": tables[name]["whole"],
        "region": errors,
        "share": part,
    }


def _errors(tables: dict[str, dict[str, Any]], margins: Margins) -> int:
    return int(sum(table["regions"][margins][0] for table in tables.values()))


def _share(tables: dict[str, dict[str, Any]], margins: Margins) -> float:
    return float(np.mean([table["regions"][margins][1] for table in tables.values()]))


def _table(sequence: data.Sequence) -> dict[str, Any]:
    """Gross errors of the whole picture and of each margin, over both lines and all steps."""
    true = data.true_crossings(sequence)
    found: dict[str, Any] = {"true": len(true) * len(STEPS), "whole": 0, "regions": {}}
    for step in STEPS:
        for line in ours.LINES.lines:
            rules = ours.LINES.model_copy(update={"lines": (line,)})
            its = [crossing for crossing in true if crossing.line == line.name.upper()]
            found["whole"] += _gross(its, _count(sequence, step, rules, WHOLE))
            scale = _scale(sequence, step, rules)
            for size in SIZES:
                for seconds in SECONDS:
                    box = auto_region(rules, scale, size, seconds) if scale else WHOLE
                    gross = _gross(its, _count(sequence, step, rules, box))
                    errors, shares = found["regions"].get((size, seconds), (0, 0.0))
                    part = share(box) / 2 / len(STEPS)
                    found["regions"][size, seconds] = (errors + gross, shares + part)
    return found


def _gross(true: list[Crossing], events: list[Event]) -> int:
    comparison = compare(true, ours.crossings(events))
    return len(comparison.missed) + len(comparison.false)


def _scale(sequence: data.Sequence, step: int, rules: CameraRules) -> ObjectScale | None:
    approach = Approach([around(line.points) for line in rules.lines])
    time_s = 0.0
    for _, stamp, tracks in ours.track(sequence, step):
        time_s = stamp.media_ns / 1e9
        approach.follow(1, time_s, tracks)
    approach.end()
    return approach.scale()


def _count(sequence: data.Sequence, step: int, rules: CameraRules, box: Box) -> list[Event]:
    tracker, analytics = create_tracker(), CameraCounts(rules, ours.LABELS)
    tracker.view = box
    events: list[Event] = []
    last = None
    for stamp, boxes in ours.detections(sequence, step):
        events += analytics.update(stamp, tracker.update(stamp, cut(boxes, box), ours.LABELS))
        last = stamp
    assert last is not None
    return [e for e in (*events, *analytics.close(last)) if e.type == LINE_CROSSED]


def cut(found: Detections, box: Box) -> Detections:
    """What a detector would find of these boxes in a part of the picture."""
    edges = found.boxes_xyxyn
    inside = np.concatenate(
        [edges[:, :2].clip(box[:2], box[2:]), edges[:, 2:].clip(box[:2], box[2:])], axis=1
    ).astype(np.float32)
    seen = (inside[:, 2:] - inside[:, :2]).prod(axis=1)
    keep = seen >= LEFT * (edges[:, 2:] - edges[:, :2]).prod(axis=1)
    keep &= seen > 0
    return Detections(inside[keep], found.scores[keep], found.class_ids[keep])


def render(result: dict[str, Any]) -> str:
    lines = [
        f"{result['true']} true crossings; the whole picture makes {result['whole']} errors",
        "",
        "| margin: sizes, seconds | errors | share of the picture |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['margins'][0]:g}, {row['margins'][1]:g}"
        f"{' (shipped)' if list(row['margins']) == list(result['shipped']) else ''} "
        f"| {row['errors']} | {row['share']:.2f} |"
        for row in result["margins"]
    ]
    lines += [
        "",
        "| left out | chosen on the others | true | whole | region | share |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['sequence']} | {row['chosen'][0]:g}, {row['chosen'][1]:g} | {row['true']} | {row['whole']} "
        f"| {row['region']} | {row['share']:.2f} |"
        for row in result["folds"]
    ]
    out = sum(row["region"] for row in result["folds"])
    lines += ["", f"out of fold: {out} errors, the whole picture {result['whole']}"]
    return "\n".join(lines)
