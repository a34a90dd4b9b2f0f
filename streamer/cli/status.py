"""`streamer status`: what the running daemon is doing, as tables, as JSON, or again every second."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from streamer.api import control_socket as control
from streamer.cli.status_page import page
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, RunningError
from streamer.logs import redact

INTERVAL_S = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one object a line.")
@click.pass_obj
def status(store: ConfigStore, watch: bool, as_json: bool) -> None:
    """Show cameras, frames, ages, drops by reason, workers, ledger and sinks."""
    if not watch:
        found = ask(store)
        click.echo(json.dumps(found, indent=2)) if as_json else Console().print(page(found))
        return
    if as_json:
        while True:
            click.echo(json.dumps(ask(store), separators=(",", ":")))  # which flushes
            time.sleep(INTERVAL_S)
    _watch(store)


def _watch(store: ConfigStore) -> None:
    """In a terminal the page is drawn in place; elsewhere one page follows the other."""
    console = Console()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            try:
                shown: RenderableType = page(ask(store))
            except (RunningError, ConfigError) as error:  # a restart ends no watch
                shown = Text(str(error), style="red")
            if live is None:
                console.print(shown)
                console.file.flush()
            else:
                live.update(shown, refresh=True)
            time.sleep(INTERVAL_S)


def ask(store: ConfigStore) -> dict[str, Any]:
    """The daemon's status, with what is wrong with the files on disk, which it keeps out of force, among its
    warnings. No URL in it keeps a credential.

    Raises RunningError where none answers, or ConfigError where the files would not let one run.
    """
    config, faults = store.load_readable()
    missing = [] if store.exists() else [store.missing()]
    try:
        found: dict[str, Any] = _clean(control.call(config.control_path, "status"))
    except RunningError:
        for fault in missing:
            raise fault from None
        for fault in faults:
            raise ConfigError(f"{fault} (and no daemon answers on {config.control_path})") from None
        raise
    faults = [*missing, *faults]
    told = [f"on disk, not in force: {fault}" for fault in faults]
    if told and not any(str(fault) in text for fault in faults for text in found.get("warnings", ())):
        found["warnings"] = [*found.get("warnings", ()), *told]
    return found


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
