"""Large buffers of this process come from pages of their own, and go back with them.

glibc raises the size from which it does so to that of the largest buffer freed, up to 32 MB. From then on
pictures come out of the one heap that all cameras of the process share, and go back into it as holes in which
small things settle, so that the next picture takes new memory at the heap's end. In a soak of half an hour
(`python -m tests.faults.soak --hours 0.5 --quiet --stream-max-len 1000`) capture grew by 1.3 MB an hour so,
and by 0.7 with the size held where glibc begins; inference, whose motion detector makes a background of
several megabytes anew at each opening of a camera, took steps of 0.4 to 2 MB now and then.

Inference holds it lower still, and has room in its heap from the start. What it keeps of each frame in hand
is below glibc's size: the small grey picture (58 KB), the tables of boxes (49 KB and more), the looks of
tracks (96 KB, from the first moment at which frames lie far apart). In a busy moment several frames are in
hand for each camera, and views are compared that lie far apart: the heap rose by 1 to 2 MB for it, whenever
it came, and small things that settled on top kept up to half of that.
"""

from __future__ import annotations

import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
OWN_PAGES_BYTES = 128 * 1024  # DEFAULT_MMAP_THRESHOLD, which is what it is before it is raised
OF_FRAMES_IN_HAND_BYTES = 32 * 1024

ROOM_BYTES = 4 << 20  # what four cameras take of the heap: with their first frames, and then in a busy moment
NAMES_TO_COME = 20_000  # of modules that are loaded later: less would do
PASSING_NAMES = 100_000  # more than such a table has places for
_PIECE_BYTES = 16 * 1024  # small enough to be of the heap


def give_large_buffers_pages_of_their_own(from_bytes: int = OWN_PAGES_BYTES) -> bool:
    """Those of `from_bytes` and more, for the rest of the process; returns whether the C library knows such a
    thing (glibc does)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, from_bytes))


def take_room_for_busy_moments() -> bool:
    """Let the heap rise by ROOM_BYTES now and keep that for the rest of the process; returns whether the C
    library can (glibc can)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not mallopt(M_TRIM_THRESHOLD, 4 * ROOM_BYTES):
        return False
    pieces = [
        b"\1" * _PIECE_BYTES for _ in range(ROOM_BYTES // _PIECE_BYTES)
    ]  # written, so that they are there
    pieces.clear()
    return True


def take_room_for_passing_names() -> None:
    """Let Python's table of interned strings take the size that it will have.

    What is written for a moment under a name that C code makes anew uses up a place in it, and when all are
    used it is built again with room for three times the names that live: for inference 0.94 MB became 1.88,
    once, after ten minutes, and for delivery 0.4 became 1.9. That is done here, and is done with. From
    Python 3.12 on such strings stay.
    """
    if sys.version_info >= (3, 12):
        return
    to_come = [sys.intern(f"a name to come {number}") for number in range(NAMES_TO_COME)]
    for number in range(PASSING_NAMES):
        sys.intern(f"a passing name {number}")
    to_come.clear()


def set_apart_what_stays() -> None:
    """Models and modules are here to stay: the collector need not look at them again.

    It looks at all that is old when what is new is a quarter of that, as much as it last found. Looking once
    more, it finds next to nothing: else cycles of dead objects would gather to a quarter of all there is.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def settle_in() -> None:
    """For a process that has loaded all that it needs."""
    take_room_for_busy_moments()
    set_apart_what_stays()
