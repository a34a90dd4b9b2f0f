"""How many more cameras fit, of which kind, and what would make room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamer.api.capacity.box import BoxUse
from streamer.api.capacity.costs import Costs, Estimate, Kind
from streamer.api.capacity.room import needed
from streamer.api.capacity.use import LEAST_FPS, CameraUse
from streamer.sources.advice import SMALL_BOX_FPS, SMALL_BOX_WIDTH
from streamer.sources.room import MAX_LOAD

STREAMS = (
    ("1080p25 main stream", 1920, 1080, 25.0),
    ("720p15", 1280, 720, 15.0),
    ("640x360 substream", 640, 360, 15.0),
)
KINDS = tuple(
    Kind(name, "h264", width, height, fps, analysed_fps)
    for name, width, height, fps in STREAMS
    for analysed_fps in (LEAST_FPS, 2 * LEAST_FPS)
)
SUBSTREAM_PIXELS = 640 * 360
WORTH_SAYING = 0.1  # of a core: what makes less room is no advice
MUCH = 0.2  # of the cores: what others take of them is said


@dataclass(frozen=True, slots=True)
class Fit:
    """How many more cameras of a kind fit; None where nothing was measured to tell."""

    kind: str
    analysed_fps: float
    cores: float | None
    more: int | None
    basis: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """`needed` are the cores that are taken for good (room.needed), of `usable`, those up to which the box
    keeps up."""

    box: BoxUse
    uses: tuple[CameraUse, ...]
    costs: Costs
    usable: float
    needed: float
    fits: tuple[Fit, ...]
    advice: str

    def as_json(self) -> dict[str, Any]:
        cameras = [asdict(use) | {"cores": round(use.cores, 3)} for use in self.uses]
        return {
            "box": asdict(self.box),
            "usable_cores": round(self.usable, 2),
            "needed_cores": round(self.needed, 2),
            "cameras": cameras,
            "costs": asdict(self.costs),
            "fits": [asdict(fit) for fit in self.fits],
            "advice": self.advice,
        }


def capacity(box: BoxUse, uses: Sequence[CameraUse], costs: Costs) -> Capacity:
    """What fits into the box beside the cameras that run."""
    usable = box.cores * MAX_LOAD
    needs = needed(box, uses)
    known = [use for use in uses if use.is_known]
    fits = [*_like_those_there_are(box, known, needs), *(_fit(box, uses, costs, kind) for kind in KINDS)]
    advice = _advice(known)
    if box.others > MUCH * box.cores:
        advice += (
            f"; other programs take {box.others:.1f} of the {box.cores:g} cores: can they run elsewhere?"
        )
    return Capacity(box, tuple(uses), costs, usable, needs, tuple(fits), advice)


def _like_those_there_are(box: BoxUse, uses: Sequence[CameraUse], needs: float) -> Iterator[Fit]:
    if not uses:
        return
    mean = sum(use.needs() for use in uses) / len(uses)
    analysed = sum(min(use.analysed_fps, LEAST_FPS) if use.unlimited else use.analysed_fps for use in uses)
    basis = f"the mean of {len(uses)}" if len(uses) > 1 else f"camera {uses[0].name}"
    more = _more(box.cores * MAX_LOAD - needs, mean)
    yield Fit("like those there are", round(analysed / len(uses), 1), round(mean, 3), more, basis)


def _fit(box: BoxUse, uses: Sequence[CameraUse], costs: Costs, kind: Kind) -> Fit:
    """The cameras without a limit give way down to what the new one is looked at."""
    estimate = costs.estimate(kind)
    if estimate.cores is None:
        return Fit(kind.name, kind.analysed_fps, None, None, _unknown(estimate))
    free = box.cores * MAX_LOAD - needed(box, uses, kind.analysed_fps)
    more = _more(free, estimate.cores)
    return Fit(kind.name, kind.analysed_fps, round(estimate.cores, 3), more, estimate.basis)


def _unknown(estimate: Estimate) -> str:
    return estimate.basis if estimate.decode is None else "no frame was analysed yet"


def _more(free: float, cores: float) -> int:
    return max(0, math.floor(free / max(cores, 1e-3)))


# ---- one line of advice: what makes the most room


def _advice(uses: Sequence[CameraUse]) -> str:
    if not uses:
        return (
            "take a camera's substream (about 640x360 at 10 to 15), set source.fps to what counting needs "
            "(5 to 10), and source.gate: auto where often nothing moves"
        )
    saved, text = max(_ways(uses), default=(0.0, ""))
    if saved >= WORTH_SAYING:
        return f"{text}: that makes room for {saved:.1f} cores"
    awake = [use for use in uses if not use.gate]
    if awake:  # what that saves is for the scene to say
        return f"set source.gate: auto for {_names(awake)}, where nothing moves for long"
    return (
        "the cameras are set as cheaply as their streams allow: a smaller or int8 model is what is left "
        "(`streamer model bench NAME` tells what each takes, without NAME what the one in the package does), "
        "or fewer cameras"
    )


def _ways(uses: Sequence[CameraUse]) -> Iterator[tuple[float, str]]:
    """(cores that it saves, what to do)."""
    if main := [use for use in uses if use.width > SMALL_BOX_WIDTH or use.fps > SMALL_BOX_FPS]:
        saved = sum(use.decode * (1 - _substream_share(use)) for use in main)
        yield saved, f"use the substream, about 640x360 at 10 to 15, of {_names(main)}"
    most = 2 * LEAST_FPS
    if often := [use for use in uses if not use.unlimited and use.analysed_fps > most]:
        saved = sum((use.inference + use.rest) * (1 - most / use.analysed_fps) for use in often)
        yield saved, f"set source.fps to {most:g} or less for {_names(often)}"


def _substream_share(use: CameraUse) -> float:
    """What is left of its decoding."""
    pixels = min(1.0, SUBSTREAM_PIXELS / max(1, use.width * use.height))
    return pixels * min(1.0, SMALL_BOX_FPS / max(use.fps, 1.0))


def _names(uses: Sequence[CameraUse]) -> str:
    names = [use.name for use in uses[:3]]
    rest = len(uses) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")
