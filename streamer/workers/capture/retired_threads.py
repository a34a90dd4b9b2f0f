"""Threads of cameras that were changed or removed, which end when they can."""

from __future__ import annotations

import logging

from streamer.errors import CapacityError
from streamer.workers.capture.camera_thread import CameraThread

log = logging.getLogger(__name__)

OVERDUE_S = 30.0  # beyond the deadlines of the camera's own open and read
MAX_OVERDUE = 4  # threads that do not end; with so many the process is replaced


class RetiredThreads:
    """Threads of cameras that were changed or removed, until they have ended.

    Nobody waits for them: one that hangs in a read would hold up the other cameras of its process. A process
    in which several never end is to be replaced, since each keeps its memory and its connection. Times are
    monotonic seconds, given by the caller.
    """

    def __init__(self) -> None:
        self._since_s: dict[CameraThread, float] = {}
        self._overdue: set[CameraThread] = set()

    def add(self, thread: CameraThread, now_s: float) -> None:
        """Ask it to end; it does nothing for its camera any more."""
        thread.retire()
        if thread.is_alive():
            self._since_s[thread] = now_s

    def last_of(self, camera: str) -> CameraThread | None:
        """The one of `camera` that was retired last and has not ended: it may still be connected."""
        return next((t for t in reversed(self._since_s) if t.camera.name == camera and t.is_alive()), None)

    @property
    def overdue(self) -> list[str]:
        """The cameras whose threads should have ended long ago."""
        return sorted(thread.camera.name for thread in self._overdue)

    @property
    def threads(self) -> list[CameraThread]:
        return list(self._since_s)

    def reap(self, now_s: float) -> None:
        """Forget those that have ended. Raises CapacityError when too many never do."""
        for thread, since_s in list(self._since_s.items()):
            camera = thread.camera
            if not thread.is_alive():
                del self._since_s[thread]
                self._overdue.discard(thread)
            elif (
                thread not in self._overdue
                and now_s - since_s > camera.open_timeout_s + camera.read_timeout_s + OVERDUE_S
            ):
                self._overdue.add(thread)
                log.error("camera %s: its thread was told to stop and does not end", camera.name)
        if len(self._overdue) >= MAX_OVERDUE:
            raise CapacityError(
                f"{len(self._overdue)} threads of cameras that were changed or removed do not end "
                f"({', '.join(self.overdue)}): this process is replaced"
            )
