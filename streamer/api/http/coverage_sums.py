"""The seconds of each camera by what was seen of them, over all that the ledger keeps: read once, and then
only what has been added.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

from streamer.ledger import LedgerReader

Sums = dict[str, dict[str, float]]


class CoverageSums:
    """For many threads; one ledger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: tuple[Path, int] = (Path(), 0)
        self._closed: Sums = {}
        self._before = 0  # the quarter of an hour up to before which all is in it

    def read(self, reader: LedgerReader, cameras: Collection[str]) -> Sums:
        """By camera and kind (seen, gated, offline, ...), in seconds. Raise StorageError."""
        with self._lock:
            self._begin_anew(reader)
            _, end = reader.quarters() or (0, 0)
            newest = max(self._before, end - 1)
            _add(self._closed, reader.seconds(self._before, newest))
            self._before = newest
            sums = {camera: dict(of) for camera, of in self._closed.items()}
            _add(sums, reader.seconds(newest, end))
        return {camera: of for camera, of in sums.items() if camera in cameras}

    def _begin_anew(self, reader: LedgerReader) -> None:
        """Where the ledger is another file: one that was mended, or brought back."""
        file = (reader.path, reader.path.stat().st_ino)
        if file != self._file:
            self._file, self._closed, self._before = file, {}, 0


def _add(sums: Sums, more: Sums) -> None:
    for camera, seconds in more.items():
        of = sums.setdefault(camera, {})
        for kind, value in seconds.items():
            of[kind] = round(of.get(kind, 0.0) + value, 3)
