"""Clips as recorders write them that save nothing where a picture did not change: a packet of no bytes."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path


def empty_packets(clip: Path, numbers: Collection[int]) -> None:
    """Empty the packets of these numbers in an AVI or MP4 of one video stream, written by make_clip()."""
    raw = clip.read_bytes()
    clip.write_bytes(_avi(raw, numbers) if raw.startswith(b"RIFF") else _mp4(raw, numbers))


def _avi(raw: bytes, numbers: Collection[int]) -> bytes:
    out = b"AVI "
    for name, body in _chunks(raw[12:]):
        if name == b"LIST" and body.startswith(b"movi"):
            movi, index, number = b"movi", b"", 0
            for inner, packet in _chunks(body[4:]):
                if inner == b"00dc":
                    kept = b"" if number in numbers else packet
                    index += struct.pack("<4sIII", inner, 0x10 if kept else 0, len(movi), len(kept))
                    movi += _chunk(inner, kept)
                    number += 1
            out += _chunk(b"LIST", movi) + _chunk(b"idx1", index)
        elif name != b"idx1":
            out += _chunk(name, body)
    return _chunk(b"RIFF", out)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _mp4(raw: bytes, numbers: Collection[int]) -> bytes:
    """All samples lie in one chunk: what is taken out moves those after it forward."""
    table = raw.index(b"stsz") + 12  # past name, version and flags, and the size that all have (none)
    (count,) = struct.unpack_from(">I", raw, table)
    sizes = struct.unpack_from(f">{count}I", raw, table + 4)
    chunks, first = struct.unpack_from(">II", raw, raw.index(b"stco") + 8)
    assert chunks == 1
    out, kept, at = bytearray(raw), b"", first
    for number, size in enumerate(sizes):
        if number in numbers:
            struct.pack_into(">I", out, table + 4 + 4 * number, 0)
        else:
            kept += raw[at : at + size]
        at += size
    out[first:at] = kept.ljust(at - first, b"\0")
    return bytes(out)
