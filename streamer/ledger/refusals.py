"""What SQLite's errors mean for the ledger, and what a person reads of them.

A `LedgerRefused` passes by itself, or once a person has made room: nothing of what was asked was kept, and
asking again is right. What does not pass is a `LedgerDamaged`, or a plain StorageError.
Reference: https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from streamer.errors import StorageError
from streamer.ledger import locks

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_FAILING = (
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM),
)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNREADABLE_TEXT = "Could not decode to UTF-8"  # Python's, for bytes that SQLite took as they were

State = Literal["full", "failing", "locked"]


class LedgerRefused(StorageError):
    """Raised when the ledger takes or tells nothing for now. `state` is the word for it in `status`."""

    state: State


class LedgerFull(LedgerRefused):
    """Raised when a commit finds no room (disk, budget) or the disk fails; nothing of it was kept."""

    def __init__(self, text: str, state: State = "full") -> None:
        super().__init__(text)
        self.state = state


class LedgerLocked(LedgerRefused):
    """Raised when another program holds the file's lock; nothing was kept."""

    state: State = "locked"


class LedgerDamaged(StorageError):
    """Raised when the file is no sound database: the next open salvages it."""


def refusal(
    path: Path, error: sqlite3.Error, doing: Literal["take more", "be read", "be opened", "be pruned"]
) -> StorageError:
    """What to raise for `error`, met while the ledger at `path` was asked to do that."""
    kind = code(error)
    if kind in _LOCKED:
        return LedgerLocked(
            f"the ledger cannot {doing}: {locks.holder(path)} has locked {path}; "
            "it goes on once that one lets go or is ended"
        )
    if kind == sqlite3.SQLITE_FULL:
        return LedgerFull(f"the ledger cannot {doing}: {error}")
    if kind in _FAILING:
        return LedgerFull(f"the ledger cannot {doing}: {error}; check {path}, its folder and disk", "failing")
    if kind in _DAMAGED or _UNREADABLE_TEXT in str(error):
        return LedgerDamaged(f"the ledger {path} is damaged ({error}): it is salvaged at the next start")
    return StorageError(f"the ledger {path} cannot {doing}: {error}")


def code(error: sqlite3.Error) -> int:
    """The primary SQLite result code of `error` (SQLITE_FULL, SQLITE_CORRUPT, ...), or 0."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
