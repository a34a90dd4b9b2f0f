"""`streamer line|zone|mask`: what is drawn into a camera's picture.

Points are shares of the picture (x right, y down, 0 to 1), or pixels of the camera with --pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipelines.rules import check_name
from streamer.cli.camera_picture import picture_size
from streamer.cli.change import send_change
from streamer.cli.click_types import split_words
from streamer.cli.lazy_group import Entry, LazyGroup
from streamer.cli.lenient_config import present
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError

Pair = tuple[float, float]
Command = Callable[..., Any]

DEFAULT_DIRECTIONS = ("left-to-right", "right-to-left")


def parse_point(text: str) -> Pair:
    """ "0.5,0.25" as (0.5, 0.25). Raises ConfigError, also for what is not a finite number."""
    parts = text.split(",")
    try:
        x, y = (float(part) for part in parts)
    except ValueError as error:
        raise ConfigError(f"point {text[:40]!r}: a point is x,y, such as 0.5,0.25") from error
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ConfigError(f"point {text[:40]!r}: x and y must be finite numbers")
    return x, y


def normalised(points: Sequence[Pair], size: tuple[int, int] | None) -> list[Pair]:
    """Points as shares of the picture; `size` is (width, height) where they are pixels.

    Raises ConfigError for a point outside the picture.
    """
    result = []
    for x, y in points:
        if size is not None:
            width, height = size
            if not (0 <= x <= width and 0 <= y <= height):
                raise ConfigError(f"point {x:g},{y:g} lies outside the picture of {width}x{height} pixels")
            result.append((round(x / width, 6), round(y / height, 6)))
        elif not (0 <= x <= 1 and 0 <= y <= 1):
            hint = "; for pixels add --pixels" if max(x, y) > 1 and min(x, y) >= 0 else ""
            raise ConfigError(
                f"point {x:g},{y:g} lies outside the picture: x and y are shares of it, from 0 to 1{hint}"
            )
        else:
            result.append((x, y))
    return result


def _points_options(command: Command) -> Command:
    for option in (
        click.option("--pixels", is_flag=True, help="Points are pixels of the camera's own picture."),
        click.option("--class", "--classes", "classes", help="Only these classes or groups: person,vehicle"),
        click.option("--replace", is_flag=True, help="Move one that exists: its total starts anew."),
        # so that -0.5,0.2 is a point outside the picture and not an unknown option
        click.argument("points", nargs=-1, required=True, type=click.UNPROCESSED),
        click.argument("name"),
        click.argument("camera"),
    ):
        command = option(command)
    return command


def _add(
    store: ConfigStore, kind: str, camera_name: str, item: dict[str, Any], pixels: bool, replace: bool
) -> None:
    config, camera = store.load_with(camera_name)
    _refuse_early(kind, item)
    points = [parse_point(text) for text in item["points"]]
    size = picture_size(store, config, camera) if pixels else None
    item["points"] = normalised(points, size)
    change = {"op": f"{kind}.put", "camera": camera_name, kind: item, "replace": replace}
    send_change(store, change, f"{kind} {item['name']} saved for camera {camera_name}")


def _refuse_early(kind: str, item: dict[str, Any]) -> None:
    """Names and numbers of points, in the words of the command line. Raises ConfigError."""
    names = {f"{kind} name": item["name"]}
    names |= {
        f"direction --{key.replace('_', '-')}": item[key]
        for key in ("left_to_right", "right_to_left")
        if key in item
    }
    try:
        for what, name in names.items():
            check_name(name, what)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if kind == "line" and len(item["points"]) < 2:
        raise ConfigError("a line needs at least two points, as x1,y1 x2,y2")
    if kind != "line" and len(item["points"]) < 3:
        raise ConfigError(f"a {kind} needs at least three points, its corners in order, as x1,y1 x2,y2 x3,y3")


def _remove(store: ConfigStore, kind: str, camera: str, name: str) -> None:
    change = {"op": f"{kind}.remove", "camera": camera, "name": name}
    send_change(store, change, f"{kind} {name} of camera {camera} removed")


def _list(store: ConfigStore, kind: str, camera_name: str | None, as_json: bool) -> None:
    cameras = present(store).cameras if camera_name is None else (store.load_with(camera_name)[1],)
    found = [
        {"camera": camera.name, **item.model_dump(mode="json", exclude={"rev"})}
        for camera in cameras
        for item in getattr(camera.rules, f"{kind}s")
    ]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo(f"no {kind}s; add one: streamer {kind} add CAMERA NAME x1,y1 x2,y2 …")
        return
    table = Table(
        "camera", kind, *(("left to right", "right to left") if kind == "line" else ()), "classes", "points"
    )
    for item in found:
        directions = (item["left_to_right"], item["right_to_left"]) if kind == "line" else ()
        points = " ".join(f"{x:g},{y:g}" for x, y in item["points"])
        table.add_row(item["camera"], item["name"], *directions, ", ".join(item["classes"]) or "all", points)
    Console().print(table)


def _directions(inward: str | None, left_to_right: str | None, right_to_left: str | None) -> tuple[str, str]:
    """The names of the two directions. `inward` says which of them is `in`; the other is `out` then."""
    if inward is None:
        return left_to_right or DEFAULT_DIRECTIONS[0], right_to_left or DEFAULT_DIRECTIONS[1]
    if left_to_right or right_to_left:
        raise click.UsageError("--in names both directions: leave --left-to-right and --right-to-left away")
    return ("in", "out") if inward == "right" else ("out", "in")


def _rename(store: ConfigStore, kind: str, camera: str, name: str, to: str) -> None:
    try:
        check_name(to, f"{kind} name")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    change = {"op": f"{kind}.rename", "camera": camera, "name": name, "to": to}
    send_change(store, change, f"{kind} {name} of camera {camera} is now {to}")


# An unknown option could be a negative number: points may lie outside the picture, and are told so.
_NUMBERS = {"ignore_unknown_options": True}


@click.group(
    cls=LazyGroup,
    table={"suggest": Entry("streamer.cli.suggest:suggest", "Propose lines that most tracks cross cleanly.")},
)
def line() -> None:
    """Counting lines. Left and right are as seen walking from the first point to the second."""


@line.command("add", context_settings=_NUMBERS)
@_points_options
@click.option(
    "--in", "inward", type=click.Choice(["left", "right"]), help="The side that is inside: in and out."
)
@click.option("--left-to-right", metavar="NAME", help="Name of the direction, such as northbound.")
@click.option("--right-to-left", metavar="NAME", help="Name of the other direction.")
@click.option(
    "--anchor", type=click.Choice(["auto", "foot", "center", "top"]), default="auto", help="What must cross."
)
@click.pass_obj
def add_line(
    store: ConfigStore,
    camera: str,
    name: str,
    points: tuple[str, ...],
    replace: bool,
    classes: str | None,
    pixels: bool,
    inward: str | None,
    left_to_right: str | None,
    right_to_left: str | None,
    anchor: str,
) -> None:
    """Add a line: CAMERA NAME x1,y1 x2,y2 [x3,y3 …]."""
    first, second = _directions(inward, left_to_right, right_to_left)
    item = {
        "name": name,
        "points": points,
        "left_to_right": first,
        "right_to_left": second,
        "classes": split_words(classes),
        "anchor": anchor,
    }
    _add(store, "line", camera, item, pixels, replace)


@click.group()
def zone() -> None:
    """Zones: entered, left, and how many are inside."""


@zone.command("add", context_settings=_NUMBERS)
@_points_options
@click.option(
    "--anchor",
    type=click.Choice(["auto", "foot", "center", "top"]),
    default="auto",
    help="What must be inside.",
)
@click.pass_obj
def add_zone(
    store: ConfigStore,
    camera: str,
    name: str,
    points: tuple[str, ...],
    replace: bool,
    classes: str | None,
    pixels: bool,
    anchor: str,
) -> None:
    """Add a zone: CAMERA NAME x1,y1 x2,y2 x3,y3 …, its corners in order."""
    item = {"name": name, "points": points, "classes": split_words(classes), "anchor": anchor}
    _add(store, "zone", camera, item, pixels, replace)


@click.group()
def mask() -> None:
    """Masks: what is detected inside is ignored."""


@mask.command("add", context_settings=_NUMBERS)
@_points_options
@click.pass_obj
def add_mask(
    store: ConfigStore,
    camera: str,
    name: str,
    points: tuple[str, ...],
    replace: bool,
    classes: str | None,
    pixels: bool,
) -> None:
    """Add a mask: CAMERA NAME x1,y1 x2,y2 x3,y3 …, its corners in order."""
    _add(
        store,
        "mask",
        camera,
        {"name": name, "points": points, "classes": split_words(classes)},
        pixels,
        replace,
    )


def _complete(group: click.Group, kind: str) -> None:
    """`list` and `remove`, which are the same for all three."""

    @group.command("list", help=f"List the {kind}s of a camera, or of all.")
    @click.argument("camera", required=False)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.pass_obj
    def list_items(store: ConfigStore, camera: str | None, as_json: bool) -> None:
        _list(store, kind, camera, as_json)

    @group.command("remove", help=f"Remove a {kind} from a camera.")
    @click.argument("camera")
    @click.argument("name")
    @click.pass_obj
    def remove_item(store: ConfigStore, camera: str, name: str) -> None:
        _remove(store, kind, camera, name)


def _add_rename(group: click.Group, kind: str) -> None:
    """For what counts: a mask has nothing that would go with it."""

    @group.command("rename", help=f"Give a {kind} another name. What it has counted goes with it.")
    @click.argument("camera")
    @click.argument("name")
    @click.argument("to")
    @click.pass_obj
    def rename_item(store: ConfigStore, camera: str, name: str, to: str) -> None:
        _rename(store, kind, camera, name, to)


for _group, _kind in ((line, "line"), (zone, "zone"), (mask, "mask")):
    _complete(_group, _kind)
for _group, _kind in ((line, "line"), (zone, "zone")):
    _add_rename(_group, _kind)
