"""Another program that holds a lock of a SQLite file, as a shell with an open transaction does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITER = ("BEGIN EXCLUSIVE",)  # nobody else writes
EVERYTHING = ("PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE")  # nobody else reads either
_HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for statement in sys.argv[2:]:
    db.execute(statement)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, statements: tuple[str, ...] = WRITER) -> Iterator[int]:
    """Hold the lock while the body runs; gives the pid that holds it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path), *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        yield holder.pid
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()
