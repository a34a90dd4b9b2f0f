"""`streamer site add|remove|place|apply|drain`: which cameras the site has, and where they may run."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from streamer.api import control_socket as control
from streamer.api.capacity.use import camera_uses
from streamer.cli.click_types import Finite
from streamer.cli.site.opening import open_site, owners, pairs
from streamer.config.store import ConfigStore
from streamer.config.validation_errors import explain
from streamer.errors import ConfigError, RunningError, SiteError
from streamer.site import placing
from streamer.site.cluster import NotReached
from streamer.site.configuration import SiteCamera, read_folder, remove_camera, write_camera
from streamer.site.opened import OpenSite

_on = click.option(
    "--on", multiple=True, metavar="LABEL=VALUE", help="A label its box must have; may be repeated."
)


@click.command()
@click.argument("name")
@click.argument("url")
@click.option("--cost", type=Finite(0.001), help="Cores that it takes; else what it takes of this box now.")
@_on
@click.pass_obj
def add(store: ConfigStore, name: str, url: str, cost: float | None, on: tuple[str, ...]) -> None:
    """Add the camera NAME at URL to the site: write site.d/NAME.yaml, and ask the cluster for a place.

    Its login stands in secrets.yaml of each box that may run it, never here.
    """
    site = open_site(store)
    _refuse_part(site)
    camera = _checked(
        name=name, url=url, cost=_cost(site, name) if cost is None else cost, on=pairs(on, "--on")
    )
    write_camera(site.folder.cameras, camera, replace=False)
    _apply(site, published=False)
    click.echo(f"camera {name} added to site {site.settings.site}; `streamer site status` shows where it is")


@click.command()
@click.argument("name")
@click.pass_obj
def remove(store: ConfigStore, name: str) -> None:
    """Remove the camera NAME from the site, and from the box that runs it. What it counted stays."""
    site = open_site(store)
    _refuse_part(site)
    remove_camera(site.folder.cameras, name)
    _apply(site, published=False)
    click.echo(f"camera {name} removed from site {site.settings.site}")


@click.command()
@click.argument("name")
@_on
@click.pass_obj
def place(store: ConfigStore, name: str, on: tuple[str, ...]) -> None:
    """Let the camera NAME run only on boxes with these labels; without --on, on any.

    streamer-node=BOX is a label that every box has. It moves where it must, and counts on until then.
    """
    site = open_site(store)
    _refuse_part(site)
    known = {camera.name: camera for camera in read_folder(site.folder.cameras)}
    if name not in known:
        raise ConfigError(
            f"no camera {name[:64]!r} in the site; known: {', '.join(known) or 'there is none'}"
        )
    labels = pairs(on, "--on")
    write_camera(site.folder.cameras, _checked(**_given(known[name]) | {"on": labels}), replace=True)
    _apply(site, published=False)
    where = ", ".join(on) or "any box"
    click.echo(f"camera {name} may run on {where}; `streamer site status` shows where it is")


@click.command()
@click.option("--published", is_flag=True, help="Leave out site.d: place what was published last.")
@click.option("--remove", "removing", is_flag=True, help="Also remove cameras that have no file any more.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def apply(store: ConfigStore, published: bool, removing: bool, as_json: bool) -> None:
    """Make the site equal to the files in site.d, as after a `git pull`: publish them, place and remove."""
    site = open_site(store)
    if not (published or removing):
        _refuse_part(site)
    changes = _apply(site, published)
    if as_json:
        click.echo(json.dumps(vars(changes)))
        return
    for what, cameras in vars(changes).items():
        click.echo(f"{what}: {', '.join(cameras) or 'none'}")


@click.command()
@click.argument("node")
@click.option("--end", is_flag=True, help="Let it have cameras again.")
@click.pass_obj
def drain(store: ConfigStore, node: str, end: bool) -> None:
    """Empty the box NODE, for work on it: others take its cameras, each of which goes on until then.

    It gets none until `streamer site drain NODE --end`, also over restarts.
    """
    site = open_site(store)
    if end:
        site.redis().set_drained(node, 0)
        click.echo(f"{node} may have cameras again; what runs elsewhere stays there")
        return
    with site.placer() as placer:
        cluster = site.table()
        table = cluster.table()
        box = table.box(node)
        if box is None:
            known = sorted(box.name for box in table.boxes if box.alive and box.name)
            raise SiteError(f"no box {node[:64]!r} in the site; known: {', '.join(known)}")
        site.redis().set_drained(node, time.time_ns())
        if box.capacity:
            cluster.drain(box.id)
        moving = placing.place_elsewhere(placer, table, box)
        staying = placing.without_place(cluster, moving)
    moved = [camera for camera in moving if camera not in staying]
    click.echo(f"{node} is drained; moving: {', '.join(moved) or 'none'}")
    for camera, why in staying.items():
        click.echo(f"{camera} goes on at {node} until there is a place: {why}")


def _refuse_part(site: OpenSite) -> None:
    """A folder that lacks cameras of the site is another box's, or somebody lost files: publishing it would
    remove them. Raises ConfigError."""
    folder = site.folder.cameras
    lost = sorted(site.redis().cameras().keys() - {camera.name for camera in read_folder(folder)})
    if lost:
        raise ConfigError(
            f"{folder} lacks {', '.join(lost[:5])}, which the site has: give commands on the box that keeps "
            "site.d; only there, and only where these are to leave the site, `streamer site apply --remove`"
        )


def _apply(site: OpenSite, published: bool) -> placing.Changes:
    """Raises ConfigError for the folder, before anything is changed."""
    cameras = [] if published else read_folder(site.folder.cameras)
    redis = site.redis()
    if not published:
        redis.publish(cameras)
    wanted = redis.cameras()
    try:
        with site.placer() as placer:
            return placing.apply(placer, site.table(), wanted, owners(redis, wanted))
    except NotReached as error:
        raise NotReached(
            f"{error}; the site's cameras are as you said, and what is new is placed once the head's agent "
            "runs; for the rest run `streamer site apply` then"
        ) from error


def _cost(site: OpenSite, name: str) -> float:
    """What the camera takes of this box, where it runs here. Raises ConfigError where nothing tells."""
    try:
        status = control.call(site.config.control_path, "status")
    except RunningError:
        status = {}
    for use in camera_uses(status, site.config):
        if use.name == name:
            return round(use.needs(), 3)
    raise ConfigError(
        f"camera {name}: its cost is not known: give --cost CORES, as `streamer capacity` has it for its kind"
    )


def _given(camera: SiteCamera) -> dict[str, Any]:
    return camera.model_dump(mode="json", exclude_unset=True)


def _checked(**values: Any) -> SiteCamera:
    """Raises ConfigError, which names what is wrong."""
    from pydantic import ValidationError

    try:
        return SiteCamera.model_validate(values)
    except ValidationError as error:
        at, text = explain(error, SiteCamera)
        raise ConfigError(f"{'.'.join(map(str, at))}: {text}") from None
