"""Which frames of a camera are due, where not all are wanted."""

from __future__ import annotations

# Cameras that begin together do not all come due together: their turns are spread by the golden ratio.
GOLDEN_RATIO = 0.618


class Pace:
    """`spread` is any number of the camera's own. The rate may be another at every frame."""

    def __init__(self, spread: int) -> None:
        self._spread = spread * GOLDEN_RATIO % 1.0 or 1.0
        self.restart()

    def restart(self) -> None:
        """The media time begins anew."""
        self._next_ns: int | None = None
        self._step_ns = 0

    def due(self, media_ns: int, fps: float) -> bool:
        """Whether a frame is, where `fps` a second are wanted; 0: every one."""
        if fps <= 0:
            self.restart()
            return True
        step_ns = int(1e9 / fps)
        if self._next_ns is not None and step_ns != self._step_ns:
            self._next_ns += step_ns - self._step_ns  # from the one that was due last
        self._step_ns = step_ns
        if self._next_ns is None or media_ns > self._next_ns + 2 * step_ns:
            self._next_ns = media_ns + int(step_ns * self._spread)
            return True
        if media_ns < self._next_ns - step_ns // 10:
            return False
        self._next_ns += step_ns
        return True
