"""The seconds of each camera by what was seen of them, over all that the ledger keeps: read once, and then
only what has been added.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from streamer.ledger import LedgerReader

MAX_ROWS_A_CALL = 20_000  # of a long history a part at a time: a scrape has seconds


class CoverageSums:
    """For many threads; one ledger. A camera has sums once all of its past is in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: tuple[Path, int] = (Path(), 0)
        self._sums: dict[str, dict[str, float]] = {}
        self._last_ns: dict[str, int] = {}

    def read(self, reader: LedgerReader, cameras: Iterable[str]) -> dict[str, dict[str, float]]:
        """By camera and kind (seen, gated, offline, ...), in seconds. Raise StorageError."""
        with self._lock:
            self._begin_anew(reader)
            left = MAX_ROWS_A_CALL
            found = {}
            for camera in cameras:
                taken = self._take(reader, camera, left)
                left -= taken
                if left <= 0:
                    break
                found[camera] = dict(self._sums[camera])
            return found

    def _begin_anew(self, reader: LedgerReader) -> None:
        """Where the ledger is another file: one that was mended, or brought back."""
        file = (reader.path, reader.path.stat().st_ino)
        if file != self._file:
            self._file, self._sums, self._last_ns = file, {}, {}

    def _take(self, reader: LedgerReader, camera: str, limit: int) -> int:
        """Add what is new, up to `limit` buckets; returns how many they were."""
        sums = self._sums.setdefault(camera, defaultdict(float))
        rows = reader.coverage_after(camera, self._last_ns.get(camera, -1), limit)
        for row in rows:
            for kind, seconds in row.seconds.items():
                sums[kind.removesuffix("_s")] += seconds
            self._last_ns[camera] = row.start_ns
        return len(rows)
