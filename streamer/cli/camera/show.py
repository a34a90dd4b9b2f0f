"""`streamer camera list|show`: cameras as they are configured, and as a daemon knows them."""

from __future__ import annotations

import json
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.camera_rules import REVISED
from streamer.cli import daemon
from streamer.cli.lenient_config import present
from streamer.config.schema import CameraConfig
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.logs import HIDDEN


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(store: ConfigStore, as_json: bool) -> None:
    """List the cameras, with their states where a daemon runs."""
    config = present(store)
    running = {c.get("name"): c for c in (daemon.status(config) or {}).get("cameras", ())}
    rows = [_row(camera, running.get(camera.name, {})) for camera in config.cameras]
    broken = store.broken_cameras()
    rows += [_broken_row(name, str(fault), running.get(name, {})) for name, fault in broken.items()]
    rows.sort(key=lambda row: str(row["name"]))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("no cameras; add one: streamer camera add NAME URL")
        return
    table = Table("camera", "state", "source", "pipeline", "lines", "zones", "masks")
    for row in rows:
        broken_file = "broken: see above" if row["url"] is None else f"broken: {row['problem']}"
        cells = (
            row["name"],
            row["state"],
            broken_file if row["problem"] else row["url"],
            row["pipeline"],
            row["lines"],
            row["zones"],
            row["masks"],
        )
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    Console().print(table)


def _row(camera: CameraConfig, running: dict[str, Any]) -> dict[str, Any]:
    state = running.get("state") or ("not running" if camera.enabled else "disabled")
    return {
        "name": camera.name,
        "state": state,
        "enabled": camera.enabled,
        "url": camera.url,
        "pipeline": camera.pipeline,
        "lines": len(camera.rules.lines),
        "zones": len(camera.rules.zones),
        "masks": len(camera.rules.masks),
        "problem": str(running.get("detail")) if state == "misconfigured" else "",
    }


def _broken_row(name: str, fault: str, running: dict[str, Any]) -> dict[str, Any]:
    """Of a camera whose file cannot be used: what a daemon that goes on with it knows."""
    known = {"enabled": running.get("enabled"), "url": None, "pipeline": running.get("pipeline")}
    unknown = {"lines": None, "zones": None, "masks": None}
    return {
        "name": name,
        "state": running.get("state") or "not running",
        **known,
        **unknown,
        "problem": fault,
    }


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(store: ConfigStore, name: str, as_json: bool) -> None:
    """Show all settings of a camera; never its password."""
    config, camera = store.load_with(name)
    data = camera.model_dump(mode="json")
    for kind in REVISED:
        for item in data["rules"][kind]:
            del item["rev"]  # of the daemon's records, not of the file
    data["credentials"] = _credentials(store, name)
    data["running"] = daemon.camera_status(config, name)
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    if not data["running"]:
        data["running"] = "no daemon is running"
    click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100).rstrip())


def _credentials(store: ConfigStore, name: str) -> dict[str, str]:
    try:
        secrets = SecretStore(store)
    except ConfigError as error:  # not for this user's eyes, or a file to be mended
        return {"error": str(error)}
    place, fixed = secrets.fixed(name)
    login = fixed or secrets.credentials(name)
    if not login:
        return {}
    shown = {key: HIDDEN for key in ("username", "password") if getattr(login, key) is not None}
    return {**shown, "from": place or str(secrets.own_path)}
