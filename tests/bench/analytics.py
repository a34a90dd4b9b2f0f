"""What each analytic adds to the CPU time of a frame: 20 tracks that wander through the picture at 15 fps.

Each rule is run beside the same camera without it, in turns; the tracker and the detector are not in it.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.values import Labels, Stamp, Tracks

NAME = "analytics"
DESCRIPTION = "CPU us a frame that each analytic costs at 20 tracks, over lines and zones alone"
LABELS = Labels(("person", "car"), ("person", "vehicle"))
FPS = 15
ZONES = [
    {"name": "left", "points": [[0.0, 0.0], [0.45, 0.0], [0.45, 1.0], [0.0, 1.0]]},
    {"name": "right", "points": [[0.55, 0.0], [1.0, 0.0], [1.0, 1.0], [0.55, 1.0]]},
]
LINES = [
    {"name": "middle", "points": [[0.5, 1.0], [0.5, 0.0]], "left_to_right": "in", "right_to_left": "out"}
]
GROUND = {"points": [[0, 0], [1, 0], [1, 1], [0, 1]], "metres": [[0, 0], [40, 0], [40, 20], [0, 20]]}
RULES: dict[str, dict[str, Any]] = {
    "dwell": {"dwells": [{"name": "a", "zone": "left", "after_s": [5, 20]}]},
    "occupancy": {"occupancies": [{"name": "a", "lines": ["middle"]}]},
    "queue": {"queues": [{"name": "a", "zone": "left"}]},
    "flow": {"flows": [{"name": "a", "zones": ["left", "right"]}]},
    "speed at a line": {"calibration": GROUND, "speeds": [{"name": "a", "line": "middle"}]},
    "speed through a zone": {"calibration": GROUND, "speeds": [{"name": "a", "zone": "left"}]},
    "wrong way at a line": {"wrong_ways": [{"name": "a", "line": "middle", "allowed": "in"}]},
    "wrong way in a zone": {"wrong_ways": [{"name": "a", "zone": "left", "towards": [[0, 0], [1, 0]]}]},
    "heat map": {"heatmaps": [{"name": "a"}]},
    "unique": {"uniques": [{"name": "a"}]},
}
RULES["all of them"] = {
    key: [{**item, "name": f"r{n}"} for n, item in enumerate(found)]
    for key in ("dwells", "occupancies", "queues", "flows", "speeds", "wrong_ways", "heatmaps", "uniques")
    if (found := [item for rule in list(RULES.values()) for item in rule.get(key, [])])
} | {"calibration": GROUND}


def run(tracks: int = 20, rounds: int = 7, seconds: int = 20) -> dict[str, Any]:
    frames = _frames(tracks, seconds)
    base: list[float] = []
    added: dict[str, list[float]] = {name: [] for name in RULES}
    for _ in range(rounds):
        for name, rule in RULES.items():
            without = _measure({}, frames)
            base.append(without)
            added[name].append(_measure(rule, frames) - without)
    return {
        "tracks": tracks,
        "base_us": round(statistics.median(base), 1),
        "added_us": {name: round(statistics.median(values), 1) for name, values in added.items()},
        "method": f"median of {rounds} pairs of {seconds} s of media time, in turns",
    }


def _measure(rule: dict[str, Any], frames: list[tuple[Stamp, Tracks]]) -> float:
    """CPU microseconds a frame."""
    rules = CameraRules.model_validate({"lines": LINES, "zones": ZONES, **rule})
    analytics = CameraCounts(rules, LABELS)
    begun_s = time.process_time()
    for stamp, tracks in frames:
        analytics.update(stamp, tracks)
    return (time.process_time() - begun_s) / len(frames) * 1e6


def _frames(count: int, seconds: int) -> list[tuple[Stamp, Tracks]]:
    rng = np.random.default_rng(7)
    phase, pace = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.2, 1.5, count)
    y = rng.uniform(0.3, 0.9, count)
    made = []
    for n in range(seconds * FPS):
        x = 0.5 + 0.45 * np.sin(phase + pace * n / FPS)
        boxes = np.column_stack([x - 0.02, y - 0.1, x + 0.02, y]).astype(np.float32)
        tracks = Tracks(
            np.arange(1, count + 1, dtype=np.int64),
            boxes,
            np.full(count, 0.9, np.float32),
            (np.arange(count) % 2).astype(np.int32),
            np.ones(count, np.bool_),
            np.full((count, 2), 0.001, np.float32),
        )
        at_ns = round(n * 1e9 / FPS)
        made.append((Stamp("bench", 0, n, at_ns, at_ns, at_ns), tracks))
    return made


def render(result: dict[str, Any]) -> str:
    lines = [
        f"at {result['tracks']} tracks, CPU us a frame; one line and two zones alone: {result['base_us']:.0f}"
    ]
    lines += [f"  {name:24}{added:+8.0f}" for name, added in result["added_us"].items()]
    return "\n".join([*lines, result["method"]])
