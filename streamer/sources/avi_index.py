"""The index at the end of an AVI, for what FFmpeg does not tell: chunks that recorders left empty.

`idx1` holds 16 bytes a chunk: name (`00dc`: video of stream 0), flags, offset, length. FFmpeg leaves empty
chunks out; the header counts them. https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

_ENTRY = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("length", "<u4")])
_MAX_BYTES = 64 << 20  # of an index: some four million chunks
_HEADER = struct.Struct("<4sI")


def video_chunks(path: Path, stream: int) -> tuple[int, int]:
    """How many chunks the index lists of that stream's video, and how many of these are empty; (0, 0) where
    there is no whole index, as in a file that was cut off.
    """
    try:
        with path.open("rb") as file:
            raw = _index(file)
    except OSError:  # what opens the file itself says that better
        return 0, 0
    entries = np.frombuffer(raw[: len(raw) // _ENTRY.itemsize * _ENTRY.itemsize], _ENTRY)
    ours = np.isin(entries["name"], [f"{stream:02d}{kind}".encode() for kind in ("dc", "db")])
    return int(ours.sum()), int((entries["length"][ours] == 0).sum())


def _index(file: BinaryIO) -> bytes:
    if file.read(12)[8:] != b"AVI ":
        return b""
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        name, size = _HEADER.unpack(header)
        if name == b"idx1":
            raw = file.read(size) if size <= _MAX_BYTES else b""
            return raw if len(raw) == size else b""
        file.seek(size + size % 2, 1)
    return b""
