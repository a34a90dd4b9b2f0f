"""What was given another name: it travels with assignments, and is kept in files and in the ledger."""

from __future__ import annotations

from typing import NamedTuple


class Rename(NamedTuple):
    """Of a camera, a line or a zone (`kind`), as of revision `rev` of the configuration; `camera` is the
    camera's name just before."""

    rev: int
    kind: str
    camera: str
    old: str
    new: str
    at_ns: int  # Unix time
