"""When a camera's frames come: how old its newest one will be at a given moment."""

from __future__ import annotations

from streamer.ipc.messages import FrameReady

SMOOTHING = 0.2  # of the frame interval


class Rhythm:
    """Learns from the frames that arrive; those in between are counted by their numbers."""

    def __init__(self) -> None:
        self._last: FrameReady | None = None
        self._interval_ns = 0.0

    def note(self, frame: FrameReady) -> None:
        last, self._last = self._last, frame
        if last is None or last.epoch != frame.epoch or frame.frame_id <= last.frame_id:
            return
        interval_ns = (frame.received_mono_ns - last.received_mono_ns) / (frame.frame_id - last.frame_id)
        if interval_ns > 0:
            share = SMOOTHING if self._interval_ns else 1.0
            self._interval_ns += share * (interval_ns - self._interval_ns)

    def is_over(self, frame: FrameReady, at_mono_ns: int) -> bool:
        """Whether there is a newer frame than this one by now."""
        return 0 < self._interval_ns < at_mono_ns - frame.received_mono_ns

    def age(self, at_mono_ns: int) -> float:
        """The newest frame's age at a moment, in frame intervals: 0 just decoded, 1 about to be replaced."""
        if self._last is None or not self._interval_ns:
            return 0.5
        return (at_mono_ns - self._last.received_mono_ns) / self._interval_ns % 1.0
