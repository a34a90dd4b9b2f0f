"""What a running daemon can be asked for: one table, whichever door the request comes through.

Each has arguments of its own, which are read strictly (arguments.py), and a role that may ask for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, Field

from pipelines.rules import Name
from streamer.api.arguments import Arguments, read_arguments
from streamer.api.callers import Caller, Role, check_role
from streamer.api.changes import AnyChange, WantedChange
from streamer.config.schema import ControlConfig
from streamer.errors import ControlError, StreamerError
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.messages import MAX_CAMERAS

MAX_WIDTH = 16384  # pixels; no camera sends as many


class Answer(Protocol):
    """Where the answer to one request goes, once: now, or in a later turn of the daemon's loop."""

    def reply(self, result: Mapping[str, Any]) -> None: ...

    def fail(self, error: StreamerError) -> None: ...


class Asked(Answer, Protocol):
    """A request as a door hands it in."""

    @property
    def op(self) -> str: ...

    @property
    def args(self) -> dict[str, Any]: ...

    @property
    def caller(self) -> Caller: ...


class Daemon(Protocol):
    """What operations need of the daemon."""

    def status(self) -> dict[str, Any]: ...

    @property
    def control(self) -> ControlConfig: ...

    def change(self, change: AnyChange, caller: Caller) -> int:
        """Apply a change that `caller` asks for; returns the revision that it made. Raises StreamerError."""

    def take_snapshot(self, camera: str, width: int, answer: Answer) -> None:
        """Answer with the camera's next picture, later. Raises StreamerError."""

    def replay(self, sink: str, cameras: tuple[str, ...], since_ns: int, rebuild: bool) -> int:
        """Send to the sink again; returns the number of the request. Raises StreamerError."""

    def correct(self, arguments: Any, uid: int | None, answer: Answer) -> None:
        """Answer with the number of the correction's event, later. Raises StreamerError."""

    def set_occupancy(self, arguments: Any, uid: int | None, answer: Answer) -> None:
        """Answer with the number of the setting's event, later. Raises StreamerError."""

    def clip(self, arguments: Any, asked: Asked) -> None:
        """Answer about a clip, later. Raises StreamerError."""

    def take_term(self, arguments: Any, caller: Caller) -> CameraTerm:
        """Run a camera in a term of its site from now on. Raises StreamerError: nothing has changed."""

    def tracks_now(self, camera: str, answer: Answer) -> None:
        """Answer with the camera's tracks of its last inferred frame, later. Raises StreamerError."""


class NoArguments(Arguments):
    """For what is only asked for."""


class SnapshotArguments(Arguments):
    camera: Name
    width: int = Field(default=0, ge=0, le=MAX_WIDTH)  # 0: full size


class ReplayArguments(Arguments):
    sink: Name
    cameras: tuple[Name, ...] = Field(default=(), max_length=MAX_CAMERAS)
    since_ns: int = Field(default=0, ge=0, lt=1 << 63)
    rebuild: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """`run` gets arguments of the type `arguments`; `role` is who may ask for it (api/callers.py)."""

    arguments: type[BaseModel]
    run: Callable[[Daemon, Any, Asked], None]
    role: Role = "viewer"


def _ping(_daemon: Daemon, _arguments: NoArguments, answer: Answer) -> None:
    answer.reply({"pid_ok": True})


def _status(daemon: Daemon, _arguments: NoArguments, answer: Answer) -> None:
    answer.reply(daemon.status())


def _change(daemon: Daemon, arguments: WantedChange, asked: Asked) -> None:
    asked.reply({"config_rev": daemon.change(arguments.root, asked.caller)})


def _snapshot(daemon: Daemon, arguments: SnapshotArguments, answer: Answer) -> None:
    daemon.take_snapshot(arguments.camera, arguments.width, answer)


def _replay(daemon: Daemon, arguments: ReplayArguments, answer: Answer) -> None:
    asked = (arguments.sink, arguments.cameras, arguments.since_ns, arguments.rebuild)
    answer.reply({"number": daemon.replay(*asked)})


# A new one is a line here: an Operation, or "module:ATTRIBUTE" of one with a file of its own.
OPERATIONS: dict[str, Operation | str] = {
    "ping": Operation(NoArguments, _ping),
    "status": Operation(NoArguments, _status),
    "change": Operation(WantedChange, _change, "operator"),
    "snapshot": Operation(SnapshotArguments, _snapshot, "admin"),
    "replay": Operation(ReplayArguments, _replay, "operator"),
    "correct": "streamer.daemon.corrections:OPERATION",
    "occupancy": "streamer.daemon.occupancy_setting:OPERATION",
    "clip": "streamer.daemon.clip_orders:OPERATION",
    "tracks": "streamer.daemon.tracks_now:OPERATION",
    "camera.term": "streamer.daemon.camera_terms:OPERATION",
}


def lookup(operations: Mapping[str, Operation | str], name: str) -> Operation:
    """Raises ControlError, which names those that there are."""
    entry = operations.get(name)
    if entry is None:
        raise ControlError(f"unknown request {name[:40]!r}: this daemon knows {', '.join(operations)}")
    if isinstance(entry, Operation):
        return entry
    module, _, attribute = entry.partition(":")
    operation: Operation = getattr(importlib.import_module(module), attribute)
    return operation


def serve(operations: Mapping[str, Operation | str], daemon: Daemon, request: Asked) -> None:
    """Answer the request, or let its operation do so later. What is wrong with it is an answer too.

    Raises only what nobody foresaw; that is answered as well, and the caller's to log.
    """
    try:
        operation = lookup(operations, request.op)
        check_role(request.caller, operation.role, daemon.control, request.op)
        operation.run(daemon, read_arguments(operation.arguments, request.args), request)
    except StreamerError as error:
        request.fail(error)
    except Exception:
        request.fail(
            ControlError(f"{request.op}: a fault of the daemon, which its log describes: part may be done")
        )
        raise
