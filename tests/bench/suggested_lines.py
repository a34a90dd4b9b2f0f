"""Lines that are proposed for real clips: how much of what moves crosses them, and what they would count.

Whether a person would draw them there, only a look tells: `-o pictures=FOLDER` draws them with the tracks.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count.line_suggestion import ObservedPath, SuggestedLine, observed_path, suggest_lines
from pipelines.count.replay import recount
from pipelines.count.trajectory_codec import Trajectory, decode
from pipelines.events import TRACK_ENDED
from pipelines.registry import create_detector
from pipelines.rules import LineSpec
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.recounting import live, of_clip

NAME = "suggested_lines"
DESCRIPTION = "lines proposed for the corpus's clips, and how many of the tracks cross them cleanly"
CLIPS = ("pets09-s2l1.avi", "overpass-cars.mp4", "shopping-street.mp4", "highway.mp4")
MODEL = "weights/nanodet_320.onnx"
COLOURS = ((0, 0, 255), (0, 200, 0), (0, 220, 255))  # B, G, R: of the best, the second, the third


def run(clips: tuple[str, ...] = CLIPS, pictures: str = "") -> dict[str, Any]:
    """`clips` are some of the corpus; `pictures` is a folder for one picture each, "" for none."""
    if not (CORPUS / "videos").is_dir():
        raise Unavailable(f"it needs the corpus at {CORPUS}")
    detector = create_detector("auto", CORPUS / MODEL)
    found = {}
    for clip in clips:
        video = CORPUS / "videos" / clip
        events = live(of_clip(str(video), detector), detector.labels, CameraRules())
        tracks = [decode(e.data["trace"]) for e in events if e.type == TRACK_ENDED and "trace" in e.data]
        paths = [path for track in tracks if (path := observed_path(track)) is not None]
        began_s = time.perf_counter()
        lines = suggest_lines(paths)
        took_s = time.perf_counter() - began_s
        rows = [_row(line, tracks) for line in lines]
        found[clip] = {
            "tracks": len(tracks),
            "moving": len(paths),
            "seconds": round(took_s, 2),
            "lines": rows,
        }
        if pictures:
            _draw(Path(pictures) / f"{video.stem}.png", video, paths, lines)
    return {"values": found, "method": f"{MODEL}; counted: by the counting rule, in the stored paths"}


def _row(line: SuggestedLine, tracks: list[Trajectory]) -> dict[str, Any]:
    spec = LineSpec(name="proposed", points=line.points)
    counted = sum(len(recount(track, spec)) for track in tracks)
    return {"points": line.points, "clean": line.clean, "unclear": line.unclear, "counted": counted}


def _draw(target: Path, video: Path, paths: list[ObservedPath], lines: list[SuggestedLine]) -> None:
    read, picture = cv2.VideoCapture(str(video)).read()
    assert read, video
    size = np.array(picture.shape[1::-1])
    for path in paths:
        cv2.polylines(picture, [np.round(path.points_xyn * size).astype(np.int32)], False, (255, 200, 0), 1)
    for line, colour in zip(lines, COLOURS, strict=False):
        begin, end = (tuple(np.round(np.array(point) * size).astype(int).tolist()) for point in line.points)
        cv2.line(picture, begin, end, colour, 3)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), picture)


def render(result: dict[str, Any]) -> str:
    rows = [f"{'clip':22} tracks  moving  seconds   line: clean  unclear  counted"]
    for clip, found in result["values"].items():
        head = f"{clip:22} {found['tracks']:6} {found['moving']:7} {found['seconds']:8.2f}"
        lines = [f" {x['clean']:12} {x['unclear']:8} {x['counted']:8}" for x in found["lines"]] or ["  none"]
        rows += [head + lines[0], *(" " * len(head) + line for line in lines[1:])]
    return "\n".join([*rows, "", result["method"]])
