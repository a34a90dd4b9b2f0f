"""One camera's health, watched where every decoded frame passes: wanted by inference or not, gated or not.

It runs in the camera's own thread, beside the decoder and not beside the tracker: a look a second, of which
most is spent in OpenCV, without the GIL.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.scene.health import Health, HealthMonitor, small_grey
from pipelines.scene.view import View
from streamer.errors import StorageError
from streamer.sources.base import Decoded
from streamer.sources.kept_view import keep_view, kept_view

log = logging.getLogger(__name__)

LOOK_WIDTH = 640  # a picture of this size is averaged to the one that is looked at
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class HealthChange:
    """`since_ns` and `at_ns` are on the wall clock of the box: when it began, and when it was noticed."""

    health: Health
    since_ns: int
    at_ns: int


class CameraWatch:
    """`view_path`: where the reference view is kept, None: nowhere. `realtime`: frames come at their own
    pace, so that the time that passes is the box's; else it is the stream's."""

    def __init__(
        self, camera: str, url: str, ignore: Sequence[str], realtime: bool, view_path: Path | None
    ) -> None:
        self._camera, self._url = camera, url
        self._realtime = realtime
        self._path = view_path
        self._error = ""
        self._kept_at = self._changed_at()
        self._monitor = HealthMonitor(ignore, self._kept())
        self._saved = self._monitor.reference

    def restart(self) -> None:
        """A new epoch begins."""
        self._monitor.restart()

    def frame(self, decoded: Decoded) -> HealthChange | None:
        """Look at a frame, if it is time to; what has changed with it. Raises nothing."""
        media_s = decoded.media_ns / NS_PER_S
        now_s = decoded.received_mono_ns / NS_PER_S if self._realtime else media_s
        if not self._monitor.due(now_s):
            return None
        self._reload()
        try:
            health = self._monitor.look(small_grey(decoded.image(LOOK_WIDTH)), now_s, media_s)
        except Exception as error:  # one camera's odd picture must not end its connection
            text = f"{type(error).__name__}: {error}"
            if text != self._error:  # never once a look
                self._error = text
                log.exception("camera %s: a frame could not be looked at", self._camera)
            return None
        if self._monitor.reference is not self._saved:
            self._save(self._monitor.reference)
        if health is None:
            return None
        since_ns = decoded.captured_ns - int((now_s - health.since_s) * NS_PER_S)
        return HealthChange(health, since_ns, decoded.captured_ns)

    def _reload(self) -> None:
        """Take over a reference that a realignment wrote, or learn one anew where it was removed."""
        if self._changed_at() != self._kept_at:
            self._kept_at = self._changed_at()
            self._saved = self._kept()
            self._monitor.refer_to(self._saved)

    def _changed_at(self) -> int:
        try:
            return self._path.stat().st_mtime_ns if self._path is not None else 0
        except OSError:  # not there, which is all that is asked
            return 0

    def _kept(self) -> View | None:
        if self._path is None:
            return None
        try:
            return kept_view(self._path, self._url)
        except StorageError as error:
            self._say(str(error))
            return None

    def _save(self, view: View | None) -> None:
        self._saved = view
        if self._path is None or view is None:
            return
        try:
            keep_view(self._path, self._url, view)
            self._kept_at = self._changed_at()
        except StorageError as error:
            self._say(f"its view is not kept, so that after a restart nobody knows whether it moved: {error}")

    def _say(self, text: str) -> None:
        """Once, not at every look."""
        if text != self._error:
            self._error = text
            log.warning("camera %s: %s", self._camera, text)
