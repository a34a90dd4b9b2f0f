"""A camera's state as its inference worker last wrote it, so that a successor goes on from there.

Written to shared memory (it outlives the process, not the machine): before events leave, so that nothing
counted is counted again, and a few times a second besides.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

VERSION = 1


class Checkpoints:
    """One small file a camera in the daemon's shared folder, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()

    def write(self, camera: str, state: dict[str, Any]) -> None:
        """Raises OSError when shared memory is full."""
        path = self._path(camera)
        fresh = path.with_suffix(".new")
        self._encoder.encode_into({"version": VERSION, "state": state}, self._buffer)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, self._buffer)
        finally:
            os.close(fd)
        os.replace(fresh, path)

    def read(self, camera: str) -> dict[str, Any] | None:
        """None when there is none of this version."""
        try:
            saved = msgspec.msgpack.decode(self._path(camera).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if not isinstance(saved, dict) or saved.get("version") != VERSION:
            return None
        state = saved["state"]
        return state if isinstance(state, dict) else None

    def forget(self, camera: str) -> None:
        self._path(camera).unlink(missing_ok=True)

    def _path(self, camera: str) -> Path:
        return self._folder / f"checkpoint-{camera}"
