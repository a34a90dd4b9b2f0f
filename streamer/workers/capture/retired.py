"""Threads of cameras that were changed or removed, until they have ended.

Nobody waits for them: one that hangs in a read would hold up the other cameras of its process. A process
in which several never end is to be replaced, since each keeps its memory and its connection.
"""

from __future__ import annotations

import logging

from streamer.errors import CapacityError
from streamer.workers.capture.camera_thread import CameraReader

log = logging.getLogger(__name__)

OVERDUE_S = 30.0  # beyond the deadlines of the camera's own open and read
MOST_OVERDUE = 4


class Retired:
    """Times are monotonic seconds, given by the caller."""

    def __init__(self) -> None:
        self._since_s: dict[CameraReader, float] = {}
        self._overdue: set[CameraReader] = set()

    def add(self, reader: CameraReader, now_s: float) -> None:
        """Ask it to end; it does nothing for its camera any more."""
        reader.retire()
        if reader.is_alive():
            self._since_s[reader] = now_s

    def last_of(self, camera: str) -> CameraReader | None:
        """The one of `camera` that was retired last and has not ended: it may still be connected."""
        return next((r for r in reversed(self._since_s) if r.camera.name == camera and r.is_alive()), None)

    @property
    def overdue(self) -> list[str]:
        """The cameras whose threads should have ended long ago."""
        return sorted(reader.camera.name for reader in self._overdue)

    @property
    def readers(self) -> list[CameraReader]:
        return list(self._since_s)

    def reap(self, now_s: float) -> None:
        """Forget those that have ended. Raises CapacityError when too many never do."""
        for reader, since_s in list(self._since_s.items()):
            camera = reader.camera
            if not reader.is_alive():
                del self._since_s[reader]
                self._overdue.discard(reader)
            elif (
                reader not in self._overdue
                and now_s - since_s > camera.open_timeout_s + camera.read_timeout_s + OVERDUE_S
            ):
                self._overdue.add(reader)
                log.error("camera %s: its thread was told to stop and does not end", camera.name)
        if len(self._overdue) >= MOST_OVERDUE:
            raise CapacityError(
                f"{len(self._overdue)} threads of cameras that were changed or removed do not end "
                f"({', '.join(self.overdue)}): this process is replaced"
            )
