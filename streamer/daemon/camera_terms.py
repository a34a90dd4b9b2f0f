"""The terms of a site in which this box runs its cameras, kept over every restart.

A term that was told outlives the daemon: the file is on the disk before anybody hears of it, so that no event
is made in a term that a restart would forget. A camera may have one before it is added, so that its first
event has it; with the camera goes the term, and the sinks alone remember where its events went.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from pathlib import Path

import msgspec
from pydantic import Field

from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.daemon.operations import Asked, Daemon, Operation
from streamer.errors import ControlError
from streamer.ipc.atomic_write import write_atomically
from streamer.ipc.camera_term import MAX_TERMS, CameraTerm

log = logging.getLogger(__name__)

FILE = "terms.json"
MAX_TERM = 1 << 53  # exact in JSON and in Lua
UNOWNED = (
    "its site confirms no more that this box owns it: it counts on, marked unowned; look at "
    "`streamer site status`"
)


class TermArguments(Arguments):
    """`owned` false: nobody confirms any more that this box owns the camera. `from_ns` 0: from now on."""

    site: Name
    camera: Name
    term: int = Field(ge=1, le=MAX_TERM)
    owned: bool
    from_ns: int = Field(default=0, ge=0, lt=1 << 63)


class HeldTerms(msgspec.Struct):
    """Of one camera: those it had here, the newest last, and whether that one is still its own."""

    terms: list[CameraTerm]
    current: bool = True


class CameraTerms:
    """Reads and writes `FILE` in the state folder. `warning` says what a person should know of it."""

    def __init__(self, state_dir: Path) -> None:
        """A file that cannot be read is set aside: without a term a camera counts for the box alone."""
        self._path = state_dir / FILE
        self.warning = ""
        self._held = self._read()

    def of(self, camera: str) -> CameraTerm | None:
        """The term that the camera's events are made in now; None: it is the box's own."""
        held = self._held.get(camera)
        return held.terms[-1] if held is not None and held.current else None

    def held(self) -> dict[str, tuple[CameraTerm, ...]]:
        """By camera the terms that it had here, the newest last, also of cameras that are gone."""
        return {camera: tuple(held.terms) for camera, held in self._held.items()}

    def take(self, asked: TermArguments) -> CameraTerm:
        """Let the camera be in this term from now on. Raises ControlError for one that is over, StorageError
        where it cannot be kept: then nothing has changed."""
        held = self._held.get(asked.camera, HeldTerms([]))
        last = held.terms[-1] if held.terms else None
        highest = max((term.term for term in held.terms if term.site == asked.site), default=0)
        if asked.term < highest:
            raise ControlError(
                f"camera {asked.camera}: term {asked.term} of site {asked.site} is over, this box has had "
                f"term {highest}: take the next one"
            )
        new = CameraTerm(asked.site, asked.term, asked.owned, asked.from_ns or time.time_ns())
        if new.is_same(last) and last is not None:
            new = msgspec.structs.replace(last, owned=asked.owned)
        before = [term for term in held.terms if not new.is_same(term)]
        self._write(self._held | {asked.camera: HeldTerms([*before, new][-MAX_TERMS:])})
        return new

    def forget(self, cameras: Collection[str]) -> None:
        """These cameras are gone: what is added under their names is the box's own. Raises StorageError."""
        if left := [name for name in cameras if self.of(name) is not None]:
            gone = {name: HeldTerms(self._held[name].terms, current=False) for name in left}
            self._write(self._held | gone)

    def _read(self) -> dict[str, HeldTerms]:
        try:
            held = msgspec.json.decode(self._path.read_bytes(), type=dict[str, HeldTerms])
            return {camera: found for camera, found in held.items() if found.terms}
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.warning = (
                f"{self._path}: cannot be read: {error.strerror}: cameras of a site count for the box"
            )
        except msgspec.MsgspecError:
            self._path.replace(self._path.with_suffix(".damaged"))
            self.warning = (
                f"{self._path} was damaged and is set aside: cameras of a site count for the box alone until "
                "the site tells their terms again"
            )
        log.error("%s", self.warning)
        return {}

    def _write(self, held: dict[str, HeldTerms]) -> None:
        write_atomically(self._path, msgspec.json.encode(held).decode() + "\n", 0o640)
        self._held, self.warning = held, ""


def told(term: CameraTerm | None) -> dict[str, object]:
    """The keys of a camera's status: None where it is the box's own."""
    if term is None:
        return {"site": None, "term": None, "owned": None}
    return {"site": term.site, "term": term.term, "owned": term.owned}


def _take(daemon: Daemon, arguments: TermArguments, asked: Asked) -> None:
    asked.reply({"camera": arguments.camera, **told(daemon.take_term(arguments, asked.caller))})


OPERATION = Operation(TermArguments, _take, "admin")
