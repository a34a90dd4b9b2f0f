"""`streamer doctor`: check this machine, and say what to mend."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import version

import click

from streamer.config.store import ConfigStore
from streamer.errors import Exit
from streamer.setup.doctor import Check, examine

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--bench", is_flag=True, help="Measure what decoding costs here, by codec; takes a minute.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, bench: bool) -> None:
    """Check this machine and its configuration, and say what to mend.

    Ends in exit code 1 if something is found with which the daemon cannot work.
    """
    if bench:
        _bench(as_json)
        return
    store: ConfigStore = ctx.obj
    checks = examine(store)
    failed = sum(check.level == "fail" for check in checks)
    if as_json:
        found = [check.as_json() for check in checks]
        click.echo(json.dumps({"version": version("streamer"), "ok": failed == 0, "checks": found}, indent=2))
    else:
        _print(checks, failed)
    ctx.exit(Exit.FAILED if failed else Exit.OK)


def _bench(as_json: bool) -> None:
    from streamer.setup.decode_bench import FPS, HEIGHT, WIDTH, decode_costs

    costs = []
    if not as_json:
        click.echo(f"CPU seconds per second of video, {WIDTH}x{HEIGHT} at {FPS} frames a second")
    for cost in decode_costs():
        costs.append(cost)
        if not as_json:
            value = f"{cost.cpu_s:.3f}" if cost.cpu_s is not None else f"-  {cost.problem}"
            click.echo(f"{cost.codec:<8}{cost.way:<7}{value}")
    if as_json:
        click.echo(json.dumps({"costs": [dataclasses.asdict(cost) for cost in costs]}, indent=2))


def _print(checks: list[Check], failed: int) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        level = click.style(f"{check.level.upper():<4}", fg=COLOURS[check.level])
        click.echo(f"{level}  {check.name:<{width}}  {check.text}")
        if check.advice:
            click.echo(f"{'':<{width + 8}}-> {check.advice}")
    warned = sum(check.level == "warn" for check in checks)
    click.echo(f"{len(checks)} checks: {failed} failed, {warned} warnings")
