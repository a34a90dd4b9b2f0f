"""What a camera's gates learn, from one opening of it to the next and over restarts of its process."""

from __future__ import annotations

import logging
from pathlib import Path

from streamer.errors import StorageError
from streamer.sources.base import SourceInfo
from streamer.sources.gate import Gate
from streamer.sources.kept_evidence import Evidence, keep_evidence, kept_evidence

log = logging.getLogger(__name__)


class GateMemory:
    """Of one camera; `path`: where it is kept, None: nowhere. Raises nothing: what cannot be kept is learnt
    anew, which the log says once."""

    def __init__(self, camera: str, url: str, path: Path | None) -> None:
        self._camera, self._url, self._path = camera, url, path
        self._stream = self._error = ""
        self._evidence = Evidence()

    def gate(self, info: SourceInfo) -> Gate:
        """A gate for an opening; it knows what was learnt of this camera while it encoded likewise."""
        stream = f"{info.codec} {info.width}x{info.height} {info.fps or 0:.3g}"
        if stream != self._stream:
            self._stream, self._evidence = stream, self._kept(stream)
        return Gate(self._evidence)

    def note(self, gate: Gate) -> None:
        """Keep what it has learnt, if that is new."""
        if gate.evidence == self._evidence:
            return
        self._evidence = gate.evidence
        if self._path is None:
            return
        try:
            keep_evidence(self._path, self._url, self._stream, self._evidence)
        except StorageError as error:
            self._say(f"after a restart it learns anew when it may rest: {error}")

    def _kept(self, stream: str) -> Evidence:
        if self._path is None:
            return Evidence()
        try:
            return kept_evidence(self._path, self._url, stream)
        except StorageError as error:
            self._say(str(error))
            return Evidence()

    def _say(self, text: str) -> None:
        if text != self._error:
            self._error = text
            log.warning("camera %s: %s", self._camera, text)
