"""A file that one process has at a time, and that says which."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class LockHeld(Exception):
    """Raised where another process has it; `pid` is that one's, or "unknown"."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


def take_lock(path: Path) -> int:
    """The descriptor of `path`, which is this process's until it is closed. Raises LockHeld, OSError.

    The kernel lets go of it with the process, however that ends: no lock file is ever stale.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise LockHeld(pid) from None
    except BaseException:
        os.close(fd)
        raise
    return fd
