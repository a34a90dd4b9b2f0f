"""One agent a box, and whether it runs: two would each take terms for the same cameras."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import RunningError, StorageError
from streamer.ipc.pid_lock import LockHeld, take_lock

FILE = "site-agent.lock"  # in the state folder


@contextmanager
def as_only_agent(state_dir: Path, otherwise: str) -> Iterator[None]:
    """While this lasts no agent of the box runs, but whoever asked.

    Raises RunningError with `otherwise`, what to do where an agent runs, and StorageError where the folder
    cannot be written to.
    """
    path = state_dir / FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        fd = take_lock(path)
    except LockHeld as held:
        raise RunningError(f"this box's agent runs (pid {held.pid}): {otherwise}") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: the site's agent needs to write there") from error
    try:
        yield
    finally:
        os.close(fd)
