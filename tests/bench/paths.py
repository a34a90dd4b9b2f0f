"""What the stored paths of tracks cost, and whether lines counted again from them are those counted live.

The corpus's clips go through a detector, tracker and five lines; the bytes are those that the ledger keeps.
What a day of 40 cameras costs follows from them and from how many tracks a camera has at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.registry import create_detector
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.recounting import Comparison, compare, of_clip

NAME = "paths"
DESCRIPTION = (
    "bytes that a track's stored path takes a second, a day of 40 cameras, and recounting against live"
)
CLIPS = {
    "pets09-s2l1.avi": ("person",),
    "one-by-one-person.mp4": ("person",),
    "overpass-cars.mp4": ("vehicle",),
    "street-cars.mp4": ("vehicle",),
}
MODEL = "weights/yolov8n_640.onnx"
CAMERAS = 40
DAY_S = 86_400
BUSY = {"a quiet door": 0.1, "a street": 1.0, "a busy square": 5.0}  # tracks at a time, over the whole day
ROW_BYTES = 160  # of two rows and their indexes beside the event and the path themselves


def run(model: str | None = None, clips: tuple[str, ...] = tuple(CLIPS)) -> dict[str, Any]:
    """`model` is a file (yolov8n of the corpus unless given); `clips` are some of CLIPS."""
    path = Path(model) if model else CORPUS / MODEL
    if not path.exists() or not (CORPUS / "videos").is_dir():
        raise Unavailable(f"it needs the corpus at {CORPUS}")
    detector = create_detector("auto", path)
    found = []
    for clip in clips:
        detections = of_clip(str(CORPUS / "videos" / clip), detector)
        found.append(compare(clip, detections, detector.labels, classes=CLIPS[clip]))
    track_s = sum(c.track_s for c in found)
    path_bytes = sum(c.path_bytes for c in found) / track_s
    per_track = (sum(c.event_bytes for c in found) / sum(c.tracks for c in found)) + ROW_BYTES
    mean_s = track_s / sum(c.tracks for c in found)
    return {
        "values": {
            "clips": {c.name: _clip(c) for c in found},
            "path_bytes_per_track_second": round(path_bytes, 1),
            "mean_track_s": round(mean_s, 1),
            "other_bytes_per_track": round(per_track),
            "differences": [line for c in found for line in c.differences()],
            "day_mb": {name: _day(busy, path_bytes, per_track, mean_s) for name, busy in BUSY.items()},
        },
        "method": f"{path.name}; paths as in the ledger (deflated); {CAMERAS} cameras, {DAY_S} s a day",
    }


def _clip(result: Comparison) -> dict[str, Any]:
    return {
        "tracks": result.tracks,
        "track_s": round(result.track_s, 1),
        "bytes_per_track_second": round(result.path_bytes / result.track_s, 1),
        "crossings": result.live,
        "only_live": len(result.missing),
        "only_recounted": len(result.extra),
    }


def _day(busy: float, path_bytes: float, per_track: float, mean_s: float) -> dict[str, float]:
    """Megabytes of 40 cameras with so many tracks at a time, round the clock."""
    track_s = CAMERAS * DAY_S * busy
    return {
        "paths": round(track_s * path_bytes / 1e6),
        "events": round(track_s / mean_s * per_track / 1e6),
    }


def render(result: dict[str, Any]) -> str:
    values = result["values"]
    lines = [f"{'clip':24}  tracks  track-s  bytes/s  crossings  only live  only recounted"]
    for name, clip in values["clips"].items():
        lines.append(
            f"{name:24}  {clip['tracks']:6}  {clip['track_s']:7.0f}  {clip['bytes_per_track_second']:7.1f}"
            f"  {clip['crossings']:9}  {clip['only_live']:9}  {clip['only_recounted']:14}"
        )
    lines.append(
        f"{values['path_bytes_per_track_second']} bytes a track-second of {values['mean_track_s']} s each;"
        f" {values['other_bytes_per_track']} bytes a track for its event and rows"
    )
    lines.append(f"\n{CAMERAS} cameras, tracks at a time each   paths   events   (MB a day)")
    for name, busy in BUSY.items():
        day = values["day_mb"][name]
        lines.append(f"{name:24} {busy:8.1f}     {day['paths']:7.0f}  {day['events']:7.0f}")
    return "\n".join([*lines, "", *values["differences"], result["method"]])
