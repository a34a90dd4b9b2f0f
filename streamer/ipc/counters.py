"""Frame counters in shared memory that outlive any worker, and the workers' heartbeats beside them.

The supervisor creates the file, workers map it. It is an array of int64 words:

    rows      MAX_ROWS x ROW_WORDS, one row a camera: the words of CAPTURE, then those of INFER
    beats     MAX_WORKERS, one word a worker: the monotonic clock at its last heartbeat, ns

A row has one block a writer, each under its own sequence lock, so that a reader gets a consistent picture of
all writers without ever making one of them wait:

1. A block's first word is its version: odd while its writer is inside, even otherwise.
2. Only one process writes a block, under a lock of its own where it has threads.
3. A reader copies the row, and keeps the copy only if no version was odd or has changed meanwhile.
4. When a worker has died, its successor of the same block (or the supervisor) closes a version left odd.

For every camera, at every moment:
    decoded = inferred + gated + dropped (every reason) + in flight
where in flight = held in the capture worker + handed over and not yet answered for.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer.errors import CapacityError, StorageError
from streamer.ipc.cpu_time import PARTS
from streamer.ipc.latency import AGE, INFERENCE
from streamer.ipc.messages import MAX_CAMERAS

COUNTERS_FILE: Final = "counters"  # in the daemon's folder of shared memory

# Twice the cameras of a daemon: all of them may make way for others at once. A camera may have a process of
# its own, and those that stop overlap with those that take over.
MAX_ROWS: Final = 2 * MAX_CAMERAS
MAX_WORKERS: Final = 2 * MAX_CAMERAS

# The blocks of a row, word by word. Counts are in frames since the row was cleared, never reset by a restart;
# a "drop_" word counts the frames that were not looked at for that reason, and is shown without the prefix.
#
# CAPTURE, written by the capture worker (by the supervisor once that has died)
#   version          -        sequence lock, clause 1
#   generation       -        of the ring that frames are handed over in
#   decoded          frames   all that came from the source
#   held             frames   now: the newest, waiting for a FrameRequest, and one that is being converted
#   handed           frames   given to an inference worker
#   gated            frames   let go undecoded or unlooked at, while nothing moved before the camera (gate.py)
#   drop_not_due     frames   above the rate this camera asked for
#   drop_busy        frames   replaced by a newer one before inference had time
#   drop_no_slot     frames   every slot of the ring was out on lease
#   drop_no_storage  frames   no ring to hand it over in: shared memory or the state folder is full
#   drop_damaged     frames   decoded, but no picture could be made of it
#   drop_closed      frames   still held when the source closed
#   drop_worker_died frames   in the hands of a worker that died
#   cpu_decode       ns       CPU time of reading, decoding and scaling (cpu_time.py)
#
# INFER, written by the inference worker
#   version          -        sequence lock, clause 1
#   epoch            -        of the camera's last frame that was looked at
#   next_track_id    -        within that epoch, the lowest that no track has had
#   inferred         frames   the detector looked at
#   drop_refused     frames   the detector's output was not usable (NaN, infinite, too many)
#   drop_stopped     frames   in hand when the worker was told to stop
#   drop_stale       frames   waited for its turn until there was a newer one
#   drop_unassigned  frames   of a camera this worker no longer has
#   age_…            frames   histogram of how old they were when they were counted (latency.py)
#   inference_…      frames   histogram of how long the detector took over their batch
#   cpu_inference    ns       CPU time, of the detector
#   cpu_rest         ns       CPU time, of all else that is done with its frames
CAPTURE: Final = (
    *("version", "generation"),
    *("decoded", "held", "handed", "gated"),
    *("drop_not_due", "drop_busy", "drop_no_slot", "drop_no_storage", "drop_damaged", "drop_closed"),
    "drop_worker_died",
    "cpu_decode",
)
INFER: Final = (
    *("version", "epoch", "next_track_id"),
    *("inferred", "drop_refused", "drop_stopped", "drop_stale", "drop_unassigned"),
    *AGE.words,
    *INFERENCE.words,
    *("cpu_inference", "cpu_rest"),
)
CPU_WORDS: Final = {part: f"cpu_{part}" for part in PARTS}
NO_COUNTS: Final = (
    *("version", "generation", "epoch", "next_track_id"),
    *(*AGE.words, *INFERENCE.words, *CPU_WORDS.values()),
)
ROW_WORDS: Final = len(CAPTURE) + len(INFER)
_CAPTURE_AT: Final = {name: i for i, name in enumerate(CAPTURE)}
_INFER_AT: Final = {name: len(CAPTURE) + i for i, name in enumerate(INFER)}
_BYTES: Final = (MAX_ROWS * ROW_WORDS + MAX_WORKERS) * 8
_MAX_TRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Balance:
    """One camera's frame counters, taken at one moment."""

    decoded: int
    inferred: int
    gated: int
    dropped: dict[str, int]
    in_flight: int


