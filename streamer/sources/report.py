"""What a probe of a source found, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer.sources.base import SourceInfo


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: "reach", "open" or "watch"."""

    name: str
    ok: bool
    detail: str
    took_s: float


@dataclass(slots=True)
class ProbeReport:
    """What was found. `problem` is empty where everything worked; `advice` is worth reading either way.

    `keyframe_gap_s` is the longest gap between two key frames, and only a lower bound where
    `keyframe_gap_open` is true, since the second was not waited for. `decode_cpu_ms` is the CPU time of
    reading and decoding one picture on this box.
    """

    url: str  # without credentials
    state: str = "unreachable"  # the camera state it leads to; "live" where everything worked
    problem: str = ""
    steps: list[Step] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    info: SourceInfo | None = None
    fps_measured: float = 0.0
    keyframe_gap_s: float = 0.0
    keyframe_gap_open: bool = True
    bitrate_kbps: float = 0.0
    decode_cpu_ms: float = 0.0
    frames: int = 0

    @property
    def ok(self) -> bool:
        return not self.problem
