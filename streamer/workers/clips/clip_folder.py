"""The folder of the clips, as it is configured now. One that cannot be used is a warning, and tried again."""

from __future__ import annotations

import logging

from streamer.config.schema import Config
from streamer.errors import StorageError
from streamer.workers.clips.library import Library

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 60.0


class ClipFolder:
    """`warning` is one line on why it cannot be used, or "" where it can."""

    def __init__(self) -> None:
        self.warning = ""
        self.library: Library | None = None
        self._config: Config | None = None
        self._expire_s = 0.0

    def configure(self, config: Config) -> None:
        before, self._config = self._config, config
        if before is None or before.clip_folder != config.clip_folder:
            self.library = None
        elif self.library is not None:
            self.library.settings = config.clips
        self._expire_s = 0.0  # the limits may be tighter now
        self._open()

    @property
    def usable(self) -> Library:
        """Raises StorageError."""
        self._open()
        if self.library is None:
            raise StorageError(self.warning or "the clips' folder is not open yet: try again in a moment")
        return self.library

    def tend(self, now_s: float) -> None:
        """Once a second: look whether there is room, and remove what is too old."""
        self._open()
        if self.library is None:
            return
        try:
            if now_s >= self._expire_s:
                self._expire_s = now_s + EXPIRE_EVERY_S
                self.library.expire()
            self.library.check_room()
            self.warn("")
        except StorageError as error:
            self.warn(str(error))

    def _open(self) -> None:
        if self.library is not None or self._config is None:
            return
        try:
            self.library = Library(self._config.clip_folder, self._config.clips)
            self.warn("")
        except StorageError as error:
            self.warn(str(error))

    def warn(self, text: str) -> None:
        if text and text != self.warning:
            log.error("clips: %s", text)
        self.warning = text
