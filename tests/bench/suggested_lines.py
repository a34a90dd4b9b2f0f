"""Lines that are proposed from the first half of a scene's tracks, judged by those that come later.

Scenes: the sequences with tracking truth whose camera stands, and clips with a detector's tracks. The score
is the share of later moving tracks that cross a proposed line once and cleanly; beside it what it is where
the weights were chosen on the other scenes alone, and what the best straight line through the middle gets.
 Where the truth is known the first line is counted in the second half. How: suggestion_folds.py.
Whether a person would draw them there, only a look tells: `-o pictures=FOLDER` draws them with the tracks.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count.line_suggestion import WEIGHTS, observed_path
from pipelines.count.trajectory_codec import decode
from pipelines.detect.detector import Detector
from pipelines.events import TRACK_ENDED
from pipelines.registry import create_detector
from tests.bench import suggestion_folds as folds
from tests.bench.counting.data import corpus, load
from tests.bench.registry import Unavailable
from tests.bench.suggestion_folds import Scene
from tests.recounting import live, of_clip

NAME = "suggested_lines"
DESCRIPTION = "lines proposed from the first half of a scene's tracks: how many later ones cross them cleanly"
CLIPS = (
    "overpass-cars.mp4,street-cars.mp4,highway.mp4,"  # vehicles
    "lowres-highway.avi,towncentre-1080p.mp4,shopping-street.mp4"
)
MODEL = "weights/nanodet_320.onnx"
COLUMNS = ("in_force", "tuned", "out_of_fold")
COLOURS = ((0, 0, 255), (0, 200, 0), (0, 220, 255))  # B, G, R: of the best, the second, the third


def run(clips: str = CLIPS, every: bool = False, pictures: str = "") -> dict[str, Any]:
    """`clips` of the corpus (with commas; "" for none) beside its sequences; `every`: all combinations of
    weights, not only those that differ from the ones in force in one (five times as long); `pictures`: a
    folder, "" for none."""
    scenes, unsuitable = _scenes(tuple(clip for clip in clips.split(",") if clip))
    table = {
        weights: {scene.name: folds.judged(scene, weights) for scene in scenes}
        for weights in (folds.grid() if every else folds.neighbours())
    }
    chosen = folds.left_out(table)
    if pictures:
        for scene in scenes:
            _draw(Path(pictures) / f"{scene.name}.png", scene)
    tuned = folds.best(table, [scene.name for scene in scenes])
    values = {
        scene.name: {
            "early": len(scene.early),
            "later": len(scene.later),
            "in_force": table[WEIGHTS][scene.name]._asdict(),
            "tuned": table[tuned][scene.name]._asdict(),
            "out_of_fold": table[chosen[scene.name]][scene.name]._asdict(),
            "middle": folds.through_the_middle(scene),
            "counted": _counted(scene),
        }
        for scene in scenes
    }
    return {
        "values": values,
        "unsuitable": unsuitable,
        "tuned": asdict(tuned),
        "in_force": asdict(WEIGHTS),
        "method": f"sequences: their true tracks; clips: {MODEL}",
    }


def _scenes(clips: tuple[str, ...]) -> tuple[list[Scene], list[str]]:
    root = corpus()
    if root is None:
        raise Unavailable("it needs the corpus (STREAMER_CORPUS)")
    sequences = [s for group in ("MOT15", "MOT17") for s in load(group, root) if not s.moving]
    every = [folds.of_truth(sequence) for sequence in sequences]
    detector = create_detector("auto", root / MODEL) if clips else None
    every += [_of_clip(root / "videos" / clip, detector) for clip in clips if detector is not None]
    return [s for s in every if s.suitable], [s.name for s in every if not s.suitable]


def _of_clip(video: Path, detector: Detector) -> Scene:
    events = live(of_clip(str(video), detector), detector.labels, CameraRules())
    tracks = [
        (e.data["last_media_ns"] / 1e9, path)
        for e in events
        if e.type == TRACK_ENDED and "trace" in e.data and (path := observed_path(decode(e.data["trace"])))
    ]
    return folds.halves(video.name, tracks)


def _counted(scene: Scene) -> dict[str, int] | None:
    lines = folds.proposed(scene, WEIGHTS)
    return folds.counted(scene, lines[0])._asdict() if lines and scene.truth is not None else None


def _draw(target: Path, scene: Scene) -> None:
    size = (1280, 720)
    picture = np.full((size[1], size[0], 3), 40, np.uint8)
    for paths, colour in ((scene.early, (120, 100, 60)), (scene.later, (255, 200, 0))):
        ways = [np.round(path.points_xyn * size).astype(np.int32) for path in paths]
        cv2.polylines(picture, ways, False, colour, 1)
    for line, colour in zip(folds.proposed(scene, WEIGHTS), COLOURS, strict=False):
        begin, end = (tuple(np.round(np.array(point) * size).astype(int).tolist()) for point in line.points)
        cv2.line(picture, begin, end, colour, 3)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), picture)


def render(result: dict[str, Any]) -> str:
    every = result["values"]
    head = f"{'scene':22} early later {''.join(f'{name:>15}' for name in COLUMNS)}"
    return "\n".join(
        [
            "% of the later moving tracks that the first line, and that all of them, serve",
            f"{head}    middle   counted (true, off)",
            *(_row(name, found) for name, found in every.items()),
            _mean(list(every.values())),
            "",
            f"in force: {result['in_force']}",
            f"best on all: {result['tuned']}",
            f"with too few moving tracks: {', '.join(result['unsuitable']) or 'none'}",
            result["method"],
        ]
    )


def _row(name: str, found: dict[str, Any]) -> str:
    shares = "".join(f"{100 * found[c]['first']:8.0f}{100 * found[c]['every']:7.0f}" for c in COLUMNS)
    counted = found["counted"]
    told = f"{counted['ours']:10} ({counted['true']}, {counted['off']})" if counted else ""
    return f"{name:22} {found['early']:5} {found['later']:5} {shares}{100 * found['middle']:10.0f}{told}"


def _mean(every: list[dict[str, Any]]) -> str:
    pairs = [(mean(x[c]["first"] for x in every), mean(x[c]["every"] for x in every)) for c in COLUMNS]
    shares = "".join(f"{100 * first:8.1f}{100 * share:7.1f}" for first, share in pairs)
    told = [x["counted"] for x in every if x["counted"]]
    ours, true, off = (sum(x[key] for x in told) for key in ("ours", "true", "off"))
    middle = 100 * mean(x["middle"] for x in every)
    return f"{'mean, and sum':22} {'':11} {shares}{middle:10.1f}{ours:10} ({true}, {off})"
