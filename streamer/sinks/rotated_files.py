"""The older files beside one that is written: PATH.1 is the newest of them, .gz behind what was compressed.

Compressing goes in slices, one a round, so that no round lasts long on a slow box. It begins anew where it
was cut, and the plain file goes when the compressed one is whole on the disk.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from streamer.ipc.atomic_write import sync_folder

SLICE_BYTES = 4 << 20
DAY_S = 86_400.0
_LEVEL = 6


class RotatedFiles:
    """At most `files`, none older than `keep_days` (None: of any age). Raises OSError."""

    def __init__(self, path: Path, files: int, *, compress: bool, keep_days: float | None) -> None:
        self._path, self._files, self._compress, self._keep_days = path, files, compress, keep_days
        self._under_way: _Compression | None = None

    def shift(self) -> None:
        """PATH becomes PATH.1, and so on; the oldest goes."""
        self.pause()
        for number in range(self._files, 0, -1):
            for suffix in ("", ".gz"):
                older = self._named(number + 1, suffix)
                newer = self._named(number, suffix)
                if newer.exists():
                    newer.unlink() if number == self._files else os.replace(newer, older)
        os.replace(self._path, self._named(1))

    def tidy(self) -> None:
        """Remove what is too old, and go on with compressing for a moment."""
        if self._keep_days is not None:
            self._remove_older_than(time.time() - self._keep_days * DAY_S)
        if not self._compress:
            return
        if self._under_way is None:
            plain = [self._named(number) for number in range(self._files, 0, -1)]
            self._under_way = next((_Compression(path) for path in plain if path.exists()), None)
        if self._under_way is not None and self._under_way.go_on():
            self._under_way = None

    def pause(self) -> None:
        """What is half compressed is begun anew later."""
        if self._under_way is not None:
            self._under_way.drop()
            self._under_way = None

    def _remove_older_than(self, at_s: float) -> None:
        for path in self._all():
            if path.stat().st_mtime < at_s:
                self.pause()
                path.unlink()

    def _all(self) -> Iterator[Path]:
        named = (self._named(n, suffix) for n in range(1, self._files + 1) for suffix in ("", ".gz"))
        return (path for path in named if path.exists())

    def _named(self, number: int, suffix: str = "") -> Path:
        return Path(f"{self._path}.{number}{suffix}")


class _Compression:
    """Of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = Path(f"{path}.gz.part")
        mode = path.stat().st_mode & 0o777
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        self._target: BinaryIO = os.fdopen(descriptor, "wb")
        self._source = path.open("rb")
        self._packed = gzip.GzipFile(
            filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._target, mtime=0
        )

    def go_on(self) -> bool:
        """One slice; whether that was the last."""
        try:
            if slice_ := self._source.read(SLICE_BYTES):
                self._packed.write(slice_)
                return False
            self._finish()
        except OSError:
            self.drop()
            raise
        return True

    def drop(self) -> None:
        self._source.close()
        self._target.close()
        self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._packed.close()
        self._target.flush()
        os.fsync(self._target.fileno())
        self._target.close()
        self._source.close()
        stat = self._path.stat()
        os.utime(self._part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace(self._part, f"{self._path}.gz")
        sync_folder(self._path.parent)
        self._path.unlink()
