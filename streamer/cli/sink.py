"""`streamer sink dead-letters list|retry|drop`: events that the other side of a sink refused again and again.

They lie in a file of the sink (sinks/progress.py), which a running daemon looks at once a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from streamer.cli.lenient_config import readable
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, StorageError
from streamer.events.cloudevents import NS_PER_S
from streamer.sinks import progress_path
from streamer.sinks.base import SinkError
from streamer.sinks.dead_letters import DeadLetter, DeadLetters
from streamer.sinks.progress import Progress


@click.group()
def sink() -> None:
    """Look after the places where events go."""


@sink.group("dead-letters")
def dead_letters() -> None:
    """Events that a webhook refused again and again."""


def _of_some_cameras(function: Callable[..., Any]) -> Callable[..., Any]:
    several = click.option("--camera", "cameras", multiple=True, help="Only of this camera; may be repeated.")
    return click.argument("name", metavar="SINK")(several(click.pass_obj(function)))


@dead_letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, with the events.")
@_of_some_cameras
def list_(store: ConfigStore, name: str, cameras: tuple[str, ...], as_json: bool) -> None:
    """Show the dead letters of SINK, the oldest first, with the reason."""
    letters = _asked(store, name, lambda dead: dead.all())
    letters = [letter for letter in letters if not cameras or letter.camera in cameras]
    if as_json:
        click.echo(json.dumps([_shown(letter) for letter in letters], indent=2))
        return
    for letter in letters:
        again = ", to be sent again" if letter.retry else ""
        click.echo(
            f"{_when(letter.died_ns)}  {letter.camera}  {letter.lineage}-{letter.seq}  {letter.type}  "
            f"{letter.tries} tries{again}: {letter.reason}"
        )
    if not letters:
        click.echo(f"{name}: no dead letters")


@dead_letters.command()
@_of_some_cameras
def retry(store: ConfigStore, name: str, cameras: tuple[str, ...]) -> None:
    """Have the dead letters of SINK sent once more, by the daemon or the next one that runs.

    They come after what was sent meanwhile. What is refused again stays.
    """
    count = _asked(store, name, lambda dead: dead.ask_retry(cameras))
    click.echo(f"{name}: {count} dead letters are sent again")


@dead_letters.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_of_some_cameras
def drop(store: ConfigStore, name: str, cameras: tuple[str, ...], yes: bool) -> None:
    """Forget the dead letters of SINK. The ledger keeps the events."""
    if not yes:
        click.confirm(f"{name}: forget its dead letters? They are sent to nobody then", abort=True)
    click.echo(f"{name}: {_asked(store, name, lambda dead: dead.drop(cameras))} dead letters forgotten")


def _asked(store: ConfigStore, name: str, ask: Callable[[DeadLetters], Any]) -> Any:
    """Raises ConfigError, StorageError."""
    config = readable(store)
    known = [settings.name for settings in config.event_sinks]
    path = progress_path(config.state_path, name) if name in known else None
    if path is None:
        raise ConfigError(f"no sink {name[:64]!r}; known: {', '.join(known) or 'there is none'}")
    if not path.exists():
        raise ConfigError(f"sink {name}: has no dead letters: none of its kind, or it has never run")
    progress = Progress(path)
    try:
        return ask(DeadLetters(progress))
    except SinkError as error:
        raise StorageError(f"{error}: use the daemon's user, or sudo") from error
    finally:
        progress.close()


def _shown(letter: DeadLetter) -> dict[str, Any]:
    return {
        "camera": letter.camera,
        "id": f"{letter.lineage}-{letter.seq}",
        "type": letter.type,
        "reason": letter.reason,
        "tries": letter.tries,
        "first": _when(letter.first_ns),
        "died": _when(letter.died_ns),
        "retry": bool(letter.retry),
        "event": json.loads(letter.body),
    }


def _when(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / NS_PER_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
