"""`streamer counts`: what was counted, from the ledger, beside how much of the time was seen."""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from pipelines.count.scene_error import AuditedCount
from streamer.cli.count_coverage import Period, periods
from streamer.cli.count_intervals import SureCount
from streamer.cli.kept_audits import audits_in_use
from streamer.cli.ledger import check_known, ledger_path
from streamer.cli.lenient_config import readable
from streamer.cli.times import PERIODS, LocalTime, row_order, unix_s
from streamer.config.store import ConfigStore
from streamer.ledger import LedgerReader
from streamer.ledger.queries import Count, Coverage

BY = ("camera", "name", "direction", "class", "rev", *PERIODS)
DEFAULT_BY = "camera,name,direction,class"
NS_PER_S = 1_000_000_000
_BLIND = ("dropped_s", "offline_s", "unknown_s")

ENDS = ("low", "high")
UNKNOWN = "unknown"
CORRECTED = ("counted", "corrected")

Row = dict[str, Any]
Groups = dict[tuple[Any, ...], SureCount]
Audits = Mapping[str, AuditedCount]


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
    shown as such: by minute, hour or day each row says how much of it was seen, and why not the rest.
    `312 (310-489)`, or `312 ± 9`: nine times in ten the true count lies within, as far as the cameras saw.
    `streamer audit CAMERA --apply` narrows it. What people corrected (`streamer correct`) is in the count,
    and said beside it.
    """
    config = readable(store)
    zone = ZoneInfo(config.timezone)
    columns = _columns(by)
    since_s = unix_s(since, zone)
    reader = LedgerReader(ledger_path(config))
    try:
        check_known(config, camera, reader.cameras())
        found = list(reader.counts(since_s=since_s, camera=camera))
        buckets = list(reader.coverage(since_ns=since_s * NS_PER_S, camera=camera))
    finally:
        reader.close()
    audits = audits_in_use(config, (count.camera for count in found if count.kind == "line"))
    groups, total = _grouped(found, columns, zone, audits), _total(found, audits)
    coverage = _coverage(buckets)
    timed = _timed(columns, buckets, zone)
    rows = _rows(columns, groups, timed)
    if as_json:
        document = {
            "since_s": since_s,
            "counts": rows,
            "total": total.as_dict(),
            "coverage": coverage,
            "cameras": {name: of.as_dict() for (name,), of in periods(buckets, _by_camera, False).items()},
        }
        click.echo(json.dumps(document, indent=2))
    elif as_csv:
        _write_csv(columns, rows)
    else:
        _print(columns, groups, total, coverage, timed)


def _by_camera(camera: str, _start_s: int) -> tuple[str]:
    return (camera,)


def _timed(columns: list[str], buckets: list[Coverage], zone: ZoneInfo) -> Timed | None:
    """The periods of rows by time, by what of a row's key says which period it is; None for other rows."""
    places = [i for i, column in enumerate(columns) if column in (*PERIODS, "camera")]
    if not any(columns[i] in PERIODS for i in places):
        return None

    def key_of(camera: str, start_s: int) -> tuple[str, ...]:
        return tuple(
            camera if columns[i] == "camera" else LocalTime.of(start_s, zone, columns[i]) for i in places
        )

    return Timed(places, periods(buckets, key_of, with_gaps="minute" not in columns))


class Timed(NamedTuple):
    """`places`: the columns of a row's key that say which of `periods` it is of."""

    places: list[int]
    periods: dict[tuple[Any, ...], Period]

    def of(self, key: tuple[Any, ...]) -> Period:
        return self.periods.get(tuple(key[i] for i in self.places), Period())

    def uncounted(self, groups: Groups, width: int) -> dict[tuple[Any, ...], Period]:
        """Keys of rows for periods that have no count, and were not seen from end to end."""
        counted = {tuple(key[i] for i in self.places) for key in groups}
        found = {}
        for key, period in self.periods.items():
            if not period.whole and key not in counted:
                places = dict(zip(self.places, key, strict=True))
                found[tuple(places.get(i, "*") for i in range(width))] = period
        return found


def _rows(columns: list[str], groups: Groups, timed: Timed | None) -> list[Row]:
    """A row by time has what was seen of it; where nothing was seen the count is None, and never 0."""
    rows = [({**dict(zip(columns, key, strict=True)), **sums.as_dict()}, key) for key, sums in groups.items()]
    if timed is None:
        return [row for row, _ in rows]
    full = [({**row, **timed.of(key).as_dict()}, key) for row, key in rows]
    for key, period in timed.uncounted(groups, len(columns)).items():
        count = None if period.unknown else 0
        full.append(({**dict(zip(columns, key, strict=True)), "count": count, **period.as_dict()}, key))
    return [row for row, _ in sorted(full, key=lambda item: row_order(item[1]))]


def _write_csv(columns: list[str], rows: list[Row]) -> None:
    more = [name for name in (*ENDS, *CORRECTED) if any(name in row for row in rows)]
    reasons = sorted({reason for row in rows for reason in row.get("blind", ())})
    seen = ("seen_s", "blind_s", "moved_s", "seen_share") if any("seen_s" in row for row in rows) else ()
    names = [*columns, "count", *more, *seen, *(f"{reason}_s" for reason in reasons)]
    writer = csv.DictWriter(sys.stdout, names, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        blind = {f"{reason}_s": seconds for reason, seconds in row.get("blind", {}).items()}
        writer.writerow({**row, **blind, "count": UNKNOWN if row["count"] is None else row["count"]})


def _columns(by: str) -> list[str]:
    columns = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in columns if name not in BY]
    if unknown or not columns:
        raise click.BadParameter(f"{(unknown or [by])[0]!r}: use some of {', '.join(BY)}", param_hint="--by")
    return columns


def _grouped(found: list[Count], columns: list[str], zone: ZoneInfo, audits: Audits) -> Groups:
    """Sums over all that `columns` do not tell apart, in the columns' order."""
    sums: Groups = defaultdict(lambda: SureCount(audits=audits))
    for count in found:
        key = tuple(_field(count, column, zone) for column in columns)
        sums[key].add(count.camera, count.n, count.tally, count.corrected)
    return dict(sorted(sums.items(), key=lambda item: row_order(item[0])))


def _total(found: list[Count], audits: Audits) -> SureCount:
    """Of all lines: entries and exits of zones are no crossings."""
    total = SureCount(audits=audits)
    for count in found:
        if count.kind == "line":
            total.add(count.camera, count.n, count.tally, count.corrected)
    return total


def _field(count: Count, column: str, zone: ZoneInfo) -> str | int:
    if column in PERIODS:
        return LocalTime.of(count.start_s, zone, column)
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
    columns: list[str],
    groups: Groups,
    total: SureCount,
    coverage: dict[str, dict[str, float]],
    timed: Timed | None,
) -> None:
    cells = {key: [str(sums)] for key, sums in groups.items()}
    if timed is not None:
        cells = {key: [*cell, str(timed.of(key))] for key, cell in cells.items()}
        uncounted = timed.uncounted(groups, len(columns))
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
    for camera, seconds in coverage.items():
        total_s = sum(seconds.values())
        blind_s = sum(seconds.get(kind, 0.0) for kind in _BLIND)
        if round(total_s):  # a file that was broken for a moment was no camera
            share = 100 * (total_s - blind_s) / total_s
            click.echo(f"{camera}: seen {share:.1f} % of {total_s:.0f} s in closed buckets", err=True)