class Block:
    """One writer's words of one row. Use `with block.writing() as words:` around every change."""

    def __init__(self, row: npt.NDArray[np.int64], names: tuple[str, ...], start: int) -> None:
        self._words = row[start : start + len(names)]
        self.at = {name: i for i, name in enumerate(names)}
        if self._words[0] % 2:  # clause 4: a predecessor died inside, and nobody else writes this block now
            self._words[0] += 1

    @contextmanager
    def writing(self) -> Iterator[npt.NDArray[np.int64]]:
        """The block's words, to be changed in place; while the version is odd a reader's copy is refused."""
        self._words[0] += 1
        try:
            yield self._words
        finally:
            self._words[0] += 1

    def add(self, **changes: int) -> None:
        with self.writing() as words:
            for name, change in changes.items():
                words[self.at[name]] += change

    def put(self, **values: int) -> None:
        """Write words that are no counts, in the order that is given."""
        with self.writing() as words:
            for name, value in values.items():
                words[self.at[name]] = value

    def get(self, name: str) -> int:
        return int(self._words[self.at[name]])


class FrameCounters:
    """The mapped file. `FrameCounters.create` is the supervisor's, `FrameCounters.attach` a worker's."""

    def __init__(self, path: Path, memory: mmap.mmap) -> None:
        self.path = path
        self._memory = memory
        words = np.frombuffer(memory, dtype=np.int64)
        self._rows = words[: MAX_ROWS * ROW_WORDS].reshape(MAX_ROWS, ROW_WORDS)
        self._beats = words[MAX_ROWS * ROW_WORDS :]

    @classmethod
    def create(cls, path: Path) -> FrameCounters:
        """Make the file, zeroed and 0600. Raises StorageError when there is no room for it."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, _BYTES)
                return cls(path, mmap.mmap(fd, _BYTES))
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(
                f"cannot reserve {_BYTES} bytes of shared memory at {path}: {error.strerror}"
            ) from error

    @classmethod
    def attach(cls, path: Path) -> FrameCounters:
        """Map an existing file. Raises StorageError when it is not there or not of this version."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_size != _BYTES:
                    raise StorageError(f"{path} is no counter file of this version: restart the daemon")
                return cls(path, mmap.mmap(fd, _BYTES))
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"cannot map {path}: {error.strerror}") from error

    def capture(self, row: int) -> Block:
        return Block(self._row(row), CAPTURE, 0)

    def infer(self, row: int) -> Block:
        return Block(self._row(row), INFER, len(CAPTURE))

    def clear(self, row: int) -> None:
        """Forget a removed camera's counters (supervisor only, with no worker on the row)."""
        self._row(row)[:] = 0

    def balance(self, row: int) -> Balance:
        """A consistent picture of one camera's counters (clause 3).

        A writer that was stopped inside its block would hold a reader up for ever: after _MAX_TRIES the last
        copy is taken as it is, which may be one frame off until the next.
        """
        copy = self._copy(row)
        value = {n: int(copy[i]) for n, i in (_CAPTURE_AT | _INFER_AT).items() if n not in NO_COUNTS}
        dropped = {n[5:]: v for n, v in value.items() if n.startswith("drop_") and v}
        answered = sum(value[n] for n in INFER if n not in NO_COUNTS)
        out = value["handed"] - answered
        return Balance(value["decoded"], value["inferred"], value["gated"], dropped, value["held"] + out)

    def latency(self, row: int) -> dict[str, Any]:
        """How old a camera's frames were when they were counted, and how long inference took: by the name of
        each, as Latency.shown()."""
        copy = self._copy(row)
        words = {name: int(copy[i]) for name, i in _INFER_AT.items()}
        return {each.name: each.shown(words) for each in (AGE, INFERENCE)}

    def cpu_s(self, row: int) -> dict[str, float]:
        """CPU seconds of a camera by part (cpu_time.PARTS), since its row was cleared."""
        copy = self._copy(row)
        words = _CAPTURE_AT | _INFER_AT
        return {part: int(copy[words[word]]) / 1e9 for part, word in CPU_WORDS.items()}

    def _copy(self, row: int) -> npt.NDArray[np.int64]:
        words = self._row(row)
        copy = words.copy()
        for attempt in range(_MAX_TRIES):
            copy = words.copy()
            versions = copy[0], copy[len(CAPTURE)]
            if versions[0] % 2 == 0 and versions[1] % 2 == 0:
                again = words[0], words[len(CAPTURE)]
                if again == versions:
                    break
            if attempt % 10 == 9:
                time.sleep(0.0002)  # the writer was preempted inside its block
        return copy

    def dropped_busy(self, row: int) -> int:
        """How many frames of a camera were replaced by newer ones while inference was busy."""
        return int(self._row(row)[_CAPTURE_AT["drop_busy"]])

    def release_capture(self, row: int) -> int:
        """After a capture worker died: its held frame, and one it was in the middle of, are lost."""
        block = self.capture(row)
        with block.writing() as words:
            dropped = sum(int(words[i]) for n, i in block.at.items() if n.startswith("drop_"))
            lost = int(words[block.at["decoded"]]) - dropped
            lost -= int(words[block.at["handed"]]) + int(words[block.at["gated"]])
            words[block.at["held"]] = 0
            if lost >= 0:
                words[block.at["drop_worker_died"]] += lost
            else:  # died between two words: the frame was handed or dropped, and is decoded now
                words[block.at["decoded"]] -= lost
        return lost

    def release_handed(self, row: int, capture: Block | None = None) -> int:
        """After an inference worker died: what was handed to it and never answered for is lost.

        Called by the capture worker (or by the supervisor when that has died too), which alone writes
        `handed`, at the moment it takes all slots back. A capture worker that lives gives its own block, and
        holds the lock of it; the successor of the dead one may be writing the other by now.
        """
        capture = capture or self.capture(row)
        self.take_back_lost(row, capture)
        lost = capture.get("handed") - self._answered(row)
        if lost:
            # The frames count as dropped, no longer as handed over.
            capture.add(handed=-lost, drop_worker_died=lost)
        return lost

    def take_back_lost(self, row: int, capture: Block) -> int:
        """Frames that a capture worker had sent when it died, and not yet counted as handed, count as lost
        with it (release_capture). Those that were answered for after all are handed. By its successor, before
        it hands over anything of this camera; returns how many."""
        found = max(0, self._answered(row) - capture.get("handed"))
        if found:
            capture.add(handed=found, drop_worker_died=-found)
        return found

    def close_infer(self, row: int) -> None:
        """After an inference worker died, and before another is there: the block it may have died inside."""
        self.infer(row)

    def _answered(self, row: int) -> int:
        words = self._row(row)
        return sum(int(words[_INFER_AT[name]]) for name in INFER if name not in NO_COUNTS)

    def reclaimed(self, row: int) -> int:
        """The ring generation that the camera's capture worker has last taken note of."""
        return int(self._row(row)[_CAPTURE_AT["generation"]])

    def beat(self, worker: int) -> None:
        self._beats[worker] = time.monotonic_ns()

    def last_beat_ns(self, worker: int) -> int:
        return int(self._beats[worker])

    def _row(self, row: int) -> npt.NDArray[np.int64]:
        if not 0 <= row < MAX_ROWS:
            raise CapacityError(f"camera row {row}: at most {MAX_ROWS} cameras a daemon")
        words: npt.NDArray[np.int64] = self._rows[row]
        return words
