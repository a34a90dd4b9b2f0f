"""Large buffers of this process come from pages of their own, and go back with them.

glibc raises the size from which it does so to that of the largest buffer freed, up to 32 MB. From then on
pictures come out of the one heap that all cameras of the process share, and go back into it as holes in which
small things settle, so that the next picture takes new memory at the heap's end. In a soak of half an hour
(`python -m tests.faults.soak --hours 0.5 --quiet --stream-max-len 1000`) capture grew by 1.3 MB an hour so,
and by 0.7 with the size held where glibc begins; inference, whose motion detector makes a background of
several megabytes anew at each opening of a camera, took steps of 0.4 to 2 MB now and then.
"""

from __future__ import annotations

import ctypes
import gc

M_MMAP_THRESHOLD = -3  # malloc.h
OWN_PAGES_BYTES = 128 * 1024  # DEFAULT_MMAP_THRESHOLD, which is what it is before it is raised


def give_large_buffers_pages_of_their_own() -> bool:
    """For the rest of the process; returns whether the C library knows such a thing (glibc does)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES))


def set_apart_what_stays() -> None:
    """Models and modules are here to stay: the collector need not look at them again.

    It looks at all that is old when what is new is a quarter of that, as much as it last found. Looking once
    more, it finds next to nothing: else cycles of dead objects would gather to a quarter of all there is.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
