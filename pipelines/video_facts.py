"""What is known of one video of a file or a camera."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What is known of one video stream; `index` counts all streams, as ffprobe does.

    `still` is empty for a video that moves, else what it is. `codec` is empty where none decodes it.
    """

    index: int
    codec: str
    width: int
    height: int
    fps: float
    default: bool
    still: str

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}" if self.width and self.height else "size unknown"
        rate = f", {self.fps:.4g} fps" if self.fps and not self.still else ""
        marks = [mark for mark in ("default" if self.default else "", self.still) if mark]
        return f"{self.codec or 'codec unknown'} {size}{rate}" + "".join(f", {mark}" for mark in marks)
