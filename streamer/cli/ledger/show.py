"""`streamer ledger status` and `backup`: how the durable record stands, and a verified copy of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streamer.cli.ledger import ledger_path
from streamer.cli.lenient_config import readable
from streamer.config.store import ConfigStore
from streamer.ledger import LedgerReader
from streamer.ledger import recovery as damage

WHY_PRUNED = {
    "age": "by age",
    "room": "for want of room",
    "asked": "by `streamer ledger prune`",
    "undelivered": "of these before a sink had them",
    "tracks": "tracks by their own age",
}


@click.command()
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
    if gone := ", ".join(f"{n} {WHY_PRUNED[why]}" for why, n in report["pruned_for"].items() if n):
        click.echo(f"pruned so far: {gone}")
    table = Table(box=None, pad_edge=False)
    lacking = {sink: lag["cameras"] for sink, lag in report["sinks"].items()}
    for title in ("CAMERA", "LAST", *(f"NOT IN {sink.upper()}" for sink in lacking)):
        table.add_column(title, justify="left" if title == "CAMERA" else "right")
    for name, camera in report["cameras"].items():
        table.add_row(name, str(camera["last_seq"]), *(str(lag[name]) for lag in lacking.values()))
    if report["cameras"]:
        Console(highlight=False).print(table)


@click.command()
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def backup(store: ConfigStore, target: Path, as_json: bool) -> None:
    """Copy the ledger to TARGET, also while the daemon runs, and verify the copy.

    After a copy is put back in the ledger's place, run `streamer ledger new-incarnation` once.
    """
    size = damage.backup(ledger_path(readable(store)), target)
    done = {"path": str(target), "bytes": size, "verified": True}
    click.echo(json.dumps(done) if as_json else f"{target}: {size / 1e6:.1f} MB, verified")
