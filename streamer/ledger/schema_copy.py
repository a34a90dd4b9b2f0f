"""The schema copy: beside the ledger, the pages of its file in which the schema stands.

Without these pages SQLite reads nothing of the file, and one flipped byte among their pointers is enough.
They change with the schema alone. So where the file says that it is the one that was copied, and a page is
not as in the copy, the page is damaged, and is put back.

Which file it was is a number of its own in the header (application_id), drawn anew for every copy, and
SQLite's count of changes of the schema, which a VACUUM raises too. A copy of another file, of an older
schema, or one that does not fit its own checksum counts as absent.

Pages of a file, by https://www.sqlite.org/fileformat2.html, sections 1.3 and 1.6. A row of the schema that is
longer than a page has its end elsewhere, and that is not copied: no statement of ours is.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import msgspec

from streamer.ledger import schema, schema_mend

log = logging.getLogger(__name__)

ENDING = "schema"
_MAX_BYTES = 1 << 20
_MAX_PAGES = 64  # more of them is no schema of ours
_HEADER_BYTES = 100  # of the file, at the head of page 1: they change with every commit
_COOKIE = slice(40, 44)
_APPLICATION_ID = slice(68, 72)
_INTERIOR, _LEAF = 5, 13  # kinds of a table's pages
_CELLS_AFTER = {_INTERIOR: 12, _LEAF: 8}  # bytes of a page's header


class SchemaCopy(msgspec.Struct, array_like=True):
    """Which file it was, and its pages by number, page 1 from where the header of the file ends."""

    application_id: bytes
    cookie: bytes
    pages: dict[int, bytes]


def put_back(path: Path) -> int:
    """Write the copy's pages over those that differ in the file at `path`; return how many bytes differed,
    0 where there is no copy of this file. Before it is opened. Raise OSError.
    """
    copy = _read(path)
    if copy is None:
        return 0
    with open(path, "r+b") as file:
        if not _is_of(copy, file):
            return 0
        differing = 0
        for number, page in copy.pages.items():
            there = _page(file, number).ljust(len(page), b"\0")
            if wrong := sum(a != b for a, b in zip(there, page, strict=True)):
                file.seek(_offset(number))
                file.write(page)
                differing += wrong
        return differing


def keep(path: Path) -> None:
    """Make the copy of the ledger at `path`, of this version, where there is none of it yet. Before it is
    opened: a file that is read beside SQLite loses SQLite's locks on it (POSIX).

    A copy that cannot be made is tried again at the next start, and that is said. Raise OSError or
    sqlite3.Error for a file that cannot be opened.
    """
    copy = _read(path)
    with open(path, "rb") as file:
        if copy is not None and _is_of(copy, file):
            return
    if why := _name(path):
        log.warning("the schema of %s is copied at a later start, not now: %s", path, why)
        return
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        try:
            pages = {number: _page(file, number) for number in _walk(file, 1)}
        except ValueError as error:
            log.warning("the schema of %s is not copied: %s", path, error)
            return
    _write(path, SchemaCopy(header[_APPLICATION_ID], header[_COOKIE], pages))


def _name(path: Path) -> str:
    """Give a sound file a number of its own, and have all of it in the file; return what hinders that."""
    with closing(schema.connect(path)) as db:
        try:
            verdict = str(db.execute("PRAGMA integrity_check(sqlite_schema)").fetchone()[0])
            if verdict != "ok" or (verdict := schema_mend.fault(db)):
                return verdict
            db.execute(f"PRAGMA application_id={1 + secrets.randbelow((1 << 31) - 1)}")
            busy, frames, written = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (
            sqlite3.OperationalError
        ) as error:  # locked, full, read-only: the open that follows says it too
            return str(error)
        return "another program reads it" if busy or frames != written else ""


def _is_of(copy: SchemaCopy, file: BinaryIO) -> bool:
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    named = header[_APPLICATION_ID]
    return any(named) and (named, header[_COOKIE]) == (copy.application_id, copy.cookie)


def _offset(number: int) -> int:
    return (number - 1) * schema.PAGE_BYTES + (_HEADER_BYTES if number == 1 else 0)


def _page(file: BinaryIO, number: int) -> bytes:
    """The page without the header of the file; less where the file ends before."""
    file.seek(_offset(number))
    return file.read(number * schema.PAGE_BYTES - _offset(number))


def _walk(file: BinaryIO, root: int) -> Iterator[int]:
    """The pages of the table whose first page is `root`. Raise ValueError for what is no table."""
    waiting, seen = [root], 0
    while waiting:
        number, seen = waiting.pop(), seen + 1
        page = _page(file, number)
        if seen > _MAX_PAGES or len(page) < _CELLS_AFTER[_INTERIOR] or page[0] not in _CELLS_AFTER:
            raise ValueError(f"page {number} is none of a schema")
        if page[0] == _INTERIOR:
            waiting.extend(_children(page, _HEADER_BYTES if number == 1 else 0))
        yield number


def _children(page: bytes, before: int) -> Iterator[int]:
    """Of an interior page, `before` bytes of which are missing at its head: offsets count from there."""
    count = int.from_bytes(page[3:5], "big")
    yield int.from_bytes(page[8:12], "big")
    for place in range(12, 12 + 2 * count, 2):
        cell = int.from_bytes(page[place : place + 2], "big") - before
        yield int.from_bytes(page[cell : cell + 4], "big")


def _read(ledger: Path) -> SchemaCopy | None:
    """The copy beside `ledger`, or None where there is none that can be used."""
    try:
        with open(_path(ledger), "rb") as file:
            crc, _, content = file.read(_MAX_BYTES).partition(b"\n")
        return (
            msgspec.msgpack.decode(content, type=SchemaCopy) if int(crc, 16) == zlib.crc32(content) else None
        )
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def _write(ledger: Path, copy: SchemaCopy) -> None:
    """One write over what was there; a torn one does not fit its checksum."""
    content = msgspec.msgpack.encode(copy)
    try:
        handle = os.open(_path(ledger), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(b"%08x\n" % zlib.crc32(content) + content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        log.warning("%s cannot be written: %s; a damaged schema could cost the ledger", _path(ledger), error)


def _path(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.{ENDING}")
