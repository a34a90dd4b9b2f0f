"""`streamer status`: what the running daemon is doing, as tables, as JSON, or again every second."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamer import control
from streamer.config_store import ConfigStore
from streamer.errors import RunningError
from streamer.urls import redact

INTERVAL_S = 1.0
STATE_STYLES = {
    "live": "green",
    "running": "green",
    "ready": "green",
    "connecting": "yellow",
    "starting": "yellow",
    "disabled": "dim",
    "ended": "dim",
}

Json = Mapping[str, Any]


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one object a line.")
@click.pass_obj
def status(store: ConfigStore, watch: bool, as_json: bool) -> None:
    """Show cameras, frames, ages, drops by reason, workers, ledger and Redis."""
    path = store.load().control_path
    if not watch:
        found = ask(path)
        click.echo(json.dumps(found, indent=2)) if as_json else Console().print(page(found))
        return
    if as_json:
        while True:
            click.echo(json.dumps(ask(path), separators=(",", ":")))
            time.sleep(INTERVAL_S)
    with Live(screen=False, auto_refresh=False) as live:
        while True:
            try:
                shown = page(ask(path))
            except RunningError as error:  # a restart ends no watch
                shown = Text(str(error), style="red")
            live.update(shown, refresh=True)
            time.sleep(INTERVAL_S)


def ask(path: Path) -> dict[str, Any]:
    """The daemon's status. Raises RunningError where none answers. No URL in it keeps a credential."""
    found: dict[str, Any] = _clean(control.call(path, "status"))
    return found


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def page(found: Json) -> RenderableType:
    """All tables of one status answer."""
    parts: list[RenderableType] = [_headline(found), _cameras(found), _workers(found)]
    for name in ("ledger", "redis"):
        if found.get(name):
            parts.append(Text(f"{name:7} {_pairs(found[name])}"))
    parts += [Text(f"warning: {text}", style="yellow") for text in found.get("warnings", ())]
    return Group(*parts)


def _headline(found: Json) -> Text:
    name = found.get("display_name") or found.get("node", "")
    return Text(
        f"{name}  streamer {found.get('version', '?')}  pid {found.get('pid', '?')}  "
        f"up {duration(found.get('uptime_s', 0))}  config_rev {found.get('config_rev', '?')}"
    )


def _cameras(found: Json) -> RenderableType:
    cameras = found.get("cameras", ())
    if not cameras:
        return Text("no cameras; add one: streamer camera add NAME URL", style="dim")
    table = Table("camera", "state", "picture")
    for title in ("decoded/s", "inferred/s", "age p50", "age p99"):
        table.add_column(title, justify="right")
    table.add_column("dropped")
    table.add_column("restarts", justify="right")
    table.add_column("workers")
    for camera in cameras:
        age = camera.get("age_ms") or {}
        books = camera.get("books") or {}
        table.add_row(
            Text(str(camera.get("name"))),
            _state(camera),
            _picture(camera),
            _number(camera.get("fps_decoded")),
            _number(camera.get("fps_inferred")),
            _ms(age.get("p50")),
            _ms(age.get("p99")),
            Text(_pairs({k: n for k, n in (books.get("dropped") or {}).items() if n}) or "-"),
            str(camera.get("restarts", 0)),
            Text(" ".join(str(camera.get(k)) for k in ("worker", "infer_worker") if camera.get(k))),
        )
    return table


def _state(item: Json) -> Text:
    state = str(item.get("state", "?"))
    text = Text(state, style=STATE_STYLES.get(state, "red"))
    detail = item.get("detail")
    if detail and state not in ("live", "disabled"):
        text.append(f"\n{detail}", style="dim")
    return text


def _picture(camera: Json) -> str:
    if not camera.get("width"):
        return "-"
    return f"{camera['width']}x{camera.get('height')} {camera.get('codec', '')}".strip()


def _workers(found: Json) -> RenderableType:
    table = Table("worker", "state")
    for title in ("pid", "restarts", "beat", "cpu s", "rss MB"):
        table.add_column(title, justify="right")
    table.add_column("last error")
    for worker in found.get("workers", ()):
        table.add_row(
            Text(str(worker.get("name"))),
            _state(worker),
            str(worker.get("pid") or "-"),
            str(worker.get("restarts", 0)),
            _number(worker.get("beat_age_s"), " s"),
            _number(worker.get("cpu_s")),
            _number(worker.get("rss_mb")),
            Text(str(worker.get("last_error") or "")),
        )
    return table


def duration(seconds: float) -> str:
    """93784 as 1d 2h 3m; below an hour with seconds."""
    minutes, left_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h {minutes}m"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {left_s}s"


def _pairs(found: Any) -> str:
    if not isinstance(found, Mapping):
        return str(found)
    return "  ".join(
        f"{key} {_number(value) if isinstance(value, float) else value}" for key, value in found.items()
    )


def _number(value: Any, unit: str = "") -> str:
    return "-" if value is None else f"{value:.1f}{unit}"


def _ms(value: Any) -> str:
    return "-" if value is None else f"{value:.0f} ms"
