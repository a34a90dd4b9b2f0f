"""`streamer capacity`: what this box carries, what takes how much of it, and how many more cameras fit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
from rich import box as borders
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamer.api import control_socket as control
from streamer.api.capacity.box import measure_box
from streamer.api.capacity.costs import Costs, seen_costs
from streamer.api.capacity.fits import Capacity, Fit
from streamer.api.capacity.fits import capacity as reckon
from streamer.api.capacity.use import LEAST_FPS, camera_uses, pids
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import RunningError
from streamer.sources.room import MAX_LOAD


@click.command()
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Decode and analyse rendered clips for some seconds first.",
)
@click.option("--model", help="Measure with this model, instead of the one in use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def capacity(store: ConfigStore, measure: bool, model: str | None, as_json: bool) -> None:
    """Say how many cores this box has, what takes how much of them, and how many more cameras fit.

    It rests on what the running cameras take, and on a measurement of what they do not tell. With
    --no-measure sizes that no camera has are scaled from those that there are: several times off, where
    clips are simple. A camera without a number as its source.fps gives way to others, down to 5 analysed
    frames a second.
    """
    config, status = _running(store)
    uses = camera_uses(status, config)
    use = measure_box(pids(status))
    costs = seen_costs(uses)
    if measure or model or costs.analysis_ms is None:
        costs = _measured(store, model, as_json).over(costs)
    found = reckon(use, uses, costs)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    _print(found)


def _running(store: ConfigStore) -> tuple[Config, dict[str, Any]]:
    """The configuration, and what the daemon tells; {} where none runs."""
    if not store.exists():
        if store.named:
            raise store.missing()
        return Config(), {}
    config, _ = store.load_partly()
    try:
        return config, control.call(config.control_path, "status")
    except RunningError:
        return config, {}


def _measured(store: ConfigStore, model: str | None, quiet: bool) -> Costs:
    """Imported here: what only asks the daemon loads no decoder and no engine."""
    from streamer.cli.clip_arguments import chosen_detector, chosen_spec
    from streamer.models.model_in_use import model_that_detected
    from streamer.setup.capacity_measuring import measure

    if not quiet:
        click.echo("measuring for some seconds …", err=True)
    detector = chosen_detector(store, chosen_spec("default", None, None), model, 0)
    used = model_that_detected(detector.describe())
    return measure(detector, used.name if used is not None else "")


# ---- the tables: readable in 80 columns


def _print(found: Capacity) -> None:
    console = Console(highlight=False)
    console.print(_box(found))
    if found.uses:
        console.print(_cameras(found))
    console.print(_model(found.costs))
    console.print(_fits(found.fits))
    console.print(Text(f"advice: {found.advice}"))


def _box(found: Capacity) -> Text:
    box, cameras = found.box, sum(use.cores for use in found.uses)
    beside = max(0.0, box.streamer - cameras)
    free = found.usable - found.needed
    given_way = f", with {LEAST_FPS:g} analysed frames a second of each camera that gives way"
    text = (
        f"{box.cores:g} cores; cameras take {cameras:.2f}, the daemon beside them {beside:.2f}, others "
        f"{box.others:.2f}\n"
        f"needed for good: {found.needed:.2f} of the {found.usable:.2f} up to which the box keeps up "
        f"({MAX_LOAD:.0%}){given_way if any(use.unlimited for use in found.uses) else ''}; "
    )
    return Text(text + (f"{free:.2f} are free" if free > 0 else f"{-free:.2f} too much: the box is full"))


def _table(*titles: str) -> Table:
    table = Table(titles[0], box=borders.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for title in titles[1:-1]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(titles[-1], overflow="fold")
    return table


def _cameras(found: Capacity) -> Table:
    table = _table("camera", "cores", "= decode", "+ inference", "+ rest", "analysed/s", "picture")
    for use in found.uses:
        parts = (use.cores, use.decode, use.inference, use.rest)
        analysed = f"{use.analysed_fps:.1f}" + ("*" if use.unlimited else "")
        picture = f"{use.width}x{use.height} {use.codec} {use.fps:.0f}/s"
        table.add_row(use.name, *(f"{cores:.2f}" for cores in parts), analysed, picture)
    if any(use.unlimited for use in found.uses):
        table.caption = "* as many as its scene needs, or as there is time for: source.fps is no number"
    return table


def _model(costs: Costs) -> Text:
    if costs.analysis_ms is None:
        return Text("no frame was analysed yet")
    return Text(f"an analysed frame takes {costs.analysis_ms:.1f} ms of CPU ({costs.model or 'no model'})")


def _fits(fits: Iterable[Fit]) -> Table:
    table = _table("kind of camera", "analysed/s", "cores each", "more fit", "decoding as in")
    for fit in fits:
        cores = "-" if fit.cores is None else f"{fit.cores:.2f}"
        more = "-" if fit.more is None else str(fit.more)
        table.add_row(fit.kind, f"{fit.analysed_fps:g}", cores, more, fit.basis)
    return table
