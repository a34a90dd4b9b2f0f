"""The shared memory that a daemon owns: the counters, every camera's ring, and the numbers that name them.

Everything lies in one 0700 folder of /dev/shm, named after the runtime folder. The daemon holds a lock on
a file in it; a folder whose lock nobody holds was left by a daemon that was killed, and is taken away when
the next one starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from pathlib import Path

from streamer.errors import CapacityError, StorageError
from streamer.ipc.atomic_write import write_atomically
from streamer.ipc.counters import COUNTERS_FILE, MAX_ROWS, FrameCounters
from streamer.ipc.frame_ring import RingMemory
from streamer.ipc.messages import RingAllocated

SHARED_ROOT = Path("/dev/shm")
EPOCHS_FILE = "epochs.json"
LOCK_FILE = "lock"


class SharedState:
    """Used by the supervisor alone; workers attach to what it made."""

    def __init__(self, runtime_dir: Path, state_dir: Path) -> None:
        """Raises StorageError when shared memory cannot be had."""
        digest = hashlib.sha256(str(runtime_dir).encode()).hexdigest()[:12]
        self.folder = SHARED_ROOT / f"streamer-{digest}"
        try:
            _clear_abandoned()
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self._lock = _make_locked(self.folder)
        except OSError as error:
            raise StorageError(f"cannot use shared memory at {self.folder}: {error.strerror}") from error
        self.counters = FrameCounters.create(self.folder / COUNTERS_FILE)
        self._epochs_path = state_dir / EPOCHS_FILE
        self._epochs = _read_epochs(self._epochs_path)
        self._rows: dict[str, int] = {}
        self._free_rows = deque(range(MAX_ROWS))
        self._generations: dict[str, int] = {}
        self._reclaims: dict[str, int] = {}
        self._rings: dict[str, Path] = {}

    def row(self, camera: str) -> int:
        """The camera's row in the counters, given at first sight. Raises CapacityError when none is left."""
        if camera not in self._rows:
            if not self._free_rows:
                raise CapacityError(f"camera {camera}: at most {MAX_ROWS} cameras a daemon")
            row = self._free_rows.popleft()
            self.counters.clear(row)
            self._rows[camera] = row
        return self._rows[camera]

    def generation(self, camera: str) -> int:
        return self._generations.get(camera, 0)

    def epoch(self, camera: str) -> int:
        return self._epochs.get(camera, 0)

    def knows(self, camera: str) -> bool:
        return camera in self._rows

    def reclaim(self, camera: str) -> int:
        """The reader of the camera's ring has died: a new generation of the same slots."""
        self._reclaims[camera] = self._next_generation(camera)
        return self._reclaims[camera]

    def last_reclaim(self, camera: str) -> int:
        """The generation that the last reclaim began; 0: there was none."""
        return self._reclaims.get(camera, 0)

    def _next_generation(self, camera: str) -> int:
        self._generations[camera] = self.generation(camera) + 1
        return self._generations[camera]

    def allocate_ring(self, camera: str, slots: int, width: int, height: int, opening: int) -> RingAllocated:
        """A new ring, and the camera's next epoch. Raises StorageError when there is no room for it."""
        generation = self._next_generation(camera)
        path = self.folder / f"{camera}.{generation}"
        self.release_ring(camera)  # first: its memory may be what the new one lacks; who maps it may finish
        path.unlink(missing_ok=True)  # nobody's: what lies here was announced to no one
        RingMemory.create(path, slots, width, height)
        self._rings[camera] = path
        epochs = {**self._epochs, camera: self.epoch(camera) + 1}
        try:  # on disk before anyone hears of it: after a power loss no epoch is given out a second time
            write_atomically(self._epochs_path, json.dumps(epochs) + "\n", 0o640)
        except StorageError:
            self.release_ring(camera)  # memory that nobody would use
            raise
        self._epochs = epochs
        return RingAllocated(
            camera=camera,
            path=str(path),
            generation=generation,
            epoch=self._epochs[camera],
            slots=slots,
            width=width,
            height=height,
            opening=opening,
        )

    def release_ring(self, camera: str) -> None:
        """Nobody captures the camera now: its ring's memory goes back as soon as nobody maps it."""
        path = self._rings.pop(camera, None)
        if path is not None:
            path.unlink(missing_ok=True)

    def forget(self, camera: str) -> None:
        """The camera is gone: its ring and its row may be used anew (its epochs go on counting)."""
        self.release_ring(camera)
        row = self._rows.pop(camera, None)
        if row is not None:
            self._free_rows.append(row)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _make_locked(folder: Path) -> int:
    """Make `folder` with its lock held, whole or not at all; returns the lock's descriptor."""
    new_folder = Path(tempfile.mkdtemp(prefix=".streamer-", dir=SHARED_ROOT))  # 0700
    fd = os.open(new_folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    new_folder.rename(folder)
    return fd


def _clear_abandoned() -> None:
    """Take away the folders of this user's daemons that were killed."""
    for folder in SHARED_ROOT.glob("streamer-*"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if folder.stat().st_uid != os.geteuid():
                continue
            fd = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                continue  # it lives
            finally:
                os.close(fd)


def _read_epochs(path: Path) -> dict[str, int]:
    """Damaged or missing: counting starts anew, which only costs the order of epochs over restarts."""
    try:
        epochs = json.loads(path.read_text())
        return {str(name): int(epoch) for name, epoch in epochs.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}
