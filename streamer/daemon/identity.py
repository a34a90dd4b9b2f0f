"""Which box this is, and that only one daemon runs on its folders."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from types import TracebackType

from streamer.errors import RunningError, StorageError
from streamer.ipc.atomic_write import write_atomically
from streamer.ipc.pid_lock import LockHeld, take_lock

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
        try:
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
            self._fds.append(take_lock(folder / LOCK_FILE))
        except LockHeld as held:
            raise RunningError(
                f"another daemon (pid {held.pid}) uses {folder}: stop it, or give this one folders of its own"
            ) from None
        except OSError as error:
            raise StorageError(
                f"{error.filename}: {error.strerror}: the daemon needs to write to {folder}"
            ) from error

    def _release(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
