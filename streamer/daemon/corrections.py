"""A person's correction of a count: what may be asked for, and the answers that are still to come.

The camera's inference worker makes the event, so that it has its place in the sequence like every other.
"""

from __future__ import annotations

import difflib
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipelines.defaults import with_defaults
from pipelines.rules import LineSpec, Name, check_direction
from streamer.api.arguments import Arguments
from streamer.config.schema import CameraConfig, Config
from streamer.daemon.operations import Asked, Daemon, Operation
from streamer.errors import ConfigError, ControlError
from streamer.ledger import LedgerReader
from streamer.models.camera_check import counted_classes, pipeline_of

MAX_AMOUNT = 1_000_000
MAX_REASON = 500  # characters
MAX_LISTED = 24  # classes, in a refusal
ANSWER_LIMIT_S = 5.0


class CorrectionArguments(Arguments):
    """`at_ns` 0: now. `by` is the name of who asks, as the command has it."""

    camera: Name
    line: Name
    direction: Name
    class_name: str = Field(min_length=1, max_length=64)
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    by: str = Field(min_length=1, max_length=64)
    at_ns: int = Field(default=0, ge=0, lt=1 << 63)

    @field_validator("amount")
    @classmethod
    def _changes_something(cls, amount: int) -> int:
        if not amount:
            raise ValueError("a correction by 0 changes nothing: say +1 or -1")
        return amount

    @field_validator("reason", "by", "class_name")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if not text.isprintable() or not text.strip():
            raise ValueError("is one line of text")
        return text


def event_data(arguments: CorrectionArguments, config: Config, uid: int | None) -> dict[str, Any]:
    """The event's data. Raises ConfigError for a camera, line, direction or class that there is not."""
    now_ns = time.time_ns()
    if arguments.at_ns > now_ns:
        raise ConfigError("the time that is corrected is still to come: name one that has been")
    camera = config.known_camera(arguments.camera)
    line = line_of(camera, arguments.line)
    try:
        check_direction("correction", arguments.direction, line)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    _check_class(config, camera, line, arguments.class_name)
    return {
        "line": line.name,
        "direction": arguments.direction,
        "class": arguments.class_name,
        "rule_rev": line.rev,
        "amount": arguments.amount,
        "at_ns": arguments.at_ns or now_ns,
        "reason": arguments.reason,
        "by": arguments.by,
        "uid": uid,
    }


def classes_in_history(ledger: Path, camera: str, line: str, direction: str = "") -> list[str]:
    """The classes that the line has counted, ever, in `direction` or in any, of the ledger's totals. Raises
    StorageError where the ledger cannot be read."""
    with closing(LedgerReader(ledger)) as reader:
        keys = [key.split("/", 4) for key in reader.totals(camera)]
    places = [key for key in keys if len(key) == 5 and key[:2] == ["line", line]]
    return sorted({key[4] for key in places if direction in ("", key[2])})


def _check_class(config: Config, camera: CameraConfig, line: LineSpec, name: str) -> None:
    """Raise ConfigError for a class that the line neither counts nor has counted: its total would be one
    that nobody looks for."""
    counts = counted_classes(config, camera, line)
    if not counts or name in counts:
        return
    known = {*counts, *classes_in_history(config.ledger_path, camera.name, line.name)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        listed = ", ".join(sorted(known)[:MAX_LISTED]) + (", …" if len(known) > MAX_LISTED else "")
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"line {line.name} of {camera.name} counts no {name!r}: {hint}it counts {listed}")


def line_of(camera: CameraConfig, name: str) -> LineSpec:
    """The line with the revision in force. Raises ConfigError with those that there are."""
    lines = {line.name: line for line in with_defaults(camera.rules, pipeline_of(camera)).lines}
    if name not in lines:
        known = ", ".join(lines) or "there is none"
        raise ConfigError(f"camera {camera.name} has no line {name!r}; known: {known}")
    return lines[name]


def late(camera: str) -> ControlError:
    """What is said where the inference worker has not answered in time."""
    return ControlError(
        f"camera {camera}: no answer: look at `streamer events` whether it is there before you ask again"
    )


def _correct(daemon: Daemon, arguments: CorrectionArguments, asked: Asked) -> None:
    daemon.correct(arguments, asked.caller.uid, asked)


OPERATION = Operation(CorrectionArguments, _correct, "operator")
