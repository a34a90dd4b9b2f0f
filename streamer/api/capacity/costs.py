"""What a camera of a given kind would take on this box, from what was measured on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.api.capacity.use import CameraUse

MIN_FPS = 0.5  # of a camera whose cost a frame can be told


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """CPU time of a decoded frame, and where it was seen: a camera, or a clip that was made for it."""

    codec: str
    pixels: int
    ms: float
    seen_in: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A camera that may be added: its stream, and how many of its frames are analysed a second."""

    name: str
    codec: str
    width: int
    height: int
    fps: float
    analysed_fps: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """In cores; None for what nothing was measured of. `basis` says in words what it rests on."""

    decode: float | None
    analysis: float | None
    basis: str

    @property
    def cores(self) -> float | None:
        if self.decode is None or self.analysis is None:
            return None
        return self.decode + self.analysis


@dataclass(frozen=True, slots=True)
class Costs:
    """`analysis_ms`: CPU time of an analysed frame (scaling, detector, tracking, counting) with `model`; None
    where no frame was analysed. It holds for any camera: the detector's input has one size."""

    decode: tuple[DecodeCost, ...]
    analysis_ms: float | None
    model: str

    def estimate(self, kind: Kind) -> Estimate:
        analysis = None if self.analysis_ms is None else self.analysis_ms * kind.analysed_fps / 1e3
        nearest = self._nearest(kind)
        if nearest is None:
            return Estimate(None, analysis, "no decoder was measured")
        scale = kind.width * kind.height / nearest.pixels
        basis = nearest.seen_in
        if not 0.9 < scale < 1.1:
            basis += f", by its pixels ({scale:.2g} times)"
        if nearest.codec != kind.codec:
            basis += f", which is {nearest.codec}"
        return Estimate(nearest.ms * scale * kind.fps / 1e3, analysis, basis)

    def _nearest(self, kind: Kind) -> DecodeCost | None:
        """Of the same codec where there is one, and of the nearest size."""
        pixels = kind.width * kind.height

        def distance(each: DecodeCost) -> tuple[bool, float]:
            return each.codec != kind.codec, abs(math.log(each.pixels / pixels))

        return min(self.decode, key=distance, default=None)

    def over(self, other: Costs) -> Costs:
        """These, and of `other` what these do not know."""
        known = {(each.codec, each.pixels) for each in self.decode}
        more = tuple(each for each in other.decode if (each.codec, each.pixels) not in known)
        if self.analysis_ms is None:
            return Costs((*self.decode, *more), other.analysis_ms, other.model)
        return Costs((*self.decode, *more), self.analysis_ms, self.model)


def seen_costs(uses: Sequence[CameraUse]) -> Costs:
    """From the cameras that run. A camera that rests decodes less than it sends: it tells nothing of that."""
    decode = tuple(
        DecodeCost(use.codec, use.width * use.height, use.decode / use.fps * 1e3, f"camera {use.name}")
        for use in uses
        if use.fps >= MIN_FPS and use.decode > 0 and use.width and not use.resting
    )
    frames: dict[str, float] = {}
    for use in uses:
        frames[use.model] = frames.get(use.model, 0.0) + use.analysed_fps
    model = max(frames, key=lambda each: frames[each], default="")
    if frames.get(model, 0.0) < MIN_FPS:
        return Costs(decode, None, model)
    spent = sum(use.inference + use.rest for use in uses if use.model == model)
    return Costs(decode, spent / frames[model] * 1e3, model)
