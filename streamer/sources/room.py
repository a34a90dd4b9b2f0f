"""What a box has left for one more camera, as whoever adds it knows."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LOAD = 0.9  # of the cores: beyond it frames wait for their turn, and every peak is dropped


@dataclass(frozen=True, slots=True)
class Room:
    """In cores. `used`: what the cameras that there are cannot do without, and whatever else runs.

    `analysed_fps`: of the camera that is added; `analysis_ms`: CPU time of one of its frames, by what the
    others' cost; None where none was analysed yet.
    """

    cores: float
    used: float
    analysed_fps: float
    analysis_ms: float | None

    @property
    def most(self) -> float:
        """Up to so many cores the box keeps up."""
        return self.cores * MAX_LOAD

    def analysis(self, fps: float) -> float:
        """What looking at the new camera takes, where it sends `fps` frames a second."""
        return (self.analysis_ms or 0.0) * min(self.analysed_fps, fps or self.analysed_fps) / 1e3
