"""`streamer recount CAMERA --line …`: a line drawn today counts last week, from the ledger, without video."""

from __future__ import annotations

import csv
import json
import sys
import time
from typing import Any
from zoneinfo import ZoneInfo

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipelines.rules import Anchor, LineSpec, ZoneSpec
from streamer.api.counts.recount import KEYS, Groups, Recount, anchor_of, as_dict, grouped, recount_camera
from streamer.api.counts.sure_count import SureCount, sure_count
from streamer.cli.click_types import split_words
from streamer.cli.clip_arguments import parse_drawn
from streamer.cli.kept_audits import audits_in_use
from streamer.cli.ledger import open_ledger
from streamer.cli.lenient_config import readable
from streamer.cli.rules import normalised
from streamer.cli.times import unix_s
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.events.cloudevents import NS_PER_S, rfc3339

COLUMNS = (*KEYS, "count", "low", "high")


@click.command()
@click.argument("camera")
@click.option(
    "--line",
    metavar="NAME=x1,y1,x2,y2",
    help="The line, in shares of the picture; more points: a poly-line.",
)
@click.option(
    "--zone",
    "area",
    metavar="NAME=x1,y1,x2,y2,x3,y3",
    help="A zone instead, by its corners: its entries and exits.",
)
@click.option(
    "--since",
    default="24h",
    show_default=True,
    help="How far back: 30m, 12h, 7d, 4w, all, or a time such as 2026-05-01 or 2026-05-01T08:00.",
)
@click.option("--until", help="Up to when, in the same forms [now].")
@click.option(
    "--anchor",
    type=click.Choice(["auto", "center", "foot", "top"]),
    default="auto",
    show_default=True,
    help="The point of a box that crosses; auto: the foot of a person, else the center.",
)
@click.option("--classes", "--class", "classes", help="Only these classes or groups: person,vehicle")
@click.option("--names", metavar="RIGHT,LEFT", help="The directions' names: to the right, to the left of it.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with every crossing.")
@click.pass_obj
def recount(
    store: ConfigStore,
    camera: str,
    line: str | None,
    area: str | None,
    since: str,
    until: str | None,
    anchor: Anchor,
    classes: str | None,
    names: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Count a line or zone of CAMERA in the tracks of the past, by hour, direction and class.

    The ledger keeps the path of every track, so it need not have been there. Time of which there are
    no paths is told: its crossings are unknown, not zero.

    \b
    streamer recount gate --line door=0.4,0.9,0.6,0.9 --since 7d
    streamer recount gate --zone yard=0.1,0.5,0.5,0.5,0.5,0.9,0.1,0.9
    """
    if (line is None) == (area is None):
        raise click.UsageError(
            "say what is counted: --line NAME=x1,y1,x2,y2, or --zone NAME=x1,y1,x2,y2,x3,y3"
        )
    if area is not None and names is not None:
        raise click.UsageError("--names is for --line: a zone is entered and exited")
    config = readable(store)
    zone = ZoneInfo(config.timezone)
    point: Anchor = anchor_of(config, camera) if anchor == "auto" else anchor
    spec = _zone(area, point, classes) if area is not None else _line(line or "", point, classes, names)
    since_ns = unix_s(since, zone) * NS_PER_S
    until_ns = unix_s(until, zone, "--until") * NS_PER_S if until else time.time_ns()
    reader = open_ledger(config)
    try:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("tracks", total=1.0)
            found = recount_camera(
                reader, camera, spec, since_ns, until_ns, lambda share: bar.update(task, completed=share)
            )
    finally:
        reader.close()
    audited = audits_in_use(config, [camera]).get(camera)
    groups = grouped(found, zone, audited)
    total = sure_count((c.judgement for c in found.counted), audited=audited)
    rows = [{**dict(zip(KEYS, key, strict=True)), **sums.as_dict()} for key, sums in groups.items()]
    if as_json:
        click.echo(json.dumps(_as_dict(found, rows, total), indent=2))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        _print_missing(found)
    else:
        _print(found, groups, total)


def _line(text: str, anchor: Anchor, classes: str | None, names: str | None) -> LineSpec:
    """Raises ConfigError."""
    name, points = parse_drawn(text, "line", 2)
    ways: dict[str, str] = {}
    if names is not None:
        right, comma, left = names.partition(",")
        if not comma:
            raise ConfigError(f"--names {names[:60]!r}: give two names, RIGHT,LEFT")
        ways = {"left_to_right": right.strip(), "right_to_left": left.strip()}
    try:
        return LineSpec(
            name=name,
            points=tuple(normalised(points, None)),
            anchor=anchor,
            classes=split_words(classes),
            **ways,
        )
    except ValidationError as error:
        raise _refused("--line", text, error) from error


def _zone(text: str, anchor: Anchor, classes: str | None) -> ZoneSpec:
    """Raises ConfigError."""
    name, points = parse_drawn(text, "zone", 3)
    corners = tuple(normalised(points, None))
    try:
        return ZoneSpec(name=name, points=corners, anchor=anchor, classes=split_words(classes))
    except ValidationError as error:
        raise _refused("--zone", text, error) from error


def _refused(option: str, text: str, error: ValidationError) -> ConfigError:
    first = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return ConfigError(f"{option} {text[:60]!r}: {first}")


def _as_dict(found: Recount, rows: list[dict[str, Any]], total: SureCount) -> dict[str, Any]:
    return as_dict(found, rows, total) | {
        "crossings": [
            {
                "time": rfc3339(c.at_ns),
                "direction": c.direction,
                "class": c.class_name,
                "epoch": c.epoch,
                "track_id": c.track_id,
                **({} if c.judgement is None else {"confidence": c.judgement.confidence}),
            }
            for c in found.crossings
        ]
    }


def _print(found: Recount, groups: Groups, total: SureCount) -> None:
    if groups:
        table = Table(box=None, pad_edge=False)
        for column in (*KEYS, "count"):
            table.add_column(column.upper(), justify="right" if column == "count" else "left")
        for key, sums in groups.items():
            table.add_row(*key, str(sums))
        Console(highlight=False).print(table)
    what = "crossings" if found.kind == "line" else "entries"
    click.echo(f"{total} {what} of {found.line.name} by {found.tracks} tracks")
    _print_missing(found)


def _print_missing(found: Recount) -> None:
    asked_s = (found.until_ns - found.since_ns) / NS_PER_S
    for missing in found.missing:
        share = 100 * missing.seconds / asked_s
        click.echo(
            f"no paths of {missing.seconds:.0f} s ({share:.1f} % of the time): {missing.text}", err=True
        )
    without = found.pathless + found.unreadable
    if without:
        click.echo(f"{without} tracks of this time have no path that can be read", err=True)
