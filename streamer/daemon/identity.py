"""Which box this is, and that only one daemon runs on its folders."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from types import TracebackType

from streamer.errors import RunningError, StorageError
from streamer.ipc.atomic_write import write_atomically

NODE_FILE = "node"
LOCK_FILE = "lock"


def node_id(state_dir: Path) -> str:
    """The UUID made once in the state folder. Raises StorageError when it cannot be kept there."""
    path = state_dir / NODE_FILE
    try:
        text = path.read_text().strip()
        return str(uuid.UUID(text))
    except FileNotFoundError:
        new_id = str(uuid.uuid4())
        write_atomically(path, new_id + "\n", 0o640)
        return new_id
    except ValueError as error:
        raise StorageError(
            f"{path} does not hold a node's UUID: put it back from a backup, or remove it to be a new node"
        ) from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error


class DaemonLock:
    """Holds the state and the runtime folder; made if they are missing, 0700 and 0750.

    A second ipc bind would silently steal the endpoint of the first daemon: the lock comes before it.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path) -> None:
        self._folders = ((state_dir, 0o700), (runtime_dir, 0o750))
        self._fds: list[int] = []

    def __enter__(self) -> DaemonLock:
        """Raises RunningError when another daemon holds a folder, StorageError when one cannot be used."""
        try:
            for folder, mode in self._folders:
                self._lock(folder, mode)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _lock(self, folder: Path, mode: int) -> None:
        path = folder / LOCK_FILE
        try:
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"{error.filename}: {error.strerror}: the daemon needs to write to {folder}"
            ) from error
        self._fds.append(fd)
        try:
            # The kernel lets go of it with the process, however that ends: no lock file is ever stale.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise RunningError(
                f"another daemon (pid {holder}) uses {folder}: stop it, or give this one folders of its own"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)

    def _release(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
