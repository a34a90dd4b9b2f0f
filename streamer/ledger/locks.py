"""Which program keeps the ledger locked, as far as the kernel tells.

SQLite locks bytes of its files with POSIX locks, which /proc/locks lists with the pid that holds them: in
WAL mode the writer holds byte 120 of the -shm file, and who wants the file for itself locks bytes from
0x40000000 on of the file itself (https://www.sqlite.org/walformat.html, section 2.3.1; os_unix.c).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_SHM_BYTES = range(120, 128)
_FILE_BYTES = range(0x40000000, 0x40000000 + 512)


def holder(path: Path, proc: Path = Path("/proc")) -> str:
    """Who holds a lock on the database at `path` that keeps others out, in words."""
    wanted = {
        inode: places
        for file, places in ((path, _FILE_BYTES), (Path(f"{path}-shm"), _SHM_BYTES))
        if (inode := _inode(file)) is not None
    }
    for pid, inode, first in _write_locks(proc):
        if first in wanted.get(inode, ()) and pid != os.getpid():
            return f"another program ({_name(proc, pid)}pid {pid})" if pid > 0 else "another program"
    return "another program"


def _write_locks(proc: Path) -> Iterator[tuple[int, int, int]]:
    """(pid, inode, first byte) of each lock that is held for writing.

    A line: `1: POSIX  ADVISORY  WRITE 1234 08:01:5678 120 120`; one that waits has `->` after its number.
    """
    try:
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) == 8 and fields[3] == "WRITE":
            try:
                yield int(fields[4]), int(fields[5].rpartition(":")[2]), int(fields[6])
            except ValueError:
                continue


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _name(proc: Path, pid: int) -> str:
    try:
        return (proc / str(pid) / "comm").read_text().strip() + ", "
    except OSError:
        return ""
