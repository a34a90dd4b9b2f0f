"""Pictures leave no holes in the heap of a worker, nor busy moments: each test in a process of its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33, whose allocator says what it has"
)
# A large buffer that was freed is what raises glibc's threshold; then pictures of 230 kB, or small grey
# ones of 58 kB, are taken.
PICTURE_IN_PAGES = """
import ctypes
import numpy as np
from streamer.workers.allocator import OF_FRAMES_IN_HAND_BYTES, give_large_buffers_pages_of_their_own

class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = MallInfo
{before}
large = np.ones(16_000_000, np.uint8)
del large
held = mallinfo2().hblks
pictures = [np.ones((180, 320), np.{dtype}) for _ in range({pictures})]
print(mallinfo2().hblks - held)
"""


def _printed(code: str) -> int:
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def _pictures_in_pages(before: str, dtype: str = "float32", pictures: int = 1) -> int:
    return _printed(PICTURE_IN_PAGES.format(before=before, dtype=dtype, pictures=pictures))


def test_a_picture_takes_pages_of_its_own_whatever_was_freed_before() -> None:
    assert _pictures_in_pages("assert give_large_buffers_pages_of_their_own()") == 1


def test_without_it_a_picture_comes_from_the_heap_that_all_share() -> None:
    assert _pictures_in_pages("") == 0


def test_what_inference_keeps_of_a_frame_in_hand_takes_pages_of_its_own_too() -> None:
    """Else a busy moment, in which many are in hand, raises a heap that never gives all of it back."""
    lowered = "assert give_large_buffers_pages_of_their_own(OF_FRAMES_IN_HAND_BYTES)"
    assert _pictures_in_pages(lowered, "uint8", pictures=40) > 20  # the heap's holes take some
    assert _pictures_in_pages("assert give_large_buffers_pages_of_their_own()", "uint8", pictures=40) == 0


# What a busy moment takes in small pieces, and whether the heap had to rise for it, in bytes.
RISE_IN_A_BUSY_MOMENT = (
    PICTURE_IN_PAGES.partition("large =")[0]
    + """
held = mallinfo2().arena
pieces = [b"x" * 8192 for _ in range(180)]
print(mallinfo2().arena - held)
"""
)


def _rise(before: str) -> int:
    return _printed(RISE_IN_A_BUSY_MOMENT.format(before=before))


def test_the_heap_of_inference_has_room_for_a_busy_moment_before_it_comes() -> None:
    assert _rise("import streamer.workers.allocator as a; assert a.take_room_for_busy_moments()") == 0
    assert _rise("") > 0


# By how much blocks with pages of their own grow while names come and go, in bytes, with 30,000 that live.
GROWTH_BY_NAMES = (
    PICTURE_IN_PAGES.partition("large =")[0]
    + """
held = mallinfo2().hblkhd
for number in range(60_000):
    sys.intern(f"another passing name {number}")
print(mallinfo2().hblkhd - held)
"""
)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="interned strings stay for ever")
def test_names_that_come_and_go_take_no_more_memory_once_there_is_room() -> None:
    living = "import sys; from streamer.workers.allocator import take_room_for_passing_names as take\n"
    living += "living = [sys.intern('a name %d' % number) for number in range(30_000)]\n"
    assert _printed(GROWTH_BY_NAMES.replace("{before}", living + "take()")) <= 0
    assert _printed(GROWTH_BY_NAMES.replace("{before}", living)) > 500_000
