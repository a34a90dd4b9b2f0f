"""`streamer line suggest CAMERA`: lines that most tracks of the last minutes cross cleanly."""

from __future__ import annotations

import json
import time
from contextlib import closing
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from pipelines.count.line_suggestion import MAX_LINES, MIN_PATHS
from streamer.api.counts.suggest_lines import LineProposals, ProposedLine, as_dict, propose_lines, wanted_of
from streamer.cli.change import send_change
from streamer.cli.click_types import split_words
from streamer.cli.ledger import open_ledger
from streamer.cli.lenient_config import readable
from streamer.cli.times import unix_s
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.events.cloudevents import NS_PER_S


@click.command()
@click.argument("camera")
@click.option("--since", default="10m", show_default=True, help="How far back: 30m, 12h, 7d, all, or a time.")
@click.option("--until", help="Up to when, in the same forms [now].")
@click.option("--class", "--classes", "classes", help="By these classes or groups alone: person,vehicle")
@click.option("--all", "all_tracks", is_flag=True, help="Also for tracks that a line counts already.")
@click.option("--add", "number", type=click.IntRange(1, MAX_LINES), help="Add this one of them.")
@click.option("--name", help="The name of the line that is added [line-1, line-2, …].")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def suggest(
    store: ConfigStore,
    camera: str,
    since: str,
    until: str | None,
    classes: str | None,
    all_tracks: bool,
    number: int | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Propose up to three lines for CAMERA, from where its tracks went: entrances, lanes.

    Tracks are recorded whether or not there is a line, so a camera that was added ten minutes ago has them.
    Those that a line of CAMERA counts already speak for no other one, unless --all says so.
    Each proposal says how many tracks crossed it cleanly, and what it would have counted.
    """
    if name is not None and number is None:
        raise click.UsageError("--name is for --add N: say which of the proposed lines is added")
    config = readable(store)
    proposals = _proposals(config, camera, since, until, classes, all_tracks)
    if number is not None:
        _add(store, camera, _chosen(proposals, number, since), name)
    elif as_json:
        click.echo(json.dumps(as_dict(proposals), indent=2))
    else:
        _print(proposals, since)


def _proposals(
    config: Config, camera: str, since: str, until: str | None, classes: str | None, all_tracks: bool
) -> LineProposals:
    wanted = wanted_of(config, camera, split_words(classes), all_tracks=all_tracks)
    zone = ZoneInfo(config.timezone)
    since_ns = unix_s(since, zone) * NS_PER_S
    until_ns = unix_s(until, zone, "--until") * NS_PER_S if until else time.time_ns()
    with closing(open_ledger(config)) as reader:
        return propose_lines(reader, camera, since_ns, until_ns, wanted)


def _chosen(proposals: LineProposals, number: int, since: str) -> ProposedLine:
    if number > len(proposals.lines):
        found = len(proposals.lines)
        raise ConfigError(
            f"--add {number}: {found} lines were found" if found else _nothing(proposals, since)
        )
    return proposals.lines[number - 1]


def _add(store: ConfigStore, camera: str, proposed: ProposedLine, name: str | None) -> None:
    line = proposed.line.model_dump(mode="json", exclude={"rev"}) | ({"name": name} if name else {})
    change = {"op": "line.put", "camera": camera, "line": line, "replace": False}
    send_change(store, change, f"line {line['name']} saved for camera {camera}")


def _print(proposals: LineProposals, since: str) -> None:
    if not proposals.lines:
        click.echo(_nothing(proposals, since))
        return
    table = Table("", "points", "cross it cleanly", "come to it only", "would have counted", box=None)
    for number, proposed in enumerate(proposals.lines, start=1):
        points = " ".join(f"{x:g},{y:g}" for x, y in proposed.line.points)
        counted = ", ".join(f"{count} {direction}" for direction, count in proposed.crossed.items())
        clean = f"{proposed.suggested.clean} of {proposals.moving}"
        table.add_row(str(number), points, clean, str(proposed.suggested.unclear), counted)
    Console().print(table)
    click.echo(f"add one: streamer line suggest {proposals.camera} --since {since} --add 1 [--name NAME]")


def _nothing(proposals: LineProposals, since: str) -> str:
    if proposals.moving < MIN_PATHS:
        went = f"{proposals.moving} tracks of {proposals.camera} went anywhere since {since}"
        return f"{went}, and it takes {MIN_PATHS}: wait, or look further back (--since 24h)"
    if proposals.covered:
        whose = (
            f"{proposals.covered} of the {proposals.moving} tracks cross a line that {proposals.camera} has"
        )
        return f"nothing further: {whose}, and no other is crossed cleanly by enough of the rest"
    return f"no straight line is crossed cleanly by enough of the {proposals.moving} tracks: draw one by hand"
