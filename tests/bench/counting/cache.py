"""Results that can be resumed: a JSON file a name under build/bench/counting, written after each value.

What a value depends on is part of its name or of its key: versions of packages, the text of the code, the
boxes of the sequence. Nothing is ever found stale, and what was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.bench.counting.data import Sequence

REPO = Path(__file__).resolve().parents[3]
FOLDER = REPO / "build" / "bench" / "counting"
DIGITS = 12  # of a digest in a name


class Cache:
    """Plain JSON values by key; one process at a time writes a name."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self._path = (folder or FOLDER) / f"{name}.json"
        self._values: dict[str, Any] = {}
        if self._path.exists():
            self._values = json.loads(self._path.read_text(encoding="utf-8"))

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        """The value of a key, computed and kept where it is not known yet."""
        if key not in self._values:
            self._values[key] = compute()
            self._write()
        return self._values[key]

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps(self._values), encoding="utf-8")
        beside.replace(self._path)


def of_sequence(sequence: Sequence, step: int) -> str:
    """The key of each `step`-th frame of a sequence: its name, and a checksum of all its boxes."""
    sums = [zlib.crc32(table.tobytes()) for table in (sequence.truth, sequence.detections)]
    return f"{sequence.name} 1/{step} {sums[0]:08x}{sums[1]:08x}"


def of_packages(names: Iterable[str]) -> str:
    """Versions of packages, for a name: "trackers-2.6.1 norfair-2.1.1"."""
    return " ".join(f"{name}-{importlib.metadata.version(name)}" for name in names)


def of_code(*places: str) -> str:
    """A digest of the code in files and folders of the repository."""
    found = hashlib.sha256()
    for place in places:
        path = REPO / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()[:DIGITS]
