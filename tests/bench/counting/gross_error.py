"""Counting on public tracking truth: gross error, tracking scores and speed, ours beside the peers'.

The truth and its lines: data.py. One setting for all sets. A few counts are within noise: the
difference to the best peer comes with a 95 % interval of the paired bootstrap over sequences and lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.evaluate.crossings import Crossing, bootstrap_sum, compare
from pipelines.evaluate.tracking import FrameBoxes, tracking_score
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec
from pipelines.track import create_tracker
from pipelines.values import Detections, Event, Labels, Stamp, Tracks
from tests.bench.counting import peers
from tests.bench.counting.data import (
    HELD_OUT,
    HORIZONTAL_AT,
    VERTICAL_AT,
    Sequence,
    corpus,
    load,
    run_crossings,
    true_crossings,
)
from tests.bench.counting.speed import OBJECTS, speed
from tests.bench.counting.speed import render as render_speed
from tests.bench.registry import Unavailable

NAME = "counting"
DESCRIPTION = "Gross counting error, HOTA and IDF1 on public truth, and association speed, beside the peers"

SETS: dict[str, int | None] = {
    "MOT15": 65,  # and the gross error to reach
    "MOT17": 10,
    "KITTI": 85,
    **dict.fromkeys(HELD_OUT),
}
LABELS = Labels(("object",), ("person",))
LINES = CameraRules(
    lines=(
        LineSpec(
            name="v",
            points=((VERTICAL_AT, 0), (VERTICAL_AT, 1)),
            left_to_right="lesser",  # as seen walking down the picture: to the viewer's left
            right_to_left="greater",
            anchor="foot",
        ),
        LineSpec(
            name="h",
            points=((0, HORIZONTAL_AT), (1, HORIZONTAL_AT)),
            left_to_right="greater",
            right_to_left="lesser",
            anchor="foot",
        ),
    )
)

TURN_BACK = 0.08  # of the box: truth holds crossings that turn back so near, and the rule has to leave out
Run = list[tuple[int, Stamp, Tracks]]


def run(
    peers_too: bool = True, slow_rates: bool = True, sets: bool = True, rounds: int = 7
) -> dict[str, Any]:
    """All figures; without `sets` the speed alone, over so many `rounds`.

    Raises Unavailable without the corpus or `trackeval`.
    """
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    try:
        import trackeval  # noqa: F401
    except ImportError as error:
        raise Unavailable("trackeval is not installed: pip install '.[evaluate]'") from error
    with_peers = peers_too and peers.installed()
    result: dict[str, Any] = {"sets": {}, "peers": with_peers}
    for group, goal in SETS.items() if sets else ():
        result["sets"][group] = _group(load(group, root), goal, with_peers, slow_rates)
    result["speed"] = {str(n): speed(n, with_peers, rounds) for n in OBJECTS}
    return result


def render(result: dict[str, Any]) -> str:
    """The table of the issue with our row, then scores, rates and speed."""
    lines = ["gross error = misses + false counts; within 1 s, in the direction"]
    for group, row in result["sets"].items():
        ours, goal = row["ours"], "" if row["goal"] is None else f"; goal {row['goal']}"
        lines.append(
            f"{group:<14} {ours['gross']:>4} of {row['true']} ({ours['missed']} missed, "
            f"{ours['false']} false{goal}); by decision time {ours['gross_by_decision']}; "
            f"HOTA {ours['hota']:.1f} IDF1 {ours['idf1']:.1f}; "
            f"decided {ours['delay_p50_s']:.2f} s after the crossing (p90 {ours['delay_p90_s']:.2f})"
        )
        lines.append(
            f"         without those that turn back within {TURN_BACK:.0%} of their box: "
            f"{ours['gross_of_lasting']} of {row['lasting']}"
        )
        for rate, value in ours.get("rates", {}).items():
            gross, of_lasting = value
            lines.append(f"         at 1/{rate} of the frames: {gross}; without those {of_lasting}")
        for name, gross in sorted(row.get("peers", {}).items(), key=lambda item: item[1]):
            lines.append(f"         {gross:>4}  {name}")
        if "best_peer" in row:
            low, high = row["less_than_best_peer_95"]
            lines.append(
                f"         ours less best peer ({row['best_peer']}): 95 % in {low:.0f} to {high:.0f}"
            )
        for name, score in row.get("peer_scores", {}).items():
            lines.append(f"         HOTA {score['hota']:.1f} IDF1 {score['idf1']:.1f}  {name}")
    return "\n".join([*lines, *render_speed(result["speed"])])


# ---- one set


def _group(sequences: list[Sequence], goal: int | None, with_peers: bool, slow_rates: bool) -> dict[str, Any]:
    truth = {s.name: true_crossings(s) for s in sequences}
    lasting = {s.name: true_crossings(s, band=TURN_BACK) for s in sequences}
    runs = {s.name: track(s) for s in sequences}
    events = {s.name: count(runs[s.name]) for s in sequences}
    counted = {name: [e[0] for e in found] for name, found in events.items()}
    ours = _errors(sequences, truth, counted)
    late = _errors(sequences, truth, {name: [e[1] for e in found] for name, found in events.items()})
    delays = [e[1].time_s - e[0].time_s for found in events.values() for e in found]
    score = tracking_score([_boxes(s, runs[s.name]) for s in sequences])
    row: dict[str, Any] = {
        "true": sum(map(len, truth.values())),
        "goal": goal,
        "lasting": sum(map(len, lasting.values())),
        "ours": {
            "gross_of_lasting": _sum(_errors(sequences, lasting, counted))["gross"],
            **_sum(ours),
            "gross_by_decision": _sum(late)["gross"],
            "hota": score.hota,
            "idf1": score.idf1,
            "mota": score.mota,
            "id_switches": score.id_switches,
            "delay_p50_s": float(np.median(delays)),
            "delay_p90_s": float(np.quantile(delays, 0.9)),
        },
    }
    if slow_rates:
        row["ours"]["rates"] = {str(step): _at_rate(sequences, (truth, lasting), step) for step in (2, 4)}
    if with_peers:
        row.update(_peers(sequences, truth, ours))
    return row


def track(sequence: Sequence, step: int = 1) -> Run:
    """Each `step`-th frame of a sequence through our tracker."""
    tracker = create_tracker()
    scale = np.array([sequence.width, sequence.height] * 2)
    found: Run = []
    for frame, rows in sequence.frames(step):
        stamp = stamp_of(sequence.name, frame, sequence.time_s(frame))
        boxes = Detections(
            (rows[:, :4] / scale).astype(np.float32),
            np.clip(rows[:, 4], 0, 1).astype(np.float32),
            np.zeros(len(rows), np.int32),
        )
        found.append((frame, stamp, tracker.update(stamp, boxes, LABELS)))
    return found


def count(frames: Run, rules: CameraRules = LINES) -> list[tuple[Crossing, Crossing]]:
    """Our crossings of a run, each twice: at its own time and at the time it was decided."""
    return [
        (
            Crossing(e.subject.upper(), e.data["direction"], e.data["crossed_media_ns"] / 1e9),
            Crossing(e.subject.upper(), e.data["direction"], e.stamp.media_ns / 1e9),
        )
        for e in line_events(frames, rules)
    ]


def line_events(frames: Run, rules: CameraRules = LINES) -> list[Event]:
    """The events of the crossings of a run."""
    analytics = CameraCounts(rules, LABELS)
    events = [event for _, stamp, tracks in frames for event in analytics.update(stamp, tracks)]
    events += analytics.close(frames[-1][1])
    return [e for e in events if e.type == LINE_CROSSED]


def stamp_of(camera: str, frame: int, time_s: float) -> Stamp:
    ns = round(time_s * 1e9)
    return Stamp(camera, 1, frame, ns, ns, 0)


def _errors(
    sequences: list[Sequence], truth: dict[str, list[Crossing]], counted: dict[str, list[Crossing]]
) -> dict[str, tuple[int, int]]:
    """(missed, false) for each sequence and line."""
    found = {}
    for sequence in sequences:
        for line in ("V", "H"):
            result = compare(
                [c for c in truth[sequence.name] if c.line == line],
                [c for c in counted[sequence.name] if c.line == line],
            )
            found[f"{sequence.name} {line}"] = (len(result.missed), len(result.false))
    return found


def _sum(errors: dict[str, tuple[int, int]]) -> dict[str, int]:
    missed, false = (sum(pair[i] for pair in errors.values()) for i in (0, 1))
    return {"gross": missed + false, "missed": missed, "false": false}


def _at_rate(
    sequences: list[Sequence], truths: tuple[dict[str, list[Crossing]], ...], step: int
) -> list[int]:
    """The gross error of each truth at each `step`-th frame."""
    counted = {s.name: [e[0] for e in count(track(s, step))] for s in sequences}
    return [_sum(_errors(sequences, truth, counted))["gross"] for truth in truths]


def _boxes(sequence: Sequence, frames: Run) -> list[FrameBoxes]:
    scale = np.array([sequence.width, sequence.height] * 2)
    found = [(frame, t.track_ids, t.boxes_xyxyn.astype(np.float64) * scale) for frame, _, t in frames]
    return _with_truth(sequence, found)


def _with_truth(sequence: Sequence, frames: peers.Frames) -> list[FrameBoxes]:
    together = []
    for frame, ids, boxes in frames:
        low, high = np.searchsorted(sequence.truth[:, 0], (frame, frame + 1))
        true = sequence.truth[low:high]
        together.append(FrameBoxes(true[:, 1].astype(np.int64), true[:, 2:6], ids, boxes))
    return together


# ---- the peers


def _peers(
    sequences: list[Sequence], truth: dict[str, list[Crossing]], ours: dict[str, tuple[int, int]]
) -> dict[str, Any]:
    gross: dict[str, int] = {}
    by_unit: dict[str, dict[str, tuple[int, int]]] = {}
    scores = {}
    for name in peers.TRACKERS:
        frames = {s.name: peers.track(name, s) for s in sequences}
        score = tracking_score([_with_truth(s, frames[s.name]) for s in sequences])
        scores[name] = {"hota": score.hota, "idf1": score.idf1}
        rules = {f"LineZone({n})": n for n in peers.THRESHOLDS}
        for rule, threshold in rules.items():
            counted = {s.name: peers.count(s, frames[s.name], threshold) for s in sequences}
            by_unit[f"{name} + {rule}"] = _errors(sequences, truth, counted)
        counted = {s.name: peers.two_frame_rule(s, frames[s.name], run_crossings) for s in sequences}
        by_unit[f"{name} + 2-frame rule"] = _errors(sequences, truth, counted)
    gross = {name: _sum(errors)["gross"] for name, errors in by_unit.items()}
    best = min(gross, key=lambda name: gross[name])
    differences = [sum(ours[unit]) - sum(by_unit[best][unit]) for unit in ours]
    return {
        "peers": gross,
        "best_peer": best,
        "less_than_best_peer_95": bootstrap_sum(differences),
        "peer_scores": scores,
    }
