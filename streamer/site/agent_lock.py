"""One agent a box, and whether it runs: two would each take terms for the same cameras."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import RunningError, StorageError

FILE = "site-agent.lock"  # in the state folder


@contextmanager
def as_only_agent(state_dir: Path, otherwise: str) -> Iterator[None]:
    """While this lasts no agent of the box runs, but whoever asked.

    The kernel lets go of the lock with the process, however that ends. Raises RunningError with `otherwise`,
    what to do where an agent runs, and StorageError where the folder cannot be written to.
    """
    path = state_dir / FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: the site's agent needs to write there") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise RunningError(f"this box's agent runs (pid {holder}): {otherwise}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
