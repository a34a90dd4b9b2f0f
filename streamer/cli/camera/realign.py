"""`streamer camera realign`: lines taken along to where a camera's view lies now."""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.camera_rules import CameraRules
from pipelines.scene.health import small_grey
from pipelines.scene.realign import DRAWN, moved_rules
from pipelines.scene.view import Displacement, View, register
from pipelines.values import Image
from streamer.cli import camera_picture
from streamer.cli.camera.stream import PICTURE_SUFFIXES, write_picture
from streamer.cli.change import send_change
from streamer.cli.output_paths import check_outputs
from streamer.cli.people_option import camera_hider, hide_in, people_in, people_option
from streamer.clips import drawing
from streamer.config.schema import CameraConfig, Config, People
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, SourceError
from streamer.sources.kept_view import keep_view, kept_view, view_path

LOOK_WIDTH = 640  # as the capture worker looks at it
MIN_AGREEING = 20  # lines are moved by this: it must be surer than what is only told
MIN_MOVED = 0.004  # of the width, below which nothing is worth a new revision


@click.command()
@click.argument("name")
@click.option(
    "--yes", is_flag=True, help="Move lines, zones and masks along; without it they are only shown."
)
@click.option(
    "--as-is",
    is_flag=True,
    help="Leave the rules: they are right for the view of now, which is kept instead.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Before and after, a .jpg or .png.",
)
@people_option
@click.pass_obj
def realign(
    store: ConfigStore, name: str, yes: bool, as_is: bool, output: Path | None, people: People | None
) -> None:
    """Move the lines, zones and masks of a camera that was moved to where they belong now.

    Its present picture is registered against its reference view: shift, rotation and scale. With --yes the
    rules move under a new revision, and the present view becomes the reference.
    """
    config, camera = store.load_with(name)
    _check_output(output, camera)
    hider = camera_hider(store, camera, people_in(store, people, output, "-o"))
    picture = camera_picture.picture(store, config, camera, LOOK_WIDTH)
    now = View.of(small_grey(picture))
    path = view_path(config.state_path, name)
    if as_is:
        keep_view(path, camera.url, now)
        click.echo(f"the view of now is what camera {name} is compared with from here on; its rules stay")
        return
    found = _registered(config, camera, now)
    try:
        rules = moved_rules(camera.rules, found, now.aspect)
    except ValueError as error:
        raise ConfigError(f"camera {name}: {error}") from error
    _show(camera, found, rules)
    if output is not None:
        hidden = hide_in(picture, hider)  # after it was registered, by all that it shows
        _write_picture(output, picture, camera.rules, rules)
        click.echo(f"wrote {output}: before on the left, after on the right{hidden}")
    if not yes:
        click.echo("nothing is changed: --yes moves them")
        return
    values = {f"rules.{key}": part for key, part in _drawn(rules).items()}
    request = {"op": "camera.set", "name": name, "values": values}
    send_change(store, request, f"camera {name} realigned", before=camera)
    keep_view(path, camera.url, now)


def _registered(config: Config, camera: CameraConfig, now: View) -> Displacement:
    """Where the view of now lies. Raises SourceError where that is not sure, ConfigError where there is no
    reference, or nothing to do."""
    path = view_path(config.state_path, camera.name)
    before = kept_view(path, camera.url)
    if before is None:
        raise ConfigError(
            f"camera {camera.name}: no reference view is kept at {path}: it must have been live once, with "
            "health.enabled; draw its lines anew"
        )
    found = register(before, now)
    if found is None or not found.sure or found.agreeing < MIN_AGREEING:
        agreeing = found.agreeing if found is not None else 0
        raise SourceError(
            f"camera {camera.name}: its picture cannot be registered against its reference view ({agreeing} "
            f"features agree, {MIN_AGREEING} are needed): try in the light of day, or draw its lines anew "
            "and use --as-is"
        )
    if found.moved < MIN_MOVED:
        raise ConfigError(f"camera {camera.name}: its view is where it was: there is nothing to realign")
    return found


def _drawn(rules: CameraRules) -> dict[str, object]:
    """The parts of rules that have places, as the files have them."""
    data = rules.model_dump(mode="json")
    kept: dict[str, object] = {kind: data[kind] for kind in DRAWN if data[kind]}
    if data["calibration"] is not None:
        kept["calibration"] = data["calibration"]
    if not isinstance(rules.region, str):
        kept["region"] = data["region"]
    return kept


def _show(camera: CameraConfig, found: Displacement, rules: CameraRules) -> None:
    click.echo(f"the view is {found}; {found.agreeing} of {found.matched} features agree")
    table = Table(box=None, pad_edge=False)
    for title in ("RULE", "BEFORE", "AFTER"):
        table.add_column(title)
    for (kind, before), (_, after) in zip(camera.rules.named()[:3], rules.named()[:3], strict=True):
        for old, new in zip(before, after, strict=True):
            table.add_row(f"{kind} {old.name}", _places(old.points), _places(new.points))
    Console(highlight=False).print(table)


def _places(points: tuple[tuple[float, float], ...]) -> str:
    return " ".join(f"{x:.3f},{y:.3f}" for x, y in points)


def _check_output(output: Path | None, camera: CameraConfig) -> None:
    if output is None:
        return
    if output.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{output}: a picture's name ends in .jpg or .png")
    check_outputs((output,), (camera.url,))


def _write_picture(output: Path, picture: Image, before: CameraRules, after: CameraRules) -> None:
    """The present picture twice: with the rules as they are, and as they would be."""
    sides = [drawing.draw_rules(picture.copy(), rules, grid=False) for rules in (before, after)]
    write_picture(output, np.asarray(cv2.hconcat(sides), np.uint8))
