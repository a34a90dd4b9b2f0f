"""A camera's state as its inference worker last wrote it, so that a successor goes on from there.

Written to shared memory (it outlives the process, not the machine): before events leave, so that nothing
counted is counted again, and a few times a second besides. Four bytes of CRC-32 stand before the MessagePack,
so that a damaged one is refused whole instead of being believed in part.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec

from streamer.ipc.atomic_write import write_whole

log = logging.getLogger(__name__)

VERSION = 2
_CRC = struct.Struct("<I")  # of all that follows


class Checkpoints:
    """One small file a camera in the daemon's shared folder, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.failed = 0  # writes that found no room: the checkpoint before them stayed
        self._folder = folder
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray(_CRC.size)

    def write(self, camera: str, state: dict[str, Any]) -> None:
        """Raises OSError when shared memory is full; the one before then stays as it was."""
        path = self._path(camera)
        temporary = path.with_name(path.name + ".new")
        self._encoder.encode_into({"version": VERSION, "state": state}, self._buffer, _CRC.size)
        _CRC.pack_into(self._buffer, 0, zlib.crc32(memoryview(self._buffer)[_CRC.size :]))
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                write_whole(fd, self._buffer)
            finally:
                os.close(fd)
            os.replace(temporary, path)
        except OSError:
            self.failed += 1
            temporary.unlink(missing_ok=True)  # what there is of it takes room that others lack
            raise

    def read(self, camera: str) -> dict[str, Any] | None:
        """None when there is none of this version, or it is damaged, which is logged."""
        try:
            raw = self._path(camera).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("camera %s: its checkpoint cannot be read: %s", camera, error.strerror)
            return None
        if len(raw) < _CRC.size or _CRC.unpack_from(raw)[0] != zlib.crc32(memoryview(raw)[_CRC.size :]):
            log.warning("camera %s: its checkpoint is damaged: its tracks begin anew", camera)
            return None
        try:
            saved = msgspec.msgpack.decode(memoryview(raw)[_CRC.size :])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not isinstance(saved, dict) or saved.get("version") != VERSION:
            return None
        state = saved.get("state")
        return state if isinstance(state, dict) else None

    def forget(self, camera: str) -> None:
        """A camera that is gone leaves none."""
        self._path(camera).unlink(missing_ok=True)

    def _path(self, camera: str) -> Path:
        return self._folder / f"checkpoint-{camera}"
