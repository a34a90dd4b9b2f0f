"""`streamer ledger prune` and `new-incarnation`: what changes the record itself."""

from __future__ import annotations

import json
import sys
import time
from zoneinfo import ZoneInfo

import click

from streamer.api import control_socket as control
from streamer.cli.ledger import ledger_path
from streamer.cli.lenient_config import readable
from streamer.cli.times import unix_s
from streamer.config.store import ConfigStore
from streamer.errors import RunningError
from streamer.events.cloudevents import NS_PER_S
from streamer.ledger import Ledger, LedgerReader
from streamer.ledger.pruning import Pruned
from streamer.ledger.pruning import prune as prune_ledger


@click.command()
@click.option("--older-than", required=True, metavar="AGE", help="90d, 12h, 4w, or a time: 2026-05-01.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--undelivered", is_flag=True, help="Also what a sink has not got: that sink never will.")
@click.option("--yes", is_flag=True, help="Do not ask; without a terminal nothing is asked.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def prune(
    store: ConfigStore, older_than: str, dry_run: bool, undelivered: bool, yes: bool, as_json: bool
) -> None:
    """Forget events and the paths of tracks that are older than so long, also while the daemon runs.

    What a sink has not got yet stays, unless --undelivered says otherwise. Counts by minute and running
    totals stay: they go by `ledger.retention_days` alone.
    """
    config = readable(store)
    before_ns = unix_s(older_than, ZoneInfo(config.timezone), "--older-than") * NS_PER_S
    path, now_ns = ledger_path(config), time.time_ns()
    if not (dry_run or yes) and sys.stdin.isatty():
        due = prune_ledger(path, before_ns, undelivered=undelivered, dry_run=True, now_ns=now_ns)
        total = sum(pruned.events for pruned in due)
        click.confirm(f"forget {total} events of {len(due)} cameras for good?", abort=True)
    gone = prune_ledger(path, before_ns, undelivered=undelivered, dry_run=dry_run, now_ns=now_ns)
    if as_json:
        cameras = {p.camera: {"events": p.events, "undelivered": p.undelivered} for p in gone}
        click.echo(json.dumps({"dry_run": dry_run, "cameras": cameras}, indent=2))
        return
    for pruned in gone:
        click.echo(_line(pruned))
    total = sum(pruned.events for pruned in gone)
    click.echo(f"{total} events {'would go' if dry_run else 'are gone'}")


def _line(pruned: Pruned) -> str:
    lacking = f", {pruned.undelivered} of them not delivered" if pruned.undelivered else ""
    return f"{pruned.camera}: {pruned.events} events{lacking}"


@click.command("new-incarnation")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def new_incarnation(store: ConfigStore, as_json: bool) -> None:
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
    text = f"incarnation {lineage} begins with the next event, which names it as its lineage"
    click.echo(json.dumps({"incarnation": lineage}) if as_json else text)
