"""`streamer camera test|snapshot`: what a camera sends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2

from pipelines.values import Image
from streamer.cli import camera_picture
from streamer.cli.camera.onvif import as_data, ask_device, print_device, read_password
from streamer.cli.click_types import ca_option
from streamer.cli.output_paths import check_outputs
from streamer.cli.people_option import camera_hider, chosen_people, hide_in, people_option
from streamer.clips import drawing
from streamer.config.schema import People
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.daemon.operations import MAX_WIDTH
from streamer.errors import ConfigError, SourceError
from streamer.ipc.atomic_write import replacing
from streamer.ipc.choices import Transport
from streamer.sources.limits import SourceLimits
from streamer.sources.onvif.address import is_onvif
from streamer.sources.onvif.lookup import Found
from streamer.sources.onvif.profiles import WIDTH
from streamer.sources.probe import probe
from streamer.sources.report import ProbeReport
from streamer.sources.room import Room
from streamer.sources.stream_selection import selection_note
from streamer.sources.urls import check_source_url, join_credentials, split_credentials

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


def check_stream(
    url: str,
    limits: SourceLimits,
    as_json: bool = False,
    *,
    stream: int | None = None,
    transport: Transport = "auto",
    ca: str = "",
    room: Room | None = None,
    found: Found | None = None,
) -> None:
    """Open `url`, print what it sends and what to know about it; `room` is what the box has left for it,
    `found` the device that named it. Raises SourceError if it cannot be read."""
    report = probe(url, stream=stream, transport=transport, ca=ca, limits=limits, room=room)
    data = _as_data(report) | ({"onvif": as_data(found)} if found else {})
    click.echo(json.dumps(data, indent=2) if as_json else "\n".join(_lines(report)))
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


@click.command()
@click.argument("name", metavar="NAME|URL")
@click.option("--username", help="The user name, where an address is given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@ca_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def test(
    store: ConfigStore, name: str, username: str | None, password_stdin: bool, ca: str, as_json: bool
) -> None:
    """Open a camera and say what it sends: codec, size, rate, keyframes; and what to mend.

    In place of a camera that is added an address may be given, also onvif:// or onvifs://; nothing is saved.
    """
    if "://" in name:
        _test_address(store, name, username, read_password(password_stdin), ca, as_json)
        return
    if username is not None or password_stdin or ca:
        raise click.UsageError("user, password and ca go with an address: those of a camera are kept with it")
    config, camera = store.load_with(name)
    source = camera.source
    url = SecretStore(store).url(camera).reveal()
    check_stream(
        url,
        config.sources.limits,
        as_json,
        stream=source.stream,
        transport=source.transport,
        ca=source.ca,
    )


def _test_address(
    store: ConfigStore, url: str, user: str | None, password: str | None, ca: str, as_json: bool
) -> None:
    limits = store.settings().sources.limits
    clean, url_user, url_password = split_credentials(url.strip())
    user, password = (url_user if user is None else user), (url_password if password is None else password)
    found = ask_device(clean, user, password, limits, WIDTH, ca) if is_onvif(clean) else None
    if found and not as_json:
        print_device(found)
    full_url = join_credentials(found.url if found else check_source_url(clean), user, password)
    check_stream(full_url, limits, as_json, ca=found.ca if found else ca, found=found)


@click.command()
@click.argument("name")
@click.option("--overlay", is_flag=True, help="Draw grid, lines with their directions, zones and masks.")
@click.option(
    "--width", type=click.IntRange(0, MAX_WIDTH), default=0, help="At most so many pixels wide; 0: full size."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A .jpg or .png; else NAME.jpg."
)
@people_option
@click.pass_obj
def snapshot(
    store: ConfigStore, name: str, overlay: bool, width: int, output: Path | None, people: People | None
) -> None:
    """Write the camera's next picture to a file, with people as --people says."""
    config, camera = store.load_with(name)
    path = output or Path(f"{name}.jpg")
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{path}: a picture's name ends in .jpg or .png")
    check_outputs((path,), (camera.url,))
    hider = camera_hider(store, camera, chosen_people(store, people))
    image = camera_picture.picture(store, config, camera, width)
    hidden = hide_in(image, hider)
    if overlay:
        drawing.draw_rules(image, camera.rules)
    write_picture(path, image)
    click.echo(f"wrote {path} ({image.shape[1]}x{image.shape[0]}{hidden})")


def write_picture(path: Path, image: Image) -> None:
    """As the suffix says, whole or not at all."""
    _, raw = cv2.imencode(path.suffix.lower(), image)
    with replacing(path) as partial:
        partial.write_bytes(raw.tobytes())
