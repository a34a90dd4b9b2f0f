"""`streamer clip`: short recordings around events, which the running daemon makes, keeps and hands out."""

from __future__ import annotations

import base64
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import click

from streamer.api import control_socket as control
from streamer.cli.lenient_config import readable
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import NoAnswer
from streamer.ipc.atomic_write import replacing

TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.5
MADE_WITHIN_S = 600.0  # people hidden and all
HIDING = (
    "hiding people: each picture is looked at and encoded anew, which can take minutes; it goes on without "
    "this command too"
)


class _ClipGroup(click.Group):
    """What is no subcommand is an event's id: `streamer clip gate/4711`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, "make" if "/" in cmd_name else cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            return super().resolve_command(ctx, ["make", *args])
        return super().resolve_command(ctx, args)


@click.group(cls=_ClipGroup)
def clip() -> None:
    """Clips of events: `streamer clip EVENT_ID` makes one, or says where it is.

    Needs the running daemon, with clips.enabled, and the role admin.

    \b
    streamer clip gate/4711
    streamer clip gate/4711 -o gate.mp4
    """


@clip.command("make")
@click.argument("event_id")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy it to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def make(store: ConfigStore, event_id: str, output: Path | None, as_json: bool) -> None:
    """Make the clip of the event EVENT_ID, or say where it is: what comes after the event is waited for.

    EVENT_ID is an event's id (NODE/CAMERA/LINEAGE/SEQ) or CAMERA/SEQ. A clip can be made while the packets of
    that time are kept in memory (clips.buffer_s).
    """
    config = readable(store)
    made = _made(config, event_id, quiet=as_json or not sys.stderr.isatty())
    if output is not None:
        _copy(config, made["clip"], output)
    if as_json:
        click.echo(json.dumps(made, indent=2))
    else:
        note = f"; {made['note']}" if made["note"] else ""
        size = f"{made['bytes'] / 1e6:.1f} MB, {(made['to_ns'] - made['from_ns']) / 1e9:.1f} s"
        click.echo(f"{output or made['path']}: {size}, people: {made['people']}{note}")


def _made(config: Config, event_id: str, quiet: bool) -> dict[str, Any]:
    """The clip, once it is there. Raises ControlError, with why there is none."""
    end_s, said = time.monotonic() + MADE_WITHIN_S, quiet
    while time.monotonic() < end_s:
        answer = _ask(config, "make", event=event_id)
        if answer["state"] == "ready":
            return answer
        if answer["state"] == "hiding" and not said:
            said = True
            click.echo(HIDING, err=True)
        time.sleep(LOOK_EVERY_S)
    late = f"the clip is not ready after {MADE_WITHIN_S:.0f} s"
    raise NoAnswer(f"{late}: `streamer clip list` says how far it is")


def _ask(config: Config, action: str, **args: Any) -> dict[str, Any]:
    return control.call(config.control_path, "clip", {"action": action, **args}, TIMEOUT_S)


def _copy(config: Config, name: str, output: Path) -> None:
    """All of it, or nothing is written. Raises StorageError."""
    with replacing(output) as partial, partial.open("wb") as file:
        _copy_parts(config, name, file)


def _copy_parts(config: Config, name: str, file: BinaryIO) -> None:
    offset, left = 0, 1
    while left:
        part = _ask(config, "read", event=name, offset=offset)
        offset += file.write(base64.b64decode(part["data_base64"]))
        left = part["left"]


@clip.command("list")
@click.argument("camera", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def list_clips(store: ConfigStore, camera: str | None, as_json: bool) -> None:
    """List the clips of a camera, or of all, newest first, and those that are being made."""
    config = readable(store)
    answer = _ask(config, "list", camera=camera)
    if camera and not answer["clips"] and not answer["making"]:
        config.known_camera(camera)  # one that was removed may have clips still
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for each in answer["making"]:
        click.echo(f"{each['clip']}  {each['state']}")
    for each in answer["clips"]:
        click.echo(_row(each, ZoneInfo(config.timezone)))
    used, room = answer["bytes"] / 1e9, answer["max_bytes"] / 1e9
    click.echo(f"{len(answer['clips'])} clips, {used:.2f} of {room:g} GB in {answer['folder']}", err=True)


def _row(each: dict[str, Any], zone: ZoneInfo) -> str:
    began = datetime.fromtimestamp(each["from_ns"] / 1e9, zone)
    seconds = (each["to_ns"] - each["from_ns"]) / 1e9
    note = f"  {each['note']}" if each["note"] else ""
    size = f"{each['bytes'] / 1e6:.1f} MB"
    return f"{each['clip']}  {began:%Y-%m-%d %H:%M:%S}  {seconds:.1f} s  {size}  {each['people']}{note}"


@clip.command("remove")
@click.argument("clip_id")
@click.pass_obj
def remove(store: ConfigStore, clip_id: str) -> None:
    """Remove a clip, by its id or its event's."""
    removed = _ask(readable(store), "remove", event=clip_id)
    click.echo(f"clip {removed['clip']} removed")
