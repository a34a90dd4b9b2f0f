"""A checksum of each event, beside it: SQLite has none, and a flipped bit in a text is a sound database.

Of events of older versions there is none, and they are taken as they are.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

EVENT_COLUMNS = "camera, seq, lineage, type, captured_ns, total_key, total_value, body"


def digest(columns: Sequence[Any]) -> int:
    """Of the values of EVENT_COLUMNS: their CRC-32, and above it 31 bits of it once more, by which a digest
    that is damaged itself is told from an event that is.
    """
    crc = zlib.crc32(msgspec.json.encode(tuple(columns)))
    return crc >> 1 << 32 | crc


def agrees(stored: int, columns: Sequence[Any]) -> bool:
    """Whether one of the two halves of `stored` is still of these values: chance gives that once in 2^31."""
    right = digest(columns)
    return stored >> 32 == right >> 32 or stored & 0xFFFFFFFF == right & 0xFFFFFFFF


def is_sound(stored: int) -> bool:
    return stored >> 32 == (stored & 0xFFFFFFFF) >> 1


def store(db: sqlite3.Connection, row_id: int, columns: Sequence[Any]) -> None:
    """Seal the event in row `row_id`, or seal it anew. Raises sqlite3.Error."""
    db.execute("INSERT OR REPLACE INTO digests VALUES (?,?)", (row_id, digest(columns)))
