"""The window of batches that the delivery worker has not acknowledged yet, safe against kill -9.

The batches lie in memory and in a spool file in the runtime folder. A write that has returned is in the
kernel's page cache, which outlives the process, so a replacement reads what its predecessor had handed
over. A power loss empties the runtime folder, which is why the ledger and not this file is the record.

The file, in numbered clauses:

1. Header of 20 bytes: magic, the number that the next batch gets, CRC-32 of these two.
2. Records follow: payload length (u32), CRC-32 of the payload (u32), payload (an encoded Batch). All
   integers are little-endian.
3. A record counts if it is whole and its CRC is right. The first that is not ends the file (a torn tail).
4. An acknowledged record may still lie in the file: a repeat is harmless, since the ledger takes each
   sequence number once. When all are acknowledged the header is written first, then the file is cut.
5. Numbers rise over restarts, so that an acknowledgement meant for a predecessor covers only its batches.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamer.errors import StorageError
from streamer.ipc.atomic_write import write_whole
from streamer.ipc.messages import Batch, MessageError, decode, encode

MAGIC = b"strmobx1"
_HEADER = struct.Struct("<8sQI")  # magic, next number, CRC-32 of both
_RECORD = struct.Struct("<II")  # payload length, CRC-32 of the payload
_COMPACT_BYTES = 1 << 20  # rewrite the file once this much of it is acknowledged


class _Pending(NamedTuple):
    batch: Batch
    size: int  # bytes in the file


class Outbox:
    """A bounded, ordered window of unacknowledged batches, used by one thread of one process."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or make the spool at `path`; raise StorageError if that cannot be done."""
        self._path = path
        self._max_bytes = max_bytes
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._file_bytes = 0
        self._next = 1
        self._last_seqs: dict[str, int] = {}
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._load()
        except OSError as error:
            raise StorageError(f"cannot use {path}: {error.strerror}; check its folder and space") from error

    @property
    def next_number(self) -> int:
        """The number that the next batch must carry."""
        return self._next

    @property
    def oldest(self) -> int:
        """The lowest number that is not acknowledged; `next_number` if there is none."""
        return self._pending[0].batch.number if self._pending else self._next

    def __len__(self) -> int:
        return len(self._pending)

    def append(self, batch: Batch) -> bool:
        """Keep `batch` until it is acknowledged. False: there is no room for it.

        Raise ValueError unless it carries `next_number`. When it returns True a kill loses it no more.
        """
        if batch.number != self._next:
            raise ValueError(f"batch {batch.number} out of turn: the next is {self._next}")
        payload = encode(batch)
        record = _RECORD.pack(len(payload), zlib.crc32(payload)) + payload
        if self._pending_bytes + len(record) > self._max_bytes or not self._write(record):
            return False
        self._add(batch, len(record))
        return True

    def ack(self, number: int) -> int:
        """All up to and including `number` are in the ledger; return how many that released.

        A number that was never given out covers nothing: it belongs to another run.
        """
        if number >= self._next:
            return 0
        released = 0
        while self._pending and self._pending[0].batch.number <= number:
            self._pending_bytes -= self._pending.popleft().size
            released += 1
        if released and not self._pending:
            self._empty()
        elif self._file_bytes - self._pending_bytes > _COMPACT_BYTES:
            self._compact()
        return released

    def pending(self) -> list[Batch]:
        """The window in order, each batch stamped with the oldest number, ready to be sent."""
        oldest = self.oldest
        return [msgspec.structs.replace(pending.batch, oldest=oldest) for pending in self._pending]

    def stamped(self, batch: Batch) -> Batch:
        """`batch` as it must be sent: with the oldest number of the window."""
        return msgspec.structs.replace(batch, oldest=self.oldest)

    def last_seqs(self) -> dict[str, int]:
        """The highest sequence number of each camera seen since the file was opened, its content included."""
        return dict(self._last_seqs)

    def close(self) -> None:
        """Leave the file as it is: what is pending is sent by whoever opens it next."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # ---- the file

    def _load(self) -> None:
        raw = b""
        size = os.fstat(self._fd).st_size
        if size:
            raw = os.pread(self._fd, size, 0)
        if len(raw) < _HEADER.size:
            self._empty()
            return
        magic, next_number, crc = _HEADER.unpack_from(raw)
        if magic == MAGIC and crc == zlib.crc32(raw[: _HEADER.size - 4]):
            self._next = next_number
        at = self._file_bytes = _HEADER.size
        while (batch_end := self._read(raw, at)) is not None:
            batch, at = batch_end
            self._add(batch, at - self._file_bytes)
        if len(raw) > at:  # a torn tail (clause 3)
            os.ftruncate(self._fd, at)

    @staticmethod
    def _read(raw: bytes, at: int) -> tuple[Batch, int] | None:
        """The batch at `at` and where it ends, or None at the end or a torn tail."""
        if at + _RECORD.size > len(raw):
            return None
        length, crc = _RECORD.unpack_from(raw, at)
        end = at + _RECORD.size + length
        payload = raw[at + _RECORD.size : end]
        if end > len(raw) or zlib.crc32(payload) != crc:
            return None
        try:
            batch = decode(payload)
        except MessageError:
            return None  # written by another version: the ledger is asked where each camera stands
        return (batch, end) if isinstance(batch, Batch) else None

    def _add(self, batch: Batch, size: int) -> None:
        self._pending.append(_Pending(batch, size))
        self._pending_bytes += size
        self._file_bytes += size
        self._next = max(self._next, batch.number + 1)
        for event in batch.events:
            self._last_seqs[event.camera] = max(event.seq, self._last_seqs.get(event.camera, 0))

    def _write(self, record: bytes) -> bool:
        """Append `record`; on no space cut off what was written of it and return False."""
        try:
            write_whole(self._fd, record, self._file_bytes)
        except OSError:
            os.ftruncate(self._fd, self._file_bytes)
            return False
        return True

    def _empty(self) -> None:
        head = MAGIC + struct.pack("<Q", self._next)
        write_whole(self._fd, head + struct.pack("<I", zlib.crc32(head)))
        os.ftruncate(self._fd, _HEADER.size)
        self._file_bytes = _HEADER.size

    def _compact(self) -> None:
        """Write the pending records to a new file and put it in this one's place."""
        compact_path = self._path.with_suffix(".new")
        try:
            fd = os.open(compact_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            return  # no room even for its name: the old file goes on serving
        head = MAGIC + struct.pack("<Q", self._next)
        parts = [head + struct.pack("<I", zlib.crc32(head))]
        parts.append(os.pread(self._fd, self._pending_bytes, self._file_bytes - self._pending_bytes))
        content = b"".join(parts)
        try:
            write_whole(fd, content)
        except OSError:  # no space: the old file goes on serving
            os.close(fd)
            compact_path.unlink()
            return
        os.replace(compact_path, self._path)
        os.close(self._fd)
        self._fd, self._file_bytes = fd, len(content)
