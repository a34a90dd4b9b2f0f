"""The ring of slots in which a camera's frames cross from the capture to the inference process.

The protocol:

1. A ring is one file of shared memory with `slots` slots of width x height x 3 bytes. Only the supervisor
   creates and unlinks it. Its pages are reserved when it is made, so that no later write can fail.
2. A slot is either free or out on lease. The writer (RingWriter, in the capture process) keeps that table
   in its own memory; the pixels alone are shared.
3. The writer fills a free slot and leases it to the reader by a message (FrameReady), which numbers the
   lease; no number comes twice under one generation. From then on the slot belongs to the reader; the writer
   does not touch it, whatever happens.
4. The reader releases leases, named with the ring's generation, in its next FrameRequest. A lease released
   twice, or under another generation, changes nothing: not even where the slot is out on another lease by
   then, which is why leases are named and not slots.
5. When the reader has died, the supervisor announces a new generation: every slot is free again, and
   what still arrives under the old one is ignored by both sides. Generations only rise: an announcement
   that comes twice, or late, changes nothing.
6. When the picture's size changes or the writer has died, there is a new ring under a new name and
   generation. A reader that still maps the old one may finish with it: unlinked memory lives on until
   its last user lets go.

So a frame cannot be torn: at no time may two processes touch the same slot, and one of them write.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np

from pipelines.values import Image
from streamer.errors import StorageError

MAPPED_RINGS = 64  # a reader forgets the rings it has not used for longest


class RingMemory:
    """The mapped file; `slot(i)` is a (height, width, 3) uint8 view of it."""

    def __init__(self, path: Path, slots: int, width: int, height: int, memory: mmap.mmap) -> None:
        self.path = path
        self.slots = slots
        self._view = np.frombuffer(memory, np.uint8, slots * width * height * 3).reshape(
            slots, height, width, 3
        )

    @classmethod
    def create(cls, path: Path, slots: int, width: int, height: int) -> None:
        """Reserve a ring's memory (clause 1). Raises StorageError with the size needed when there is none."""
        size = slots * width * height * 3
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot create shared memory {path}: {error.strerror}") from error
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            path.unlink()
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise StorageError(
                    f"{path.parent} is full: a ring of {slots} frames of {width}x{height} needs "
                    f"{size / 1e6:.1f} MB; enlarge it or lower analysis_width"
                ) from error
            raise StorageError(f"cannot reserve shared memory {path}: {error.strerror}") from error
        finally:
            os.close(fd)

    @classmethod
    def attach(cls, path: Path, slots: int, width: int, height: int) -> RingMemory:
        """Map an existing ring. Raises StorageError when it is gone or of another size."""
        size = slots * width * height * 3
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                have = os.fstat(fd).st_size
                if have < size:
                    raise StorageError(f"{path} has {have} bytes, a ring of {size} was announced")
                return cls(path, slots, width, height, mmap.mmap(fd, size))
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"cannot map shared memory {path}: {error.strerror}") from error

    def slot(self, index: int) -> Image:
        pixels: Image = self._view[index]
        return pixels


class RingWriter:
    """The capture side: who has which slot (clauses 2 to 5)."""

    def __init__(self, memory: RingMemory, generation: int) -> None:
        self.memory = memory
        self.generation = generation
        self._free = list(range(memory.slots))
        self._leases: dict[int, int] = {}  # the slot of each lease that is out
        self._next_lease = 1

    @property
    def leased(self) -> int:
        return len(self._leases)

    @property
    def next_lease(self) -> int:
        """The number that the next lease will have: the message that hands it over is sent first."""
        return self._next_lease

    def acquire(self) -> int | None:
        """A free slot to write into, or None when all are out."""
        return self._free[-1] if self._free else None

    def lease(self, slot: int) -> None:
        """The slot last acquired now belongs to the reader, under the number `next_lease` (clause 3)."""
        self._free.remove(slot)
        self._leases[self._next_lease] = slot
        self._next_lease += 1

    def release(self, generation: int, leases: tuple[int, ...]) -> None:
        """The slots of these leases are free again, where they are out and of this generation (clause 4)."""
        if generation != self.generation:
            return
        for lease in leases:
            slot = self._leases.pop(lease, None)
            if slot is not None:
                self._free.append(slot)

    def reclaim(self, generation: int) -> None:
        """The reader has died: every slot is free, under the new generation (clause 5)."""
        if generation <= self.generation:
            return
        self.generation = generation
        self._free = list(range(self.memory.slots))
        self._leases.clear()


class RingReader:
    """The inference side: maps rings as frames name them."""

    def __init__(self) -> None:
        self._rings: OrderedDict[str, RingMemory] = OrderedDict()
        self._idle: set[str] = set()  # not used since the last tidy()

    def view(self, path: str, slot: int, width: int, height: int) -> Image:
        """The pixels of a slot that was leased. Raises StorageError when the ring cannot be mapped."""
        ring = self._rings.get(path)
        if ring is None:
            size = os.stat(path).st_size if os.path.exists(path) else 0
            ring = RingMemory.attach(Path(path), max(1, size // (width * height * 3)), width, height)
            self._rings[path] = ring
            while len(self._rings) > MAPPED_RINGS:
                self._rings.popitem(last=False)
        self._rings.move_to_end(path)
        self._idle.discard(path)
        return ring.slot(slot)

    def tidy(self) -> None:
        """Let go of rings that were unlinked and not used since the last call: their memory is held by us
        alone, and may be what another camera lacks. To be called about once a second."""
        for path in [path for path in self._idle if not os.path.exists(path)]:
            self._rings.pop(path, None)
        self._idle = set(self._rings)
