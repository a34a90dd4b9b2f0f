"""`streamer site status`: the boxes and what they have left, each camera, and why one waits."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
from rich import box as borders
from rich.console import Console
from rich.table import Table as RichTable

from streamer.cli.site.opening import open_site
from streamer.config.store import ConfigStore
from streamer.errors import RedisError
from streamer.site.cluster import Box, Table
from streamer.site.opened import OpenSite
from streamer.site.placement import CameraPlace, camera_places
from streamer.site.site_redis import Sign

MAX_SIGN_AGE_S = 10.0  # of an agent that gives one every 2 s
NS_PER_S = 1_000_000_000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(store: ConfigStore, as_json: bool) -> None:
    """Show the site's boxes and cameras: where each runs, in which term, and why one waits.

    While the site's Redis is away only the cluster's part is shown, and that is said.
    """
    site = open_site(store)
    table = site.table().table()
    places, signs, drained, fault = _shared(site, table)
    head = site.settings.head.rpartition(":")[0]
    boxes = [_box_row(box, signs.get(box.name), box.name in drained, head) for box in _newest(table)]
    cameras = [_with_fault(place, signs) for place in places]
    if as_json:
        rows = {"site": site.settings.site, "fault": fault, "boxes": boxes, "cameras": cameras}
        click.echo(json.dumps(rows, indent=2, default=dict))
        return
    _print(boxes, cameras, fault)


def _shared(site: OpenSite, table: Table) -> tuple[list[CameraPlace], dict[str, Sign], frozenset[str], str]:
    """What needs the site's Redis, and why it is missing."""
    redis = site.redis()
    try:
        wanted = redis.cameras()
        names = wanted.keys() | {placing.camera for placing in table.placings}
        terms = {name: redis.last_term(name) for name in names}
        return camera_places(table, wanted, terms), redis.signs(), redis.drained(), ""
    except RedisError as error:
        placed = [placing.camera for placing in table.placings]
        return camera_places(table, placed, {}), {}, frozenset(), f"terms are not known: {error}"


def _newest(table: Table) -> list[Box]:
    """One line a name: a box that was started again has left others behind."""
    by_name: dict[str, Box] = {}
    for box in table.boxes:
        if box.name and (box.alive or not by_name.get(box.name, box).alive):
            by_name[box.name] = box
    return [by_name[name] for name in sorted(by_name)]


def _box_row(box: Box, sign: Sign | None, drained: bool, head: str) -> dict[str, Any]:
    """`head`: the address of the head. Ray's own mark goes when the node there is started anew."""
    going = "drained" if drained else "draining" if box.draining else "alive"
    state = going if box.alive else "dead"
    return {
        "box": box.name,
        "state": state,
        "address": box.address,
        "capacity": round(box.capacity, 3),
        "free": round(box.free, 3),
        "labels": dict(box.labels),
        "is_head": box.is_head or box.address == head,
        "fault": _fault_of_box(box, sign),
    }


def _fault_of_box(box: Box, sign: Sign | None) -> str:
    if sign is None:
        nothing = "its agent has said nothing yet" if box.alive else ""  # a dead one has left
        return nothing if box.capacity else ""
    age_s = (time.time_ns() - sign.at_ns) / NS_PER_S
    if age_s > MAX_SIGN_AGE_S:
        return f"its agent has been silent for {age_s:.0f} s: run `streamer site agent` there"
    return sign.faults.get("", "")


def _with_fault(place: CameraPlace, signs: Mapping[str, Sign]) -> dict[str, Any]:
    sign = signs.get(place.box or place.runs_on)
    said = sign.faults.get(place.camera, "") if sign is not None else ""
    return {**asdict(place), "why": f"{place.box}: {said}" if said else place.why}


def _print(boxes: list[dict[str, Any]], cameras: list[dict[str, Any]], fault: str) -> None:
    console = Console(highlight=False)
    if fault:
        console.print(fault, style="red", markup=False)
    console.print(_table(boxes, ("box", "state", "address", "capacity", "free", "fault")))
    console.print(_table(cameras, ("camera", "doing", "box", "term", "cost", "why")))


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> RichTable:
    table = RichTable(box=borders.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    return table
