"""The high-water mark: beside the ledger, how far each camera's numbers had gone at the last commit.

The ledger alone cannot tell that its end is missing: a WAL whose tail was lost or damaged is a shorter WAL,
and an older copy is a sound ledger. Numbers that were given out would be given out again, to other events,
and sinks would take those for the old ones. The mark is written after each commit, without waiting for the
disk: where a loss of power takes it along, it is older than the ledger, which costs nothing.

One line of JSON after its CRC-32; what does not fit its checksum counts as absent.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

ENDING = "high-water"
_MAX_BYTES = 1 << 20


class Mark(msgspec.Struct):
    """Whose ledger it was, its newest lineage, and each camera's last number."""

    node: str
    lineage: int
    last_seq: dict[str, int]


def read(ledger: Path) -> Mark | None:
    """The mark beside `ledger`, or None where there is none that can be used."""
    try:
        with open(_path(ledger), "rb") as file:
            crc, _, text = file.read(_MAX_BYTES).partition(b" ")
    except OSError:
        return None
    text = text.partition(b"\n")[0]
    try:
        return msgspec.json.decode(text, type=Mark) if int(crc, 16) == zlib.crc32(text) else None
    except (ValueError, msgspec.MsgspecError):
        return None


class HighWater:
    """The writer of the mark. It never fails: without a mark a loss is not noticed, and that is said."""

    def __init__(self, ledger: Path) -> None:
        self._path = _path(ledger)
        self._fd: int | None = None
        self._failing = False

    def write(self, node: str, lineage: int, last_seq: Mapping[str, int]) -> None:
        """One write over what was there; a torn one does not fit its checksum."""
        text = msgspec.json.encode(Mark(node, lineage, dict(last_seq)))
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, b"%08x %b\n" % (zlib.crc32(text), text), 0)
        except OSError as error:
            if not self._failing:
                log.warning(
                    "%s cannot be written: %s; a lost end of the ledger would go unseen", self._path, error
                )
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _path(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.{ENDING}")
