"""From presentation timestamps, good or bad, to media time that rises within an epoch."""

from __future__ import annotations

STEP_NS = 1_000  # 1 µs: how far media time moves for a frame whose timestamp does not rise
STANDING_FRAMES = 3  # so many in a row that do not rise, and the timestamps are no longer believed
SMALL_STEP_BACK_NS = 1_000_000_000  # 1 s: frames out of order; further back is a reset
MAX_GAP_NS = 60_000_000_000  # 60 s: a longer step forward in a file is a broken timestamp, not a pause
MAX_LEAD_NS = 5_000_000_000  # 5 s: no camera is further ahead of the time that passed
FALLBACK_INTERVAL_NS = 40_000_000  # 25 frames a second


class MediaClock:
    """Media time of one epoch: starts at 0, rises strictly, follows the timestamps while they make sense.

    A missing timestamp moves it by one interval (a file) or by the time since the last frame arrived (a
    camera); so does a reset, a jump too far forward, or a timestamp that stands. Frames slightly out of
    order move it by a microsecond.
    """

    def __init__(self, interval_ns: int, *, live: bool) -> None:
        self._interval_ns = interval_ns if interval_ns >= STEP_NS else FALLBACK_INTERVAL_NS
        self._live = live
        self._media_ns = -1
        self._offset_ns: int | None = None  # media time = timestamp + offset
        self._arrived_ns = 0
        self._standing = 0
        self.resets = 0

    def next(self, pts_ns: int | None, arrived_mono_ns: int) -> tuple[int, bool]:
        """(media time of this frame, whether its timestamp was used)."""
        step = self._interval_ns
        if self._live and self._media_ns >= 0:
            step = max(STEP_NS, arrived_mono_ns - self._arrived_ns)
        self._arrived_ns = arrived_mono_ns
        if self._media_ns < 0:
            return self._first(pts_ns)
        used = False
        if pts_ns is None:
            self._media_ns += step
        elif self._offset_ns is None:  # RTSP gives its first picture no timestamp
            self._rebase(pts_ns, max(step, self._interval_ns))
        else:
            used = self._follow(pts_ns, step)
        return self._media_ns, used

    def passed_ns(self, arrived_mono_ns: int) -> int:
        """Media time of what came then and goes no further: what has passed since the last frame is added."""
        return max(self._media_ns, 0) + max(0, arrived_mono_ns - self._arrived_ns)

    def _first(self, pts_ns: int | None) -> tuple[int, bool]:
        self._media_ns = 0
        self._offset_ns = None if pts_ns is None else -pts_ns
        return 0, pts_ns is not None

    def _rebase(self, pts_ns: int, step: int) -> None:
        self._media_ns += step
        self._offset_ns = self._media_ns - pts_ns

    def _follow(self, pts_ns: int, step: int) -> bool:
        assert self._offset_ns is not None
        delta = pts_ns + self._offset_ns - self._media_ns
        if STEP_NS <= delta <= (step + MAX_LEAD_NS if self._live else MAX_GAP_NS):
            self._media_ns += delta
            self._standing = 0
            return True
        self._standing += 1
        if -SMALL_STEP_BACK_NS < delta < STEP_NS and self._standing < STANDING_FRAMES:
            self._media_ns += STEP_NS
            return False
        self.resets += 1
        self._rebase(pts_ns, step)
        return False
