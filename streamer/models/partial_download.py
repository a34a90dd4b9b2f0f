"""The part of a download that is on disk: `NAME.part`, beside a note `NAME.json` of where it comes from and
what the server called it (ETag).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamer.errors import ModelError


@dataclass(slots=True)
class Part:
    """The half of a file that is there, and what is known of the whole."""

    path: Path
    url: str
    validator: str = ""
    total: int | None = None
    _note: Path = field(init=False)

    def __post_init__(self) -> None:
        self._note = self.path.with_suffix(".json")

    @classmethod
    def find(cls, path: Path, url: str) -> Part:
        """What an earlier attempt left of the same address; anything else is swept away."""
        part = cls(path, url)
        try:
            noted = json.loads(part._note.read_text(encoding="utf-8"))
            if noted["address"] == _mark(url) and path.is_file():
                part.validator, part.total = str(noted["validator"]), noted["total"]
                return part
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # no note that can be read: begin anew
        part.clear()
        return part

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def note(self) -> None:
        noted = {"address": _mark(self.url), "validator": self.validator, "total": self.total}
        self._note.write_text(json.dumps(noted), encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.validator, self.total = "", None

    def become(self, target: Path) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Two downloads into one file would mix their bytes: the second is refused."""
    with target.with_name(target.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"{target.name}: is being downloaded by another command: wait for it") from error
        yield


def _mark(url: str) -> str:
    """Stands for an address in a note on disk: the address itself may hold a token."""
    return hashlib.sha256(url.encode()).hexdigest()
