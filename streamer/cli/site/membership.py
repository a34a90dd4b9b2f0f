"""`streamer site init|invite|join|leave`: which boxes are in the site. They write files; the agent acts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from streamer.api.capacity.box import measure_box
from streamer.cli.click_types import Finite
from streamer.cli.site.opening import configuration, open_site, pairs
from streamer.config.store import ConfigStore
from streamer.config.validation_errors import explain
from streamer.errors import ConfigError, SiteError
from streamer.ipc.atomic_write import write_atomically
from streamer.site import keys
from streamer.site.agent_lock import as_only_agent
from streamer.site.agent_memory import FILE_NAME, AgentMemory
from streamer.site.agent_process import hand_over
from streamer.site.cluster import Table
from streamer.site.cluster_table import GcsTable
from streamer.site.opened import OpenSite
from streamer.site.settings import SiteFolder, SiteSettings, ip_of
from streamer.site.site_redis import SiteRedis
from streamer.sources.room import MAX_LOAD

DEFAULT_PORT = 6380  # beside a Redis's 6379, which Ray's own default is too
HAND_OVER_S = 30.0  # for other boxes to find room and open the cameras
EVERYBODYS = ("127.0.0.1", "localhost", "::1")
SHARED = (keys.TOKEN, keys.CA, keys.REDIS)  # what all boxes of a site have alike
END_AGENT = "end it first (`systemctl disable --now streamer-site`), or it would start this box's Ray again"
NEXT = "now `systemctl enable --now streamer-site`, or run `streamer site agent` here"

_capacity = click.option(
    "--capacity",
    type=Finite(0.01),
    help="Cores that its cameras may take; else what others leave of the box's.",
)
_labels = click.option("--label", "labels", multiple=True, metavar="LABEL=VALUE", help="May be repeated.")


@click.command()
@click.argument("site")
@click.option("--address", required=True, help="Where the other boxes reach this one.")
@click.option("--redis", "redis_url", required=True, help="The site's Redis, which all boxes reach: its URL.")
@click.option("--node", help="This box's name in the site; else head.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
@click.option("--store", default="", help="HOST:PORT of a Redis that keeps the head's table over a restart.")
@_capacity
@_labels
@click.pass_obj
def init(
    store_: ConfigStore,
    site: str,
    address: str,
    redis_url: str,
    node: str | None,
    port: int,
    store: str,
    capacity: float | None,
    labels: tuple[str, ...],
) -> None:
    """Make this box the head of the new SITE: its token, its certificates and its settings.

    Ray listens on all of the box's interfaces; who has neither token nor certificate is refused.
    """
    folder = SiteFolder(store_.folder)
    _refuse_second(folder)
    settings = _checked(
        site=site,
        node=node or "head",
        address=address,
        head=f"{address}:{port}",
        is_head=True,
        capacity=_usable() if capacity is None else capacity,
        labels=pairs(labels, "--label"),
        store=store,
    )
    SiteRedis(redis_url, site).signs()
    keys.make_site_keys(folder, site)
    folder.write_key(keys.REDIS, redis_url)
    _keep_pair(folder, *keys.sign_for(folder, settings.node, address))
    folder.write(settings)
    _warn(settings, store_)
    click.echo(
        f"site {site} made; this box is its head, with {settings.capacity:g} cores for cameras; {NEXT}"
    )


@click.command()
@click.argument("node")
@click.argument("address")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; else NODE.invitation.")
@click.pass_obj
def invite(store: ConfigStore, node: str, address: str, out: Path | None) -> None:
    """Write what the box NODE, which is reached at ADDRESS, joins with. To be run at the head.

    The file opens the site: carry it over a safe way (scp), and remove it then.
    """
    folder = SiteFolder(store.folder)
    settings = folder.settings()
    _checked(site=settings.site, node=node, address=address, head=settings.head, capacity=0)
    if node == settings.node:
        raise ConfigError(f"{node} is this box's own name: give the other one a name of its own")
    try:
        table = OpenSite(store.folder, configuration(store)).table().table()
    except SiteError:
        pass  # it does not answer: the head is asked again when the box joins
    else:
        _refuse_name_of_another(table, node, address)
    certificate, key = keys.sign_for(folder, node, address)
    own = {keys.CERTIFICATE: certificate, keys.KEY: key}
    files = {name: folder.key(name) for name in SHARED} | own
    invitation = {
        "site": settings.site,
        "node": node,
        "address": address,
        "head": settings.head,
        "keys": files,
    }
    path = out or Path(f"{node}.invitation")
    write_atomically(path, json.dumps(invitation, indent=1) + "\n", 0o600)
    click.echo(f"{path} written: copy it to {node}, and run `streamer site join {path.name}` there")


@click.command()
@click.argument("invitation", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_capacity
@_labels
@click.pass_obj
def join(store: ConfigStore, invitation: Path, capacity: float | None, labels: tuple[str, ...]) -> None:
    """Let this box join the site of an INVITATION. It asks the head first whether it may."""
    folder = SiteFolder(store.folder)
    _refuse_second(folder)
    told = _invitation(invitation)
    files: dict[str, str] = told.pop("keys")
    cores = _usable() if capacity is None else capacity
    settings = _checked(**told, capacity=cores, labels=pairs(labels, "--label"))
    _ask_head(settings, files)
    SiteRedis(files[keys.REDIS], settings.site).signs()
    for name, text in files.items():
        folder.write_key(name, text)
    folder.write(settings)
    _warn(settings, store)
    click.echo(f"joined site {settings.site} as {settings.node}, with {settings.capacity:g} cores; {NEXT}")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def leave(store: ConfigStore, yes: bool) -> None:
    """Take this box out of its site: its Ray ends, and others take its cameras. End its agent first.

    Each camera goes on here until another box sees it; those that none has taken are named, and stay its own.
    """
    site = open_site(store)
    name = site.settings.node
    with as_only_agent(site.config.state_path, END_AGENT):
        if site.settings.is_head and not yes:
            click.confirm("this is the head: without it no camera is placed any more. Go on?", abort=True)
        site.processes().stop()
        left = _handed_over(site)
        site.redis().forget_box(name)
        _forget(site)
    click.echo(f"{name} has left site {site.settings.site}")
    if left:
        click.echo(f"it still counts {', '.join(left)}: run `streamer camera remove` for each that moved on")


def _handed_over(site: OpenSite) -> list[str]:
    """The cameras that no other box has taken."""
    held = AgentMemory(site.config.state_path / FILE_NAME).cameras()
    if not held or site.settings.is_head:  # without a head nobody takes anything
        return held
    click.echo(f"others take {', '.join(held)}: waiting for that, {HAND_OVER_S:g} s at most", err=True)
    return hand_over(site, HAND_OVER_S)


def _warn(settings: SiteSettings, store: ConfigStore) -> None:
    if not any(sink.address for sink in configuration(store).redis_sinks):
        click.echo(
            "warning: this box's daemon has no Redis that other boxes reach as a sink: what it counts is not "
            "in `streamer counts --site` until it has the site's (`sinks` in streamer.yaml; docs/site.md)",
            err=True,
        )
    if not settings.capacity:
        click.echo(
            "warning: other programs leave none of this box's cores, and no camera is placed here: set "
            "`capacity` in site.yaml, or begin again with --capacity CORES",
            err=True,
        )
    found = ip_of(settings.address)
    if found is not None and found.is_global:
        click.echo(
            f"warning: {settings.address} is a public address, and Ray listens on all of this box's: let the "
            "firewall admit the site's boxes alone (docs/site.md says which ports)",
            err=True,
        )


def _forget(site: OpenSite) -> None:
    shutil.rmtree(site.folder.keys)
    for path in (site.folder.settings_file, site.config.state_path / FILE_NAME):
        path.unlink(missing_ok=True)


def _refuse_second(folder: SiteFolder) -> None:
    if folder.exists():
        name = folder.settings().site
        raise ConfigError(f"this box is in site {name} already: `streamer site leave` first")


def _checked(**values: Any) -> SiteSettings:
    """Raises ConfigError, which names what is wrong."""
    try:
        settings = SiteSettings(**values)
    except ValidationError as error:
        place, text = explain(error, SiteSettings)
        raise ConfigError(f"{'.'.join(map(str, place))}: {text}") from None
    if settings.address in EVERYBODYS:
        raise ConfigError(
            f"address: {settings.address} is every box's own, and Ray takes another for it: write the one at "
            "which the other boxes reach this box (boxes on one machine: 127.0.1.1, 127.0.1.2, …)"
        )
    return settings


def _usable() -> float:
    """What other programs leave of the cores up to which a box keeps up, as `streamer capacity` has it."""
    use = measure_box(())
    return round(max(0.0, use.cores * MAX_LOAD - use.others), 2)


def _keep_pair(folder: SiteFolder, certificate: str, key: str) -> None:
    folder.write_key(keys.CERTIFICATE, certificate)
    folder.write_key(keys.KEY, key)


def _invitation(path: Path) -> dict[str, Any]:
    """Raises ConfigError for what is none."""
    wanted = {"site", "node", "address", "head", "keys"}
    try:
        told = json.loads(path.read_text())
        if (
            isinstance(told, dict)
            and set(told) == wanted
            and {*SHARED, keys.CERTIFICATE, keys.KEY} == set(told["keys"])
        ):
            return told
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{os.fspath(path)}: cannot be read as an invitation ({error})") from error
    raise ConfigError(
        f"{os.fspath(path)}: is no invitation: make one with `streamer site invite` at the head"
    )


def _ask_head(settings: SiteSettings, files: dict[str, str]) -> None:
    """Raises SiteError where it is not reached, or has a box of this name."""
    ca, certificate, key = (files[name].encode() for name in (keys.CA, keys.CERTIFICATE, keys.KEY))
    table = GcsTable(settings.head, files[keys.TOKEN], (ca, certificate, key)).table()
    _refuse_name_of_another(table, settings.node, settings.address)


def _refuse_name_of_another(table: Table, node: str, address: str) -> None:
    """Raises SiteError where a box that is up has one of the two, and not both."""
    for box in table.boxes:
        if box.alive and box.name == node and box.address != address:
            raise SiteError(f"the site has a box {node} at {box.address}: take another name")
        if box.alive and box.name != node and box.address == address:
            raise SiteError(f"{address} is the box {box.name}'s: each box has an address of its own")
