"""`streamer correct`: a person says what a count should have been, beside what was counted."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import click

from pipelines.rules import check_direction
from streamer.api import control_socket as control
from streamer.cli.ledger import ledger_path
from streamer.cli.lenient_config import readable
from streamer.cli.times import unix_s
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.daemon.corrections import classes_in_history, line_of
from streamer.errors import ConfigError, StorageError
from streamer.events.cloudevents import NS_PER_S

TIMEOUT_S = 10.0


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("camera")
@click.argument("line")
@click.argument("direction")
@click.argument("amount")
@click.option("--reason", required=True, help="Why: one line, which the event carries.")
@click.option("--at", help="The moment that is corrected: 30m or 12h ago, 2026-05-01T08:00 [now].")
@click.option("--class", "class_name", help="Of which class [the one that was counted there].")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def correct(
    store: ConfigStore,
    camera: str,
    line: str,
    direction: str,
    amount: str,
    reason: str,
    at: str | None,
    class_name: str | None,
    as_json: bool,
) -> None:
    """Correct the count of LINE in DIRECTION by AMOUNT, +1 or -2, as an event of its own.

    What was counted stays in the record; the correction stands beside it with who made it and why, and
    `streamer counts` and the totals in Redis include it. Needs the running daemon, which gives the event its
    place in the camera's sequence.
    """
    config = readable(store)
    if not re.fullmatch(r"[+-]?[0-9]{1,7}", amount):
        raise click.BadParameter(f"{amount!r}: say by how much, such as +1 or -2", param_hint="AMOUNT")
    at_ns = unix_s(at, ZoneInfo(config.timezone), "--at") * NS_PER_S if at else 0
    if at and at_ns <= 0:
        raise click.BadParameter(f"{at!r}: name a time in which something was counted", param_hint="--at")
    _check(config, camera, line, direction, (reason, class_name or ""))
    request = {
        "camera": camera,
        "line": line,
        "direction": direction,
        "class_name": class_name or _counted_class(config, camera, line, direction),
        "amount": int(amount),
        "reason": reason,
        "by": os.environ.get("SUDO_USER") or getpass.getuser(),
        "at_ns": at_ns,
    }
    made = control.call(config.control_path, "correct", request, TIMEOUT_S)
    done = f"{camera}: {line} {direction} {request['class_name']} corrected by {int(amount):+d}"
    click.echo(json.dumps({**made, **request}) if as_json else f"{done}, event {made['seq']}")


def _check(config: Config, camera: str, line: str, direction: str, texts: Iterable[str]) -> None:
    """Raise ConfigError for what there is not, before a class is asked for."""
    try:
        check_direction("correction", direction, line_of(config.known_camera(camera), line))
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError("the reason and the class are text in UTF-8: type them anew") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _counted_class(config: Config, camera: str, line: str, direction: str) -> str:
    """The only class that was counted there. Raise ConfigError where there are others, or none."""
    try:
        classes = classes_in_history(ledger_path(config), camera, line, direction)
    except (StorageError, PermissionError):
        classes = []
    if len(classes) != 1:
        known = f": {', '.join(classes)} were counted there" if classes else ""
        raise ConfigError(f"say which class is corrected, such as --class person{known}")
    return classes[0]
