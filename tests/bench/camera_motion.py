"""What camera-motion compensation costs and brings.

Cost: CPU time a frame on real clips of cameras that stand still and of one that drifts, and how often the
view was found moving. Gain: PETS09-S2L1 seen through a window that sways over its real pictures, its true
tracks and stored detections carried along, tracked with the pictures and without them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from pipelines.evaluate.tracking import FrameBoxes, tracking_score
from pipelines.track import create_tracker
from pipelines.track.global_motion import CameraMotion, small_grey
from pipelines.values import Detections, Image, Labels, Stamp
from tests.bench.counting.data import Sequence, corpus, load
from tests.bench.registry import Unavailable

NAME = "camera_motion"
DESCRIPTION = "Camera-motion compensation: CPU time a frame, false alarms, and tracks with and without it"

STILL = ("overpass-cars.mp4", "street-cars.mp4", "one-by-one-person.mp4", "pets09-s2l1.avi")
DRIFTING = ("drifting-camera.mp4",)
FRAMES = 200
ANALYSIS_WIDTH = 640
WINDOW = (320, 240)  # of 480 x 360
SWAY = 70.0  # pixels to each side, 22 % of the window
PERIODS_S = (6.0, 3.0, 1.5)
FPS = 10.0  # of the video; the annotation names another rate
LABELS = Labels(("person",), ("person",))


def run() -> dict[str, Any]:
    """All figures. Raises Unavailable without the corpus or `trackeval`."""
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    try:
        import trackeval  # noqa: F401
    except ImportError as error:
        raise Unavailable("trackeval is not installed: pip install '.[evaluate]'") from error
    cv2.setNumThreads(1)
    videos = root / "videos"
    pets = next(s for s in load("MOT15", root) if s.name == "PETS09-S2L1")
    pictures = list(_pictures(videos / "pets09-s2l1.avi", 480, pets.last_frame))
    return {
        "cost": {name: _cost(videos / name) for name in (*STILL, *DRIFTING)},
        "sway": {
            f"{period_s:g}": {
                "with": _swaying(pets, pictures, period_s, True),
                "without": _swaying(pets, pictures, period_s, False),
            }
            for period_s in PERIODS_S
        },
        "still": {
            "with": _swaying(pets, pictures, 0.0, True),
            "without": _swaying(pets, pictures, 0.0, False),
        },
    }


def render(result: dict[str, Any]) -> str:
    lines = ["CPU us a frame: small grey copy, question and answer; frames found moving; how far in all"]
    for name, row in result["cost"].items():
        lines.append(
            f"  {name:<24} {row['grey_us']:>4.0f} {row['follow_us']:>5.0f}   "
            f"{row['moving']:>3} of {row['frames']}   {100 * row['travelled']:.1f} % of the picture"
        )
    lines.append(f"PETS09-S2L1 through a window that sways {SWAY:.0f} of {WINDOW[0]} pixels to each side")
    rows = {"stands still": result["still"]}
    rows |= {f"period {period} s": row for period, row in result["sway"].items()}
    for name, row in rows.items():
        for way in ("without", "with"):
            s = row[way]
            lines.append(
                f"  {name:<14} {way:<8} HOTA {s['hota']:.1f} IDF1 {s['idf1']:.1f} id switches {s['switches']}"
            )
    return "\n".join(lines)


def _pictures(path: Path, width: int, n: int) -> Iterator[Image]:
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == n:
                return
            whole = frame.to_ndarray(format="bgr24")
            size = (width, round(width * frame.height / frame.width))
            yield cv2.resize(whole, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _cost(path: Path) -> dict[str, Any]:
    motion = CameraMotion()
    nobody = np.zeros((0, 4), np.float32)
    grey_s = follow_s = 0.0
    for picture in _pictures(path, ANALYSIS_WIDTH, FRAMES):
        start = time.process_time()
        grey = small_grey(picture)
        middle = time.process_time()
        motion.follow(grey, nobody)
        follow_s += time.process_time() - middle
        grey_s += middle - start
    n = motion.frames + 1
    return {
        "grey_us": 1e6 * grey_s / n,
        "follow_us": 1e6 * follow_s / n,
        "moving": motion.moving_frames,
        "frames": motion.frames,
        "travelled": motion.travelled,
    }


def _swaying(
    sequence: Sequence, pictures: list[Image], period_s: float, with_pictures: bool
) -> dict[str, Any]:
    """Track what a window over the pictures sees; its corner sways along a lying eight."""
    tracker = create_tracker()
    found: list[FrameBoxes] = []
    size = np.array([*WINDOW, *WINDOW], np.float64)
    for frame, rows in sequence.frames():
        index = frame - sequence.first_frame
        if index >= len(pictures):
            break
        x, y = _corner(index / FPS, period_s)
        low, high = np.searchsorted(sequence.truth[:, 0], (frame, frame + 1))
        true, true_ids = _inside(
            sequence.truth[low:high, 2:6] * 0.625, sequence.truth[low:high, 1], x, y, least=0.5
        )
        boxes, scores = _inside(rows[:, :4] * 0.625, rows[:, 4], x, y, least=0.2)
        ns = round(index / FPS * 1e9)
        window = pictures[index][y : y + WINDOW[1], x : x + WINDOW[0]]
        tracks = tracker.update(
            Stamp("sway", 1, index, ns, ns, 0),
            Detections(
                (boxes / size).astype(np.float32),
                np.clip(scores, 0, 1).astype(np.float32),
                np.zeros(len(boxes), np.int32),
            ),
            LABELS,
            small_grey(window) if with_pictures else None,
        )
        found.append(FrameBoxes(true_ids.astype(np.int64), true, tracks.track_ids, tracks.boxes_xyxyn * size))
    score = tracking_score([found])
    return {"hota": score.hota, "idf1": score.idf1, "switches": score.id_switches}


def _corner(time_s: float, period_s: float) -> tuple[int, int]:
    if not period_s:
        return 80, 60
    phase = 2 * np.pi * time_s / period_s
    return round(80 + SWAY * np.sin(phase)), round(60 + 0.5 * SWAY * np.sin(2 * phase))


def _inside(
    boxes: npt.NDArray[np.float64], values: npt.NDArray[np.float64], x: int, y: int, least: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Boxes as the window sees them, cut at its edge, where at least a share of them is in it."""
    moved = boxes - (x, y, x, y)
    cut = np.clip(moved, 0, (*WINDOW, *WINDOW))
    area, left = (np.maximum(b[:, 2:] - b[:, :2], 0).prod(axis=1) for b in (moved, cut))
    keep = left > least * np.maximum(area, 1e-9)
    return cut[keep], values[keep]
