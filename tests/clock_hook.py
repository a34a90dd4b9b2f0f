"""A wall clock that a test can set, for a daemon and all its processes: Python's time.time and time_ns with
an offset that lies in a file. The monotonic clock goes on, as it does where a person or NTP sets the clock.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HOOK = """
import mmap, struct, time
with open({path!r}, "rb") as file:
    offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
really_ns = time.time_ns
def time_ns():
    return really_ns() + struct.unpack("<q", offset[:])[0]
time.time_ns = time_ns
time.time = lambda: time_ns() / 1e9
"""


class ClockHook:
    """`env` is for the daemon's start; Python runs the hook before anything else (site, sitecustomize)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._path = folder / "offset"
        self.jump_to(0)
        (folder / "sitecustomize.py").write_text(_HOOK.format(path=str(self._path)))
        self.env = {"PYTHONPATH": str(folder)}

    def jump_to(self, offset_s: float) -> None:
        """From now on the clock is so far ahead of the right time."""
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(struct.pack("<q", int(offset_s * 1e9)))
