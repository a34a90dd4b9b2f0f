"""Whether files are what they were: their inode, size and time of change, without reading them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Mark = tuple[int, int, int] | None  # inode, size, time of change in ns; None: not there


def mark_of(file: Path) -> Mark:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def marks_of(files: Iterable[Path]) -> tuple[Mark, ...]:
    return tuple(map(mark_of, files))
