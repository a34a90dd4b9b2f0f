"""Whether files are what they were: their inode, size and time of change, without reading them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Fingerprint = tuple[int, int, int] | None  # inode, size, time of change in ns; None: not there


def fingerprint_of(file: Path) -> Fingerprint:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def fingerprints_of(files: Iterable[Path]) -> tuple[Fingerprint, ...]:
    return tuple(map(fingerprint_of, files))
