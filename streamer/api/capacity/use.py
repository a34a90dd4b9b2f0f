"""What the cameras of a running daemon take, out of its status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.config.schema import Config
from streamer.sources.urls import lookup_scheme

LEAST_FPS = 5.0  # analysed frames a second that a camera is to keep (docs/operator-guide.md)
WHOLE = ("", "full")  # levels of a camera in which all that it sends is decoded


@dataclass(frozen=True, slots=True)
class CameraUse:
    """A camera that runs: what it sends, and the cores that it takes by part.

    `unlimited`: its `source.fps` is no number: it is looked at as often as its scene needs, or as there is
    time, and gives way to others.
    `gate`: there is nothing to set for it to rest where nothing moves; a synthetic scene never does.
    """

    name: str
    codec: str
    width: int
    height: int
    fps: float
    analysed_fps: float
    decode: float
    inference: float
    rest: float
    unlimited: bool
    gate: bool
    resting: bool
    model: str

    @property
    def is_known(self) -> bool:
        """Whether anything of it was decoded lately: else it tells nothing of what cameras take."""
        return self.fps > 0 or self.resting

    @property
    def cores(self) -> float:
        return self.decode + self.inference + self.rest

    def needs(self, analysed_fps: float = LEAST_FPS) -> float:
        """The cores that it cannot do without: where it has no limit it gives way down to `analysed_fps`."""
        share = 1.0
        if self.unlimited and self.analysed_fps > analysed_fps:
            share = analysed_fps / self.analysed_fps
        return self.decode + (self.inference + self.rest) * share


def camera_uses(status: Mapping[str, Any], config: Config) -> list[CameraUse]:
    """The live cameras of `status`, by what `config` says of them."""
    rows = [row for row in status.get("cameras", ()) if row.get("state") == "live" and row.get("cores")]
    return [_use(row, config) for row in rows]


def _use(row: Mapping[str, Any], config: Config) -> CameraUse:
    camera = config.camera(row["name"])
    source = camera.source if camera is not None else None
    return CameraUse(
        row["name"],
        row["codec"],
        row["width"],
        row["height"],
        row["fps_decoded"],
        row["fps_inferred"],
        **{part: float(row["cores"][part]) for part in ("decode", "inference", "rest")},
        unlimited=source is not None and source.fps in (0.0, "auto"),
        gate=camera is not None and (camera.source.gate != "off" or lookup_scheme(camera.url).generated),
        resting=row["level"] not in WHOLE,
        model=str((row["detector"] or {}).get("name", "")),
    )


def pids(status: Mapping[str, Any]) -> set[int]:
    """The daemon's processes."""
    workers: Iterable[Mapping[str, Any]] = status.get("workers", ())
    return {int(pid) for pid in (status.get("pid"), *(w.get("pid") for w in workers)) if pid}
