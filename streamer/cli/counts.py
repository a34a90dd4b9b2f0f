"""`streamer counts`: what was counted, from the ledger, beside how much of the time was seen."""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from streamer.cli.count_intervals import SureCount
from streamer.cli.ledger import check_known, ledger_path
from streamer.cli.lenient_config import readable
from streamer.cli.times import unix_s
from streamer.config.store import ConfigStore
from streamer.ledger import LedgerReader
from streamer.ledger.queries import Count, Coverage

BY = ("camera", "name", "direction", "class", "rev", "minute", "hour", "day")
DEFAULT_BY = "camera,name,direction,class"
_FORMATS = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d"}
NS_PER_S = 1_000_000_000
_BLIND = ("dropped_s", "offline_s", "unknown_s")

ENDS = ("low", "high")
CORRECTED = ("counted", "corrected")

Row = dict[str, Any]
Groups = dict[tuple[Any, ...], SureCount]


@click.command()
@click.option("--camera", help="Only this camera.")
@click.option(
    "--since",
    default="24h",
    show_default=True,
    help="How far back: 30m, 12h, 7d, 4w, all, or a time such as 2026-05-01 or 2026-05-01T08:00.",
)
@click.option("--by", default=DEFAULT_BY, show_default=True, help=f"Columns, of {', '.join(BY)}.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with rows and coverage.")
@click.pass_obj
def counts(store: ConfigStore, camera: str | None, since: str, by: str, as_csv: bool, as_json: bool) -> None:
    """Print counts of lines and zones by time, direction and class.

    Times are in the configured timezone. Time in which a camera was not seen is unknown, not zero, and is
    shown as such. `312 (310-489)`, or `312 ± 9`: nine times in ten the true count lies within, as far as
    the cameras saw. What people corrected (`streamer correct`) is in the count, and said beside it.
    """
    config = readable(store)
    zone = ZoneInfo(config.timezone)
    columns = _columns(by)
    since_s = unix_s(since, zone)
    reader = LedgerReader(ledger_path(config))
    try:
        check_known(config, camera, reader.cameras())
        found = list(reader.counts(since_s=since_s, camera=camera))
        coverage = _coverage(list(reader.coverage(since_ns=since_s * NS_PER_S, camera=camera)))
    finally:
        reader.close()
    groups = _grouped(found, columns, zone)
    rows: list[Row] = [
        {**dict(zip(columns, key, strict=True)), **sums.as_dict()} for key, sums in groups.items()
    ]
    if as_json:
        document = {
            "since_s": since_s,
            "counts": rows,
            "total": _total(found).as_dict(),
            "coverage": coverage,
        }
        click.echo(json.dumps(document, indent=2))
    elif as_csv:
        more = [name for name in (*ENDS, *CORRECTED) if any(name in row for row in rows)]
        writer = csv.DictWriter(sys.stdout, [*columns, "count", *more])
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print(columns, groups, _total(found), coverage)


def _columns(by: str) -> list[str]:
    columns = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in columns if name not in BY]
    if unknown or not columns:
        raise click.BadParameter(f"{(unknown or [by])[0]!r}: use some of {', '.join(BY)}", param_hint="--by")
    return columns


def _grouped(found: list[Count], columns: list[str], zone: ZoneInfo) -> Groups:
    """Sums over all that `columns` do not tell apart, in the columns' order."""
    sums: Groups = defaultdict(SureCount)
    for count in found:
        key = tuple(_field(count, column, zone) for column in columns)
        sums[key].add(count.camera, count.n, count.tally, count.corrected)
    return dict(sorted(sums.items(), key=lambda item: tuple(map(str, item[0]))))


def _total(found: list[Count]) -> SureCount:
    """Of all lines: entries and exits of zones are no crossings."""
    total = SureCount()
    for count in found:
        if count.kind == "line":
            total.add(count.camera, count.n, count.tally, count.corrected)
    return total


def _field(count: Count, column: str, zone: ZoneInfo) -> str | int:
    if column in _FORMATS:
        return datetime.fromtimestamp(count.start_s, zone).strftime(_FORMATS[column])
    fields: dict[str, str | int] = {
        "camera": count.camera,
        "name": count.name,
        "direction": count.direction,
        "class": count.class_name,
        "rev": count.rule_rev,
    }
    return fields[column]


def _coverage(buckets: list[Coverage]) -> dict[str, dict[str, float]]:
    """Per camera the seconds of closed buckets by how they were spent."""
    sums: dict[str, dict[str, float]] = {}
    for bucket in buckets:
        camera = sums.setdefault(bucket.camera, {})
        for kind, seconds in bucket.seconds.items():
            camera[kind] = round(camera.get(kind, 0.0) + seconds, 3)
    return sums


def _print(
    columns: list[str], groups: Groups, total: SureCount, coverage: dict[str, dict[str, float]]
) -> None:
    if not groups:
        click.echo("nothing was counted in this time")
    else:
        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column.upper())
        table.add_column("COUNT", justify="right")
        for key, sums in groups.items():
            table.add_row(*map(str, key), str(sums))
        Console(highlight=False).print(table)
        if total.interval is not None:
            click.echo(f"{total} crossings of all lines")
    for camera, seconds in coverage.items():
        total_s = sum(seconds.values())
        blind_s = sum(seconds.get(kind, 0.0) for kind in _BLIND)
        if round(total_s):  # a file that was broken for a moment was no camera
            share = 100 * (total_s - blind_s) / total_s
            click.echo(f"{camera}: seen {share:.1f} % of {total_s:.0f} s in closed buckets", err=True)
