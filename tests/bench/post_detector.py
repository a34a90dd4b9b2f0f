"""CPU time of what follows the model for one frame: its answer read, filter, tracker, analytics, checkpoint.

Detections of public scenes are replayed through the parts of a Pipeline; the model's own raw answers are read
again and again. Between two frames a daemon's chip runs a model, which leaves nothing of ours in its caches:
so every frame is measured twice, in rounds of its own, once after a sweep through more memory than they hold.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.detect.filter import DetectionFilter
from pipelines.detect.model import Postprocessor
from pipelines.registry import create_detector
from pipelines.track import create_tracker
from pipelines.values import Detections, Labels, Stamp
from tests.bench.counting.data import corpus, load
from tests.bench.registry import Unavailable
from tests.recounting import of_clip, of_sequence

NAME = "post-detector"
DESCRIPTION = "CPU us a frame of what follows the model: answer, filter, tracker, analytics, checkpoint"

MODEL, CLIP = "weights/yolov8n_640.onnx", "videos/towncentre-1080p.mp4"
FPS = 25.0  # that of the clip, as if it were a stream
ANSWERS = 16  # raw answers kept, of 5 MB each
SEQUENCES = {"MOT15": ("PETS09-S2L1",), "MOT17": ("MOT17-04",)}
SAVE_S = 0.4  # between two checkpoints; another comes before events leave
SWEEP_BYTES = 8 << 20
LINES = [
    {"name": "vertical", "points": [[0.5, 1.0], [0.5, 0.0]]},
    {"name": "horizontal", "points": [[0.0, 0.6], [1.0, 0.6]]},
]
ZONE = {"name": "all", "points": [[0.02, 0.05], [0.98, 0.05], [0.98, 0.98], [0.02, 0.98]]}
RULES = {
    "bare": CameraRules(),
    "lines": CameraRules.model_validate({"lines": LINES}),
    "zone": CameraRules.model_validate({"zones": [ZONE]}),
}

Frames = list[tuple[Stamp, Detections]]
Times = dict[str, float]


def run(rounds: int = 5, seconds: float = 12.0) -> dict[str, Any]:
    """Medians over `rounds` of microseconds a frame, of the first `seconds` of each scene."""
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    frames, labels, read_again = _clip(root)
    scenes = {"towncentre": (frames, labels)}
    for group, names in SEQUENCES.items():
        for sequence in load(group, root):
            if sequence.name in names:
                boxes = _stamped((ns / 1e9, found) for ns, found in of_sequence(sequence))
                scenes[sequence.name] = (boxes, Labels(("person",), ("person",)))
    result: dict[str, Any] = {"answer": _in_turn(read_again, rounds)}
    result["scenes"] = {
        name: _scene([f for f in found if f[0].media_ns < seconds * 1e9], labels, rounds)
        for name, (found, labels) in scenes.items()
    }
    result["method"] = (
        f"medians of {rounds} rounds of means over frames, CPU us; "
        f"a checkpoint every {SAVE_S} s and at each frame with events"
    )
    return result


def _scene(frames: Frames, labels: Labels, rounds: int) -> dict[str, Any]:
    measured = {
        name: _in_turn(partial(_replay, frames, rules, labels), rounds) for name, rules in RULES.items()
    }
    result: dict[str, Any] = {"frames": len(frames), "tracks": measured["bare"]["warm"]["tracks"]}
    for mood in ("warm", "cold"):
        bare, lines, zone = (measured[name][mood] for name in RULES)
        result[mood] = {
            "filter": lines["filter"],
            "tracker": lines["tracker"],
            "smoothing and paths": bare["analytics"],
            "two lines": lines["analytics"] - bare["analytics"],
            "a zone": zone["analytics"] - bare["analytics"],
            "tracker's checkpoint": lines["save tracker"],
            "analytics' checkpoint": lines["save analytics"],
        }
    return result


def _in_turn(measure: Callable[[bool], Times], rounds: int) -> dict[str, Times]:
    found: dict[str, dict[str, list[float]]] = {"warm": defaultdict(list), "cold": defaultdict(list)}
    for _ in range(rounds):
        for mood, values in found.items():
            for name, value in measure(mood == "cold").items():
                values[name].append(value)
    return {mood: {k: statistics.median(v) for k, v in values.items()} for mood, values in found.items()}


class _Watch:
    """Adds up CPU time by name, in nanoseconds."""

    def __init__(self, cold: bool) -> None:
        self.spent_ns: dict[str, int] = defaultdict(int)
        self._memory = np.zeros(SWEEP_BYTES if cold else 0, np.uint8)

    def begin(self) -> None:
        self._memory[::64] += 1
        self._at_ns = time.process_time_ns()

    def lap(self, name: str) -> None:
        now_ns = time.process_time_ns()
        self.spent_ns[name] += now_ns - self._at_ns
        self._at_ns = time.process_time_ns()

    def mean_us(self, frames: int) -> Times:
        return {name: ns / frames / 1e3 for name, ns in self.spent_ns.items()}


def _replay(frames: Frames, rules: CameraRules, labels: Labels, cold: bool) -> Times:
    """As Pipeline.advance and Pipeline.save, step by step."""
    wanted, tracker = DetectionFilter(rules, labels), create_tracker()
    analytics = CameraCounts(rules, labels)
    watch, saved_ns, seen = _Watch(cold), 0, 0
    for stamp, found in frames:
        watch.begin()
        kept = wanted.apply(found)
        watch.lap("filter")
        tracks = tracker.update(stamp, kept, labels)
        watch.lap("tracker")
        events = analytics.update(stamp, tracks)
        watch.lap("analytics")
        seen += len(tracks)
        if events or stamp.media_ns - saved_ns >= SAVE_S * 1e9:
            saved_ns = stamp.media_ns
            tracker.save()
            watch.lap("save tracker")
            analytics.save()
            watch.lap("save analytics")
    return {**watch.mean_us(len(frames)), "tracks": seen / len(frames)}


def _clip(root: Path) -> tuple[Frames, Labels, Callable[[bool], Times]]:
    """What the model finds in the clip, and a function that reads its raw answers again."""
    detector = create_detector("openvino", root / MODEL, threads=1)
    answers: list[tuple[Postprocessor, Any, Any]] = []
    original = Postprocessor.run

    def record(self: Postprocessor, outputs: Any, placements: Any, **asked: Any) -> list[Detections]:
        if len(answers) < ANSWERS:
            answers.append((self, [[part.copy() for part in frame] for frame in outputs], placements))
        return original(self, outputs, placements, **asked)

    with mock.patch.object(Postprocessor, "run", record):
        found = _stamped((n / FPS, boxes) for n, (_, boxes) in enumerate(of_clip(str(root / CLIP), detector)))

    def read_again(cold: bool) -> Times:
        watch = _Watch(cold)
        for postprocessor, outputs, placements in answers * 10:
            watch.begin()
            postprocessor.run(outputs, placements)
            watch.lap("read")
        return watch.mean_us(len(answers) * 10)

    return found, detector.labels, read_again


def _stamped(found: Iterable[tuple[float, Detections]]) -> Frames:
    """Stamps for boxes at a time in seconds."""
    frames = []
    for number, (time_s, boxes) in enumerate(found):
        ns = round(time_s * 1e9)
        frames.append((Stamp("bench", 1, number, ns, ns, ns), boxes))
    return frames


def render(result: dict[str, Any]) -> str:
    answer = result["answer"]
    lines = [
        f"CPU us a frame                        {'warm':>8}{'cold':>8}",
        f"the model's answer read (YOLOv8n 640) {answer['warm']['read']:8.0f}{answer['cold']['read']:8.0f}",
    ]
    for name, scene in result["scenes"].items():
        lines.append(f"{name}: {scene['frames']} frames, {scene['tracks']:.1f} tracks")
        for step, warm_us in scene["warm"].items():
            lines.append(f"  {step:36}{warm_us:8.0f}{scene['cold'][step]:8.0f}")
    return "\n".join([*lines, result["method"]])
