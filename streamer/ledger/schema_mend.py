"""Puts back what every ledger has alike, without which SQLite reads nothing of the file: the constants of
its header and the words of its schema.

The schema is a table of its own, whose rows every ledger has in the order of the migrations: what a row says
but for its root page is known. Reference: https://www.sqlite.org/schematab.html, and writable_schema in
https://www.sqlite.org/pragma.html, with which SQLite passes over what it cannot parse.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from streamer.ledger import schema

# https://www.sqlite.org/fileformat2.html, section 1.3: magic, page size, WAL, payload fractions, UTF-8
_HEADER = {
    0: b"SQLite format 3\0",
    16: schema.PAGE_BYTES.to_bytes(2, "big"),
    20: b"\0\x40\x20\x20",
    44: b"\0\0\0\4",
    56: b"\0\0\0\1",
}
_FILE_MODES = slice(18, 20)  # for writing and for reading: 1, a rollback journal, or 2, a WAL; else read-only
_MAX_WRONG_BYTES = 8  # more of them, and it is another kind of file
_HEADER_BYTES = 100
_WORDS = "type, name, tbl_name, sql"


def mend_header(path: Path) -> bool:
    """Write the constants over what differs from them in the header of the file at `path`, where that is
    little; return whether any did. Raise OSError.
    """
    with open(path, "r+b") as file:
        header = bytearray(file.read(_HEADER_BYTES))
        if len(header) < _HEADER_BYTES:
            return False
        right = bytearray(header)
        for offset, constant in _HEADER.items():
            right[offset : offset + len(constant)] = constant
        if set(header[_FILE_MODES]) - {1, 2}:
            right[_FILE_MODES] = b"\2\2"
        differing = sum(a != b for a, b in zip(header, right, strict=True))
        if not 0 < differing <= _MAX_WRONG_BYTES:
            return False
        file.seek(0)
        file.write(right)
        return True


def fault(db: sqlite3.Connection) -> str:
    """Which table has other columns than it was made with, or "". Raise as mend()."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for statements in schema.MIGRATIONS[:version]:
            fresh.executescript(statements)
        for (name,) in fresh.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
            ask = f"PRAGMA table_info({name})"
            if db.execute(ask).fetchall() != fresh.execute(ask).fetchall():
                return f"table {name} is not as it was made"
    return ""


def mend(path: Path) -> bool:
    """Write the known words over those that differ in the file at `path`; return whether any did.

    Raise sqlite3.Error or UnicodeDecodeError where the schema's own pages cannot be read.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.text_factory = bytes
        db.execute("PRAGMA writable_schema=ON")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        known = _known(min(version, schema.SCHEMA_VERSION) or schema.SCHEMA_VERSION)
        there = {row[0]: row[1:] for row in db.execute(f"SELECT rowid, {_WORDS} FROM sqlite_master")}
        wrong = [(*known[row], row) for row, words in there.items() if row in known and words != known[row]]
        if sum(words[1] != known[row][1] for row, words in there.items() if row in known) > len(known) // 2:
            return False  # it is another database
        db.executemany(
            "UPDATE sqlite_master SET type=CAST(? AS TEXT), name=CAST(? AS TEXT), tbl_name=CAST(? AS TEXT),"
            " sql=CAST(? AS TEXT) WHERE rowid=?",
            wrong,
        )
        return bool(wrong)


def _known(version: int) -> dict[int, tuple[bytes | None, ...]]:
    """The schema's rows as the migrations up to `version` make them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for statements in schema.MIGRATIONS[:version]:
            db.executescript(statements)
        db.text_factory = bytes
        return {row[0]: row[1:] for row in db.execute(f"SELECT rowid, {_WORDS} FROM sqlite_master")}
