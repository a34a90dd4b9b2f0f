"""Pictures leave no holes in the heap of a capture process: each test in a process of its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33, whose allocator says what it has"
)
# A large buffer that was freed is what raises glibc's threshold; then a picture of 230 kB is taken.
PICTURE_IN_PAGES = """
import ctypes
import numpy as np
from streamer.workers.allocator import give_large_buffers_pages_of_their_own

class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = MallInfo
{before}
large = np.ones(16_000_000, np.uint8)
del large
held = mallinfo2().hblks
picture = np.ones((180, 320), np.float32)
print(mallinfo2().hblks - held)
"""


def _pictures_in_pages(before: str) -> str:
    command = [sys.executable, "-c", PICTURE_IN_PAGES.format(before=before)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_a_picture_takes_pages_of_its_own_whatever_was_freed_before() -> None:
    assert _pictures_in_pages("assert give_large_buffers_pages_of_their_own()") == "1"


def test_without_it_a_picture_comes_from_the_heap_that_all_share() -> None:
    assert _pictures_in_pages("") == "0"
