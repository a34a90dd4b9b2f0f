"""`streamer ledger export`: the events of a span of time, for another program."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

import click

from streamer.cli.events import full_type
from streamer.cli.ledger import check_known, ledger_path
from streamer.cli.lenient_config import readable
from streamer.cli.times import unix_s
from streamer.config.store import ConfigStore
from streamer.errors import StorageError
from streamer.events.cloudevents import NS_PER_S, StoredEvent
from streamer.ledger import LedgerReader
from streamer.ledger.history import history

NO_END_S = 1 << 33
_IN_DATA = ("line", "zone", "direction", "class", "track_id", "config_rev")
COLUMNS = ("id", "time", "camera", "type", "subject", "lineage", "seq", *_IN_DATA, "data")

Write = Callable[[IO[str], Iterable[StoredEvent]], int]


@click.command()
@click.option("--since", default="all", show_default=True, help="From: 7d, all, 2026-05-01, …")
@click.option("--until", help="Up to before this time, written likewise [now].")
@click.option("--camera", "cameras", multiple=True, help="Only this camera; may be repeated.")
@click.option("--type", "types", multiple=True, help="Only this type: line.crossed; may be repeated.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="To a new file.")
@click.option("--json", "as_json", is_flag=True, help="Say how many there were as a JSON object, with -o.")
@click.pass_obj
def export(
    store: ConfigStore,
    since: str,
    until: str | None,
    cameras: tuple[str, ...],
    types: tuple[str, ...],
    form: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write events as JSON Lines (CloudEvents, as subscribers get them) or CSV, also while the daemon runs.

    By the time they were captured, in the order in which they were committed.
    """
    config = readable(store)
    zone, path = ZoneInfo(config.timezone), ledger_path(config)
    if as_json and output is None:
        raise click.UsageError("--json says what was written: it goes with --output FILE")
    reader = LedgerReader(path)
    for camera in cameras:
        check_known(config, camera, reader.cameras())
    reader.close()
    since_s = unix_s(since, zone)
    until_s = unix_s(until, zone, "--until") if until else NO_END_S
    wanted = [full_type(name) for name in types]
    events = history(path, since_s * NS_PER_S, until_s * NS_PER_S, cameras, wanted)
    write = WRITERS[form]
    if output is None:
        write(sys.stdout, events)
        return
    written = _to_file(output, write, events)
    done = {"path": str(output), "events": written, "format": form}
    click.echo(json.dumps(done) if as_json else f"{output}: {written} events")


def _to_file(output: Path, write: Write, events: Iterable[StoredEvent]) -> int:
    """Whole or not at all, and for its user alone. Raise StorageError; a file that is there is left."""
    if os.path.lexists(output):
        raise StorageError(f"{output} exists: name a file that does not")
    partial = output.with_name(output.name + ".partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            written = write(file, events)
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, output)
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return written


def _write_jsonl(file: IO[str], events: Iterable[StoredEvent]) -> int:
    written = 0
    for event in events:
        file.write(event.body + "\n")
        written += 1
    return written


def _write_csv(file: IO[str], events: Iterable[StoredEvent]) -> int:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    written = 0
    for event in events:
        writer.writerow(_row(event))
        written += 1
    return written


def _row(event: StoredEvent) -> dict[str, object]:
    """`data` is all of it, as JSON."""
    document = json.loads(event.body)
    data = document["data"]
    return {
        "id": document["id"],
        "time": document["time"],
        "camera": event.camera,
        "type": event.type,
        "subject": document.get("subject", ""),
        "lineage": event.id.lineage,
        "seq": event.id.seq,
        **{name: data.get(name, "") for name in _IN_DATA},
        "data": json.dumps(data, separators=(",", ":"), ensure_ascii=False),
    }


WRITERS: dict[str, Write] = {"jsonl": _write_jsonl, "csv": _write_csv}
