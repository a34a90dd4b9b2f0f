"""`streamer counts`: what was counted, from the ledger, beside how much of the time was seen."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from streamer.api.counts import parquet
from streamer.api.counts.query import BY, DEFAULT_BY, UNKNOWN, Counted, CountQuery, columns_of
from streamer.api.moments import row_order
from streamer.cli.kept_audits import audits_in_use
from streamer.cli.ledger import check_known, open_ledger
from streamer.cli.lenient_config import readable
from streamer.cli.output_paths import check_outputs
from streamer.cli.site_counts import counts_of_site
from streamer.cli.times import unix_s
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.ipc.atomic_write import replacing

_BLIND = ("dropped_s", "offline_s", "unknown_s")


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
@click.option(
    "--parquet",
    "to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a Parquet file (extra parquet).",
)
@click.option(
    "--site",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Of all boxes of this box's site, or of the site NAME, from its Redis.",
)
@click.pass_obj
def counts(
    store: ConfigStore,
    camera: str | None,
    since: str,
    by: str,
    as_csv: bool,
    as_json: bool,
    to: Path | None,
    site: str | None,
) -> None:
    """Print counts of lines and zones by time, direction and class.

    Times are in the configured timezone. Time in which a camera was not seen is unknown, not zero, and is
    shown as such: by minute, hour, day or week each row says how much of it was seen, and why not the rest.
    `312 (310-489)`, or `312 ± 9`: nine times in ten the true count lies within, as far as the cameras saw.
    `streamer audit CAMERA --apply` narrows it. What people corrected (`streamer correct`) is in the count,
    and said beside it.

    With --site each moment counts what the box made of it that owned the camera then; the time in which a
    camera went from one box to another is blind, for the reason moved_box.
    """
    if as_csv and (as_json or to is not None):
        raise click.UsageError("--csv goes with neither --json nor --parquet: choose one")
    if to is not None:
        parquet.check_installed()
        check_outputs([to], [])
    config = readable(store)
    zone = ZoneInfo(config.timezone)
    wanted = None if camera is None else frozenset((camera,))
    query = CountQuery(_columns(by), zone, unix_s(since, zone), cameras=wanted)
    if site is not None:
        found, buckets = counts_of_site(store, config, site, query)
    else:
        with closing(open_ledger(config)) as reader:
            check_known(config, camera, reader.cameras())
            found, buckets = list(query.counts(reader)), list(query.buckets(reader))
    audits = audits_in_use(config, (count.camera for count in found if count.kind == "line"))
    counted = Counted(query, found, buckets, audits)
    if to is not None:
        _write_parquet(counted, to, as_json)
    elif as_json:
        click.echo(json.dumps(counted.document(), indent=2))
    elif as_csv:
        counted.write_csv(sys.stdout)
    else:
        _print(counted)


def _write_parquet(counted: Counted, to: Path, as_json: bool) -> None:
    """Whole or not at all. Raise StorageError."""
    found = parquet.rows_of(counted)
    with replacing(to) as partial, partial.open("wb") as file:
        parquet.write(found, file)
        file.flush()
        os.fsync(file.fileno())
    done = {"path": str(to), "rows": len(found.rows)}
    click.echo(json.dumps(done) if as_json else f"{to}: {len(found.rows)} rows")


def _columns(by: str) -> list[str]:
    try:
        return columns_of(by)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint="--by") from error


def _print(counted: Counted) -> None:
    columns, timed, total = counted.query.columns, counted.timed, counted.total
    cells = {key: [str(sums)] for key, sums in counted.groups.items()}
    if timed is not None:
        cells = {key: [*cell, str(timed.of(key))] for key, cell in cells.items()}
        uncounted = timed.uncounted(counted.groups, len(columns))
        cells |= {key: [UNKNOWN if of.unknown else "0", str(of)] for key, of in uncounted.items()}
    if not cells:
        click.echo("nothing was counted in this time")
    else:
        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column.upper())
        table.add_column("COUNT", justify="right")
        if timed is not None:
            table.add_column("SEEN")
        for key in sorted(cells, key=row_order):
            table.add_row(*map(str, key), *cells[key])
        Console(highlight=False).print(table)
        if total.interval is not None:
            click.echo(f"{total} crossings of all lines")
    for camera, seconds in counted.coverage.items():
        total_s = sum(seconds.values())
        blind_s = sum(seconds.get(kind, 0.0) for kind in _BLIND)
        if round(total_s):  # a file that was broken for a moment was no camera
            share = 100 * (total_s - blind_s) / total_s
            click.echo(f"{camera}: seen {share:.1f} % of {total_s:.0f} s in closed buckets", err=True)
