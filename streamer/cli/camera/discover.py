"""`streamer camera discover`: which ONVIF cameras are on the network, and which of them are added."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import click

from streamer.cli.camera.onvif import read_password
from streamer.cli.click_types import Finite, ca_option
from streamer.config.schema import CameraConfig
from streamer.config.store import ConfigStore
from streamer.errors import SourceError
from streamer.sources.limits import HOW_NETWORKS, SourceLimits, written_address
from streamer.sources.onvif.discovery import SECONDS, Announced, discover, interfaces
from streamer.sources.onvif.lookup import open_device
from streamer.sources.onvif.profiles import Profile
from streamer.sources.onvif.soap import Login
from streamer.sources.tls import tls_context
from streamer.sources.urls import check_ca, host_and_port, lookup_scheme, with_host

ASKED_AT_A_TIME = 8
MAX_SECONDS = 60


@dataclass(slots=True)
class Row:
    """A device, the cameras that it is, and what it says of its profiles where it was asked.

    `moved`: cameras that were this device at another address. `replaced`: cameras at its address that were
    another device when they were added.
    """

    device: Announced
    allowed: bool
    cameras: list[str] = field(default_factory=list)
    moved: list[CameraConfig] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    profiles: list[Profile] | None = None
    problem: str = ""


@click.command("discover")
@click.option("--interface", "names", multiple=True, help="Only on this network interface; may be repeated.")
@click.option(
    "--seconds", type=Finite(0.5, MAX_SECONDS), default=SECONDS, show_default=True, help="How long to listen."
)
@click.option("--username", help="Ask each camera for its profiles, as this user.")
@click.option("--password-stdin", is_flag=True, help="Read that user's password from standard input.")
@ca_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def discover_(
    store: ConfigStore,
    names: tuple[str, ...],
    seconds: float,
    username: str | None,
    password_stdin: bool,
    ca: str,
    as_json: bool,
) -> None:
    """Look for ONVIF cameras on the local network, and say which are added already.

    The probe goes by multicast to the networks of this box alone; no router passes it on. With --username
    each camera that answers is asked for its profiles; the password is sent as a digest, never as it is.
    """
    password = read_password(password_stdin)
    limits = store.settings().sources.limits
    if ca:
        check_ca(ca)
        tls_context(ca, "camera discover")  # said before anything is asked
    on = interfaces(names)
    rows = _rows(discover(on, seconds), store.load_partly()[0].cameras, limits)
    if username is not None or password is not None:
        _ask_all(rows, Login(username or "", password or ""), limits, ca)
    if as_json:
        click.echo(json.dumps({"interfaces": on, "devices": [_data(row) for row in rows]}, indent=2))
        return
    for row in rows:
        click.echo("\n".join(_lines(row)))
    click.echo(_next(rows, on, seconds), err=not rows)


def _rows(devices: Sequence[Announced], cameras: Sequence[CameraConfig], limits: SourceLimits) -> list[Row]:
    rows = [Row(device, limits.allows(device.at.host)) for device in devices]
    for camera in cameras:
        if lookup_scheme(camera.url).network:
            _find(camera, rows)
    return rows


def _find(camera: CameraConfig, rows: Sequence[Row]) -> None:
    """A device may answer by IPv4 and by IPv6: it has moved where it answers no more at its address."""
    place = written_address(host_and_port(camera.url)[0])
    known = camera.source.onvif
    stays = any(row.device.endpoint == known and row.device.at.host == place for row in rows)
    for row in rows:
        _compare(row, camera, place, stays)


def _compare(row: Row, camera: CameraConfig, place: str | None, stays: bool) -> None:
    known = camera.source.onvif
    same_place = place == row.device.at.host
    same_device = bool(known) and known == row.device.endpoint
    if same_device and not same_place and place and not stays:
        row.moved.append(camera)
    elif same_place and known and row.device.endpoint and not same_device:
        row.replaced.append(camera.name)
    elif same_place or same_device:
        row.cameras.append(camera.name)


def _ask_all(rows: Sequence[Row], login: Login, limits: SourceLimits, ca: str) -> None:
    with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:
        for _ in pool.map(lambda row: _ask(row, login, limits, ca), [row for row in rows if row.allowed]):
            pass


def _ask(row: Row, login: Login, limits: SourceLimits, ca: str) -> None:
    try:
        row.profiles = open_device(row.device.at, login, limits, ca=ca).profiles()
    except SourceError as error:
        row.problem = str(error)


def _data(row: Row) -> dict[str, Any]:
    device = row.device
    return {
        "url": str(device.at),
        "address": device.at.host,
        "port": device.at.port,
        "name": device.name,
        "hardware": device.hardware,
        "location": device.location,
        "endpoint": device.endpoint,
        "allowed": row.allowed,
        "cameras": row.cameras,
        "moved": [camera.name for camera in row.moved],
        "replaced": row.replaced,
        "profiles": None if row.profiles is None else [dataclasses.asdict(p) for p in row.profiles],
        "problem": row.problem,
    }


def _lines(row: Row) -> Iterator[str]:
    device = row.device
    what = ", ".join(text for text in (device.name, device.hardware, device.location) if text)
    added = f"; camera {', '.join(row.cameras)}" if row.cameras else ""
    yield f"{device.at}  {what or 'says no name'}{added}"
    for profile in row.profiles or ():
        yield f"    {profile}"
    for name in row.replaced:
        yield f"    warning: this is where camera {name} is read, and it was another device when it was added"
    for camera in row.moved:
        yield f"    camera {camera.name} has another address now: {_new_address(camera, device.at.host)}"
    if not row.allowed:
        yield f"    no camera may be there: {HOW_NETWORKS}"
    if row.problem:
        yield f"    {row.problem}"


def _new_address(camera: CameraConfig, host: str) -> str:
    return f"streamer camera set {camera.name} 'url={with_host(camera.url, host)}'"


def _next(rows: Sequence[Row], on: Mapping[str, Sequence[str]], seconds: float) -> str:
    if rows:
        return "add one: streamer camera add NAME URL --username USER --password-stdin"
    where = ", ".join(f"{name} ({', '.join(addresses)})" for name, addresses in on.items())
    return (
        f"no ONVIF camera answered within {seconds:g} s on {where}: are ONVIF and its discovery switched on "
        "in the camera, is it in this network, does a firewall keep its UDP answers from this box?"
    )
