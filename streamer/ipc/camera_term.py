"""In which term of its site a box runs a camera: told to the daemon, stamped into what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

MAX_TERMS: Final = 64  # of a camera that a box remembers: those whose events a sink may still want
_STAMP = ("site", "term", "unowned")  # in the data of events; no rule tells anything under these names


class CameraTerm(msgspec.Struct, frozen=True, array_like=True):
    """From `from_ns` (Unix ns) on. Not `owned`: nobody confirms any more that this box owns the camera."""

    site: str
    term: int
    owned: bool = True
    from_ns: int = 0

    def is_same(self, other: CameraTerm | None) -> bool:
        """Whether it is the same term of the same site."""
        return other is not None and (self.site, self.term) == (other.site, other.term)


def stamp_of(term: CameraTerm | None) -> dict[str, Any]:
    """What the data of an event says of the term that it was made in; nothing of a box's own camera."""
    if term is None:
        return {}
    return {"site": term.site, "term": term.term, **({} if term.owned else {"unowned": True})}


def is_of(term: CameraTerm | None, data: Mapping[str, Any]) -> bool:
    """Whether an event with that data was made as `stamp_of(term)` says."""
    made = {name: data[name] for name in _STAMP if name in data}
    return made == stamp_of(term)
