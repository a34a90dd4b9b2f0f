"""What stands on a line counts nothing: a matrix of drawn objects (tests/standing.py), and parked cars.

Each object comes, stands on the line with noise and sway for a while, and goes on, back or along it: on is
one crossing, the others are none. Of the cars each has a short line through it, which none crosses while they
stand.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.registry import create_detector
from pipelines.rules import LineSpec
from pipelines.values import Labels
from tests.bench.counting import data as counting_data
from tests.bench.default_counts import ClipDetections, events, look
from tests.standing import ALONG, BACK, ON, Standing, View, counted, gross_error

NAME = "standing"
DESCRIPTION = (
    "What stands, sways and stops on a line: gross error of drawn objects, and crossings by parked cars"
)

JITTERS = (0.01, 0.02, 0.04, 0.06)  # of the box's width
SWAYS = ((0.0, 2.0), *itertools.product((0.02, 0.04, 0.08), (2.0, 5.0, 10.0)))  # likewise, and the period
DWELLS = (1.0, 20.0, 300.0)
THEN = (ON, BACK, ALONG)
RATES = (5.0, 10.0, 25.0)
SIZES = (20.0, 64.0, 300.0)
CARS = ((0.597, 0.422), (0.517, 0.368), (0.460, 0.341), (0.967, 0.477))  # the centres of those that stand,
REACH = 0.02  # from which the line goes so far up and down;
UNTIL_S = 16.0  # after that the first of them drive on, and others over these lines
CLIP, MODEL = "street-cars.mp4", "yolov8n_640.onnx"


def run(seed: int = 1, tries: int = 1, perfect: bool = False, longest: float = 300.0) -> dict[str, Any]:
    """`tries` of each object; `perfect` tracks instead of the tracker's; dwells up to `longest`."""
    rows = []
    for number, (view, dwell_s) in enumerate(_views(longest)):
        rng = np.random.default_rng((seed, number))
        for then in THEN:
            objects = [Standing(dwell_s, then, *sway) for sway in SWAYS for _ in range(tries)]
            counts = counted(view, objects, rng, perfect=perfect)
            rows += [_row(view, o, count) for o, count in zip(objects, counts, strict=True)]
    return {"seed": seed, "tracks": "perfect" if perfect else "tracked", "rows": rows, "cars": parked()}


def _views(longest: float) -> Iterator[tuple[View, float]]:
    """Who is seen how, and for how long it stands; of the longest dwell, which takes most of the time, one
    size at each rate and noise (a Latin square)."""
    for (i, jitter), (j, fps), (k, size) in itertools.product(*map(enumerate, (JITTERS, RATES, SIZES))):
        for foot, dwell_s in itertools.product((False, True), DWELLS):
            if dwell_s <= longest and (dwell_s < DWELLS[-1] or (i + j + k) % len(SIZES) == 0):
                yield View(size, fps, jitter, foot), dwell_s


def _row(view: View, o: Standing, count: tuple[int, int]) -> dict[str, Any]:
    return {
        "jitter": view.jitter,
        "fps": view.fps,
        "size": view.size,
        "anchor": "foot" if view.foot else "center",
        "sway": o.sway,
        "period_s": o.period_s,
        "dwell_s": o.dwell_s,
        "then": o.then,
        "error": gross_error([o], [count]),
    }


def render(result: dict[str, Any]) -> str:
    rows = result["rows"]
    header = " | ".join(f"{100 * jitter:g} % jitter" for jitter in JITTERS)
    lines = [
        f"gross error, {result['tracks']} tracks, seed {result['seed']} (and how many objects are wrong)",
        "",
        f"| | {header} |",
        "|---" * (1 + len(JITTERS)) + "|",
    ]
    for label, chosen in _groups(rows):
        cells = (_cell([r for r in chosen if r["jitter"] == jitter]) for jitter in JITTERS)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    if result["cars"] is not None:
        lines += ["", "| parked car | its crossings |", "|---|---|"]
        lines += [f"| {x:.3f}, {y:.3f} | {n} |" for (x, y), n in zip(CARS, result["cars"], strict=True)]
    return "\n".join(lines)


def _groups(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for sway, period_s in SWAYS:
        label = f"sway {100 * sway:g} %, {period_s:g} s" if sway else "no sway"
        yield label, [r for r in rows if (r["sway"], r["period_s"]) == (sway, period_s)]
    names = (("dwell_s", "stands {:g} s"), ("then", "then {}"), ("fps", "{:g} frames/s"), ("size", "{:g} px"))
    for name, label in (*names, ("anchor", "anchor {}")):
        for value in dict.fromkeys(r[name] for r in rows):
            yield label.format(value), [r for r in rows if r[name] == value]
    yield "all", rows


def _cell(rows: list[dict[str, Any]]) -> str:
    wrong = sum(r["error"] > 0 for r in rows)
    return f"{sum(r['error'] for r in rows)} ({wrong} of {len(rows)})"


# ---- the parked cars


def parked() -> list[int] | None:
    """How often each car that stands is counted on a line through it; None without the corpus."""
    root = counting_data.corpus()
    if root is None:
        return None
    detector = create_detector("openvino", root / "weights" / MODEL, threads=1, score=0.25)
    return crossings_of_parked(look(detector, root / "videos" / CLIP, 1), detector.labels)


def crossings_of_parked(seen: ClipDetections, labels: Labels) -> list[int]:
    detector = create_detector("motion", None)  # is asked nothing
    detector.labels = labels
    lines = tuple(
        LineSpec(name=f"car{n}", points=((x, y - REACH), (x, y + REACH)), anchor="center")
        for n, (x, y) in enumerate(CARS)
    )
    found = events(detector, seen, CameraRules(classes=("vehicle",), lines=lines), 0.25, 0.25)
    counts = Counter(e.subject for e in found if e.data["crossed_media_ns"] < UNTIL_S * 1e9)
    return [counts[line.name] for line in lines]
