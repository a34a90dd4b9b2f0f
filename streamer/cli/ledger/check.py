"""`streamer ledger verify`: whether the record can be believed, number by number."""

from __future__ import annotations

import json

import click

from streamer.cli.ledger import ledger_path
from streamer.cli.lenient_config import readable
from streamer.config.store import ConfigStore
from streamer.errors import StorageError
from streamer.ledger.verification import Verdict
from streamer.ledger.verification import verify as verify_ledger


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def verify(store: ConfigStore, as_json: bool) -> None:
    """Hold the ledger against itself: the file, each camera's numbers, and every count against its events.

    Also while the daemon runs. Prints a line for everything that is wrong, and ends in 6 (STORAGE) then.
    Counts whose events were pruned cannot be compared any more, and are not counted as compared.
    """
    path = ledger_path(readable(store))
    verdict = verify_ledger(path)
    if as_json:
        click.echo(json.dumps(_document(str(path), verdict), indent=2))
    else:
        _print(str(path), verdict)
    if verdict.faults:
        raise StorageError(
            f"the ledger {path} is not sound, {verdict.faults} faults: keep a copy of it; "
            "a damaged file is salvaged at the next start of the daemon"
        )


def _document(path: str, verdict: Verdict) -> dict[str, object]:
    looked_at = ("cameras", "events", "paths", "minutes", "buckets", "unsure", "faults")
    return {
        "path": path,
        **{name: getattr(verdict, name) for name in looked_at},
        "findings": [finding._asdict() for finding in verdict.findings],
    }


def _print(path: str, verdict: Verdict) -> None:
    for camera, text in verdict.findings:
        click.echo(f"{camera or 'file'}: {text}")
    if (more := verdict.faults - len(verdict.findings)) > 0:
        click.echo(f"… and {more} more")
    click.echo(
        f"{path}: {verdict.events} events of {verdict.cameras} cameras, {verdict.paths} paths; compared with "
        f"their events: {verdict.buckets} buckets and {verdict.minutes} counts by minute; "
        f"{'sound' if not verdict.faults else f'{verdict.faults} faults'}"
    )
    if verdict.unsure:
        click.echo(f"{verdict.unsure} buckets say themselves that they differ (events_lost, clock_jumped)")
