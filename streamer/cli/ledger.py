"""`streamer ledger`: how the durable record stands, a verified copy of it, and a way out after a restore."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streamer.api import control_socket as control
from streamer.cli.lenient_config import readable
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.daemon.assignments import LEDGER_FILE
from streamer.errors import ConfigError, RunningError
from streamer.ledger import Ledger, LedgerReader
from streamer.ledger import recovery as damage


def ledger_path(config: Config) -> Path:
    """Where the configured daemon keeps its ledger, or would."""
    return config.state_path / LEDGER_FILE


def check_known(config: Config, camera: str | None, recorded: Iterable[str]) -> None:
    """Raise ConfigError, with the cameras there are, for one neither configured nor `recorded`.

    A camera that was removed is still recorded.
    """
    names = {*recorded, *(c.name for c in config.cameras)}
    if camera is not None and camera not in names:
        raise ConfigError(
            f"no camera {camera[:64]!r}; known: {', '.join(sorted(names)) or 'there is none yet'}"
        )


@click.group()
def ledger() -> None:
    """Status and backup of the durable record."""


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def status(store: ConfigStore, as_json: bool) -> None:
    """Show what the ledger holds and what each sink has not got yet."""
    reader = LedgerReader(ledger_path(readable(store)))
    try:
        report = reader.status()
    finally:
        reader.close()
    report["incarnation"] = report["lineage"]
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    click.echo(f"{report['path']}: {report['bytes'] / 1e6:.1f} MB, incarnation {report['incarnation']}")
    click.echo(f"{report['committed']} events committed, {report['undelivered']} of them not delivered yet")
    click.echo(f"the oldest that is kept is of {report['oldest'] or 'no time: none is kept'}")
    if "damage" in report:
        click.echo(f"damage found {report['damaged_at']}: the ledger {report['damage']}")
    table = Table(box=None, pad_edge=False)
    lacking = {sink: lag["cameras"] for sink, lag in report["sinks"].items()}
    for title in ("CAMERA", "LAST", *(f"NOT IN {sink.upper()}" for sink in lacking)):
        table.add_column(title, justify="left" if title == "CAMERA" else "right")
    for name, camera in report["cameras"].items():
        table.add_row(name, str(camera["last_seq"]), *(str(lag[name]) for lag in lacking.values()))
    if report["cameras"]:
        Console(highlight=False).print(table)


@ledger.command()
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def backup(store: ConfigStore, target: Path) -> None:
    """Copy the ledger to TARGET, also while the daemon runs, and verify the copy.

    After a copy is put back in the ledger's place, run `streamer ledger new-incarnation` once.
    """
    size = damage.backup(ledger_path(readable(store)), target)
    click.echo(f"{target}: {size / 1e6:.1f} MB, verified")


@ledger.command("new-incarnation")
@click.pass_obj
def new_incarnation(store: ConfigStore) -> None:
    """Begin a new incarnation of the ledger, after an older copy was put in its place.

    Numbers that the lost ledger gave out may be on the stream already; with a new incarnation, which events
    name as their lineage, no id is used twice. The daemon must be stopped.
    """
    config = store.settings()
    path = ledger_path(config)
    try:
        control.call(config.control_path, "ping", timeout_s=2.0)
    except RunningError:
        pass
    else:
        raise RunningError("the daemon is running: stop it first, then try again")
    before = LedgerReader(path)
    report = before.status()
    before.close()
    opened = Ledger(
        path,
        report["node"],
        max_bytes=config.ledger.max_mb << 20,
        retention_days=config.ledger.retention_days,
    )
    lineage = opened.new_lineage("asked for")
    opened.close()
    click.echo(f"incarnation {lineage} begins with the next event, which names it as its lineage")


_older_name = copy.copy(new_incarnation)
_older_name.hidden = True
ledger.add_command(_older_name, "new-lineage")
