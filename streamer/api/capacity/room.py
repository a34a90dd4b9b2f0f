"""The room that a running daemon has for one more camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from streamer.api.capacity.box import SAMPLE_S, BoxUse, measure_box
from streamer.api.capacity.costs import seen_costs
from streamer.api.capacity.use import LEAST_FPS, CameraUse, camera_uses, pids
from streamer.config.schema import Config
from streamer.sources.room import Room


def needed(box: BoxUse, uses: Sequence[CameraUse], analysed_fps: float = LEAST_FPS) -> float:
    """The cores that are taken for good: by other programs, by the daemon beside its cameras, and by the
    cameras, of which those without a limit give way down to `analysed_fps`."""
    beside = max(0.0, box.streamer - sum(use.cores for use in uses))
    return box.others + beside + sum(use.needs(analysed_fps) for use in uses)


def room_for(
    status: Mapping[str, Any], config: Config, fps: float | Literal["auto"], sample_s: float = SAMPLE_S
) -> Room:
    """For a camera with this `source.fps`; where that is no number it is to keep LEAST_FPS. Watches the box
    for `sample_s`."""
    analysed_fps = 0.0 if fps == "auto" else fps
    uses = camera_uses(status, config)
    box = measure_box(pids(status), sample_s)
    return Room(box.cores, needed(box, uses), analysed_fps or LEAST_FPS, seen_costs(uses).analysis_ms)
