"""`streamer ledger`: its table of commands, and where the ledger is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamer.cli.lazy_group import Entry, LazyGroup
from streamer.config.past_names import followed, read_renames
from streamer.config.schema import Config
from streamer.errors import ConfigError, StorageError
from streamer.ipc.rename import Rename

if TYPE_CHECKING:
    from streamer.ledger import LedgerReader

SHOW, CHECK, EXPORT = (f"streamer.cli.ledger.{module}" for module in ("show", "check", "export"))
CHANGE, REPLAY = (f"streamer.cli.ledger.{module}" for module in ("change", "replay"))
COMMANDS = {
    "status": Entry(f"{SHOW}:status", "What the ledger holds and what each sink has not got yet."),
    "verify": Entry(f"{CHECK}:verify", "Hold every number and count against the events."),
    "export": Entry(f"{EXPORT}:export", "Write the events of a span of time as JSON Lines or CSV."),
    "replay": Entry(f"{REPLAY}:replay", "Send again to a sink what it has lost, or all of it anew."),
    "backup": Entry(f"{SHOW}:backup", "Copy the ledger, also while the daemon runs."),
    "prune": Entry(f"{CHANGE}:prune", "Forget events and tracks that are older than so long."),
    "new-incarnation": Entry(f"{CHANGE}:new_incarnation", "After an older copy was put in its place."),
}
OLDER_NAMES = {"new-lineage": "new-incarnation"}


def ledger_path(config: Config) -> Path:
    """Where the configured daemon keeps its ledger, or would."""
    return config.ledger_path


def open_ledger(config: Config) -> LedgerReader:
    """With the renames that it learns of at the daemon's next start. Raises StorageError."""
    from streamer.ledger import LedgerReader  # here: the table of commands is read by every command

    return LedgerReader(ledger_path(config), _renames(config))


def check_known(config: Config, camera: str | None, recorded: Iterable[str]) -> None:
    """Raise ConfigError, with the cameras there are, for one neither configured nor `recorded`, and for one
    that is called otherwise now: its past is found under that name.

    A camera that was removed is still recorded.
    """
    there = {c.name for c in config.cameras}
    if camera is not None and (now := followed(camera, there, _renames(config))) != camera:
        raise ConfigError(f"camera {camera[:64]!r} is called {now!r} now, and so is all that it counted")
    names = {*recorded, *there}
    if camera is not None and camera not in names:
        raise ConfigError(
            f"no camera {camera[:64]!r}; known: {', '.join(sorted(names)) or 'there is none yet'}"
        )


def _renames(config: Config) -> tuple[Rename, ...]:
    """None where they cannot be read: the past is found under the names that it had."""
    try:
        return read_renames(config.state_path)
    except StorageError:
        return ()


class _Ledger(LazyGroup):
    """Also knows commands by their older names."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, OLDER_NAMES.get(cmd_name, cmd_name))


@click.group(cls=_Ledger, table=COMMANDS)
def ledger() -> None:
    """Look after the durable record."""
