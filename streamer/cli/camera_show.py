"""`streamer camera list|show|test|snapshot`: looking at cameras without changing them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.camera_rules import REVISED
from pipelines.values import Image
from streamer.cli import daemon
from streamer.cli.lenient_config import present
from streamer.cli.output_paths import check_outputs
from streamer.clips import drawing
from streamer.config.schema import CameraConfig
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.daemon.operations import MAX_WIDTH
from streamer.errors import ConfigError, SourceError
from streamer.ipc.atomic_write import replacing
from streamer.ipc.messages import Transport
from streamer.logs import HIDDEN
from streamer.sources.probe import probe
from streamer.sources.report import ProbeReport
from streamer.sources.stream_selection import selection_note

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


def check_stream(
    url: str, as_json: bool = False, *, stream: int | None = None, transport: Transport = "auto"
) -> None:
    """Open `url`, print what it sends and what to know about it. Raises SourceError if it cannot be read."""
    report = probe(url, stream=stream, transport=transport)
    click.echo(json.dumps(_as_data(report), indent=2) if as_json else "\n".join(_lines(report)))
    if not report.ok:
        raise SourceError(report.problem)


def _as_data(report: ProbeReport) -> dict[str, Any]:
    return {"ok": report.ok, **dataclasses.asdict(report)}


def _lines(report: ProbeReport) -> Iterator[str]:
    for step in report.steps:
        if step.ok:  # the one that failed is the error at the end
            yield f"{step.name:6} ok    {step.detail} ({step.took_s:.1f} s)"
        else:
            yield f"{step.name:6} failed ({step.took_s:.1f} s)"
    if report.info and report.frames:
        gap = f"{'more than ' if report.keyframe_gap_open else ''}{report.keyframe_gap_s:.1f} s"
        yield (
            f"video  {report.info.codec} {report.info.width}x{report.info.height}, "
            f"{report.fps_measured:.1f} frames/s, key frame every {gap}, {report.bitrate_kbps:.0f} kbit/s, "
            f"{report.decode_cpu_ms:.1f} ms of CPU a picture"
        )
        which = selection_note(report.info.stream, report.info.videos)
        if which:
            yield f"note: {which}; the setting stream=N takes another"
    for advice in report.advice:
        yield f"{'note' if report.ok else 'try'}: {advice}"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(store: ConfigStore, as_json: bool) -> None:
    """List the cameras, with their states where a daemon runs."""
    config = present(store)
    running = {c.get("name"): c for c in (daemon.status(config) or {}).get("cameras", ())}
    found = [_row(camera, running.get(camera.name, {})) for camera in config.cameras]
    broken = store.broken_cameras()
    found += [_broken_row(name, str(fault), running.get(name, {})) for name, fault in broken.items()]
    found.sort(key=lambda row: str(row["name"]))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("no cameras; add one: streamer camera add NAME URL")
        return
    table = Table("camera", "state", "source", "pipeline", "lines", "zones", "masks")
    for row in found:
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
    told = {"enabled": running.get("enabled"), "url": None, "pipeline": running.get("pipeline")}
    unknown = {"lines": None, "zones": None, "masks": None}
    return {"name": name, "state": running.get("state") or "not running", **told, **unknown, "problem": fault}


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(store: ConfigStore, name: str, as_json: bool) -> None:
    """Show all settings of a camera; never its password."""
    config, camera = daemon.known_camera(store, name)
    found = camera.model_dump(mode="json")
    for kind in REVISED:
        for item in found["rules"][kind]:
            del item["rev"]  # of the daemon's records, not of the file
    found["credentials"] = _credentials(store, name)
    found["running"] = daemon.camera_status(config, name)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found["running"]:
        found["running"] = "no daemon is running"
    click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100).rstrip())


def _credentials(store: ConfigStore, name: str) -> dict[str, str]:
    try:
        known = SecretStore(store)
    except ConfigError as error:  # not for this user's eyes, or a file to be mended
        return {"error": str(error)}
    place, fixed = known.fixed(name)
    found = fixed or known.credentials(name)
    if not found:
        return {}
    shown = {key: HIDDEN for key in ("username", "password") if getattr(found, key) is not None}
    return {**shown, "from": place or str(known.own_path)}


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def test(store: ConfigStore, name: str, as_json: bool) -> None:
    """Open a camera and say what it sends: codec, size, rate, keyframes; and what to mend."""
    _, camera = daemon.known_camera(store, name)
    source = camera.source
    url = SecretStore(store).url(camera).reveal()
    check_stream(url, as_json, stream=source.stream, transport=source.transport)


@click.command()
@click.argument("name")
@click.option("--overlay", is_flag=True, help="Draw grid, lines with their directions, zones and masks.")
@click.option(
    "--width", type=click.IntRange(0, MAX_WIDTH), default=0, help="At most so many pixels wide; 0: full size."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A .jpg or .png; else NAME.jpg."
)
@click.pass_obj
def snapshot(store: ConfigStore, name: str, overlay: bool, width: int, output: Path | None) -> None:
    """Write the camera's next picture to a file."""
    config, camera = daemon.known_camera(store, name)
    path = output or Path(f"{name}.jpg")
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{path}: a picture's name ends in .jpg or .png")
    check_outputs((path,), (camera.url,))
    image = daemon.picture(store, config, camera, width)
    if overlay:
        drawing.draw_rules(image, camera.rules)
    _write_picture(path, image)
    click.echo(f"wrote {path} ({image.shape[1]}x{image.shape[0]})")


def _write_picture(path: Path, image: Image) -> None:
    _, raw = cv2.imencode(path.suffix.lower(), image)
    with replacing(path) as partial:
        partial.write_bytes(raw.tobytes())


LOOKING = (list_, show, test, snapshot)
