"""Events as lines of a file: CloudEvents in JSON, one a line, of all cameras in the order in which they came.

A batch is one write and, but with `fsync: false`, one fsync. A file that has grown to `max_mb`, or was begun
`rotate_h` ago, becomes PATH.1, what was that PATH.2, and so on up to `files` (rotated_files.py). Nothing is
written twice, also after a crash: at the open the file is read, which says of each camera the last event that
is in it, and a last line that a crash cut off is removed. What older files say of cameras that the newest
does not name lies in PATH.positions, written before each rotation; when that was is when the present file
was begun.

Without fsync a loss of power may cost the last seconds of the file. At the open the file says what it has,
and what is missing is sent again as long as the ledger keeps it.

Totals and states are not kept: a line is never changed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from pydantic import Field

from pipelines.rules import AbsolutePath
from streamer.errors import StorageError
from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.atomic_write import sync_folder, write_atomically
from streamer.sinks.base import Behind, EventsOnly, Kind, SinkError, SinkSettings
from streamer.sinks.rotated_files import RotatedFiles

log = logging.getLogger(__name__)

FILE_MODE = 0o640
TIDY_AGAIN_S = 600.0
_LINE_BEGINS = b'{"specversion"'  # as cloudevents.body() writes it
_KINDS: Mapping[int, Kind] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "full"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "readonly"),
}


class JsonlSettings(SinkSettings):
    """At most `max_mb` * (`files` + 1) of disk, and a batch."""

    path: AbsolutePath
    max_mb: int = Field(default=100, ge=1, le=1000)
    files: int = Field(default=9, ge=1, le=999)
    rotate_h: float | None = Field(default=None, ge=0.01, le=8784)
    keep_days: float | None = Field(default=None, gt=0, le=36600)
    compress: bool = False
    fsync: bool = True

    @property
    def own(self) -> str:
        return str(self.path)

    def fault(self) -> str:
        if self.path.is_dir():
            return f"{self.path} is a folder: name a file in it"
        if self.path.exists() and not self.path.is_file():
            return f"{self.path} is no regular file: name one, or one that is not there yet"
        if not self.path.parent.is_dir():
            return f"there is no folder {self.path.parent}: make it first"
        return ""


class _Id(msgspec.Struct):
    """What is read of a line: "NODE/CAMERA/LINEAGE/SEQ"."""

    id: str


class JsonlSink(EventsOnly):
    """The writer of one file. Opens it when it is used."""

    Settings: ClassVar[type[SinkSettings]] = JsonlSettings

    def __init__(self, settings: JsonlSettings, node: str, address: str) -> None:  # noqa: ARG002
        self.max_events: int | None = None
        self._path = settings.path
        self._positions_path = Path(f"{settings.path}.positions")
        self._max_bytes = settings.max_mb << 20
        self._rotate_s = None if settings.rotate_h is None else settings.rotate_h * 3600
        self._fsync = settings.fsync
        self._rotated = RotatedFiles(
            settings.path, settings.files, compress=settings.compress, keep_days=settings.keep_days
        )
        self._older_files, self._tidy_after_s = "ok", 0.0
        self._fd: int | None = None
        self._size = 0
        self._positions: dict[str, EventId] = {}

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        with self._failures():
            self._open()
            return {camera: self._positions.get(camera) for camera in cameras}

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        with self._failures():
            fd = self._open()
            at = self._positions.get(camera)
            if after is not None and (at is None or at < after):
                raise Behind(at)
            if at is not None and at.lineage > events[0].id.lineage:
                raise SinkError(
                    "ahead", f"camera {camera}: {self._path} holds {at}, a later lineage than this ledger's"
                )
            new = [event for event in events if at is None or event.id > at]
            if new:
                self._append(fd, b"".join(event.body.encode() + b"\n" for event in new))
                at = self._positions[camera] = new[-1].id
            if self._size >= self._max_bytes or self._is_old():
                self._rotate()
            return at or events[-1].id

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:  # noqa: ARG002
        """States are not kept; once a second is when older files are looked after."""
        with self._failures():
            if self._fd is not None and self._is_old():
                self._rotate()
        self._tidy()

    def report(self) -> Mapping[str, Any]:
        return {"older_files": self._older_files}

    def forget(self, cameras: Sequence[str]) -> None:
        """Lines go with their file."""

    def close(self) -> None:
        self._rotated.pause()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    # ---- the file

    def _open(self) -> int:
        """The file, read anew if it is not the one that was written: moved away, cut or replaced."""
        if self._fd is not None and self._is_ours(self._fd):
            return self._fd
        self.close()
        self._refuse_what_is_no_file()
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._fd = fd
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SinkError("refused", f"{self._path} is written by another program, or sink") from error
        self._positions = self._read_positions()
        self._size = self._scan(fd)
        if self._rotate_s is not None and not (self._size and self._positions_path.exists()):
            self._write_positions()  # a file that begins now
        sync_folder(self._path.parent)  # so that a new file has its name after a loss of power
        return fd

    def _refuse_what_is_no_file(self) -> None:
        """Reading a pipe waits for ever, and /dev/full never ends."""
        try:
            mode = self._path.stat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISREG(mode):
            raise SinkError(
                "refused", f"{self._path} is no regular file: name one, or one that is not there yet"
            )

    def _is_ours(self, fd: int) -> bool:
        own = os.fstat(fd)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return (own.st_dev, own.st_ino, own.st_size) == (named.st_dev, named.st_ino, self._size)

    def _scan(self, fd: int) -> int:
        """Note each camera's last event, cut a line that has no end; return the file's size."""
        decode = msgspec.json.Decoder(_Id).decode
        end = 0
        with open(self._path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self._cut(fd, end, line)
                    break
                end += len(line)
                try:
                    _, camera, lineage, seq = decode(line).id.rsplit("/", 3)
                    self._positions[camera] = EventId(int(lineage), int(seq))
                except (msgspec.MsgspecError, ValueError) as error:
                    text = f"{self._path} holds what is no event: move it away, or name another path"
                    raise SinkError("refused", text) from error
        return end

    def _cut(self, fd: int, end: int, torn: bytes) -> None:
        """After a loss of power the end of a file may be zeros."""
        if torn.strip(b"\0") and not (torn.startswith(_LINE_BEGINS) or _LINE_BEGINS.startswith(torn)):
            text = f"{self._path} ends in what is no event: move it away, or name another path"
            raise SinkError("refused", text)
        os.ftruncate(fd, end)

    def _append(self, fd: int, lines: bytes) -> None:
        """All of it, or nothing: what a full disk takes of it is cut off again."""
        try:
            if os.write(fd, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._fsync:
                os.fsync(fd)
        except OSError:
            os.ftruncate(fd, self._size)
            raise
        self._size += len(lines)

    def _rotate(self) -> None:
        """The positions first: after a crash in between they and the file say the same."""
        self._write_positions()
        self._rotated.shift()
        self.close()
        self._open()

    def _tidy(self) -> None:
        """Older files hold up no event: what cannot be done with them is said, and tried again later."""
        if time.monotonic() < self._tidy_after_s:
            return
        try:
            self._rotated.tidy()
            self._older_files = "ok"
        except OSError as error:
            self._tidy_after_s = time.monotonic() + TIDY_AGAIN_S
            self._older_files = f"{self._path}.N cannot be compressed or removed: {error.strerror or error}"
            log.warning("%s; tried again in %d s", self._older_files, TIDY_AGAIN_S)

    def _is_old(self) -> bool:
        """Whether there are events in it, and it was begun too long ago."""
        if self._rotate_s is None or not self._size:
            return False
        return time.time() - self._positions_path.stat().st_mtime >= self._rotate_s

    def _write_positions(self) -> None:
        positions = {camera: str(at) for camera, at in self._positions.items()}
        write_atomically(self._positions_path, msgspec.json.encode(positions).decode(), FILE_MODE)

    def _read_positions(self) -> dict[str, EventId]:
        try:
            stored = msgspec.json.decode(self._positions_path.read_bytes(), type=dict[str, str])
            return {camera: EventId.parse(at) for camera, at in stored.items()}
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, ValueError) as error:
            text = f"{self._positions_path} is damaged: remove it, and older events may be written again"
            raise SinkError("refused", text) from error

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """After any the file is opened and read anew."""
        try:
            yield
        except OSError as error:
            self.close()
            kind = _KINDS.get(error.errno or 0, "down")
            raise SinkError(kind, f"{self._path} cannot be written: {error.strerror or error}") from error
        except StorageError as error:
            self.close()
            raise SinkError("down", str(error)) from error
        except SinkError:
            self.close()
            raise
