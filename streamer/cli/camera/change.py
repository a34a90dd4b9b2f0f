"""`streamer camera add|set|rename|enable|disable|remove`: what changes a camera."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Literal, get_args

import click
from pydantic import ValidationError

from pipelines.detect.errors import ModelRefused
from pipelines.scene.model import SceneModel
from streamer.api import control_socket as control
from streamer.api.capacity.room import room_for
from streamer.cli.camera.onvif import ask_device, print_device, read_password
from streamer.cli.camera.settings import HELP, SCENE, absolute_model, absolute_url, read_setting
from streamer.cli.camera.stream import check_stream
from streamer.cli.change import send_change
from streamer.cli.click_types import ANALYSIS_WIDTH, FpsOrAuto, ca_option, split_words, stream_option
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import ConfigStore
from streamer.config.validation_errors import explain, show_place
from streamer.errors import (
    ConfigError,
    ControlError,
    ModelError,
    RunningError,
    SourceError,
    StorageError,
)
from streamer.ipc.choices import Transport
from streamer.models.camera_check import check_actions, check_camera
from streamer.models.model_handle import is_path
from streamer.models.store import ModelStore
from streamer.sources.base import create_source
from streamer.sources.onvif.address import is_onvif, read_address, stand_in
from streamer.sources.room import Room
from streamer.sources.urls import (
    is_generated,
    join_credentials,
    lookup_scheme,
    path_of,
    scheme_of,
    split_credentials,
)

FORCE = "--force saves it, and the daemon keeps trying"
MANY_A_CORE = 8  # cameras: about as many as a core carries where most places are quiet
PAIRED = {"pipeline", "model", "actions"}  # what decides whether a model and actions go together


def _note_endless(url: str, loop: bool) -> None:
    """Say it where `loop` is asked of what has no end."""
    what = _endless(url) if loop else ""
    if not what:
        return
    _note(f"{what} does not end: loop says nothing to it")


def _note(text: str) -> None:
    click.secho(f"note: {text}", fg="yellow", err=True)


def _endless(url: str) -> str:
    """What of the source has no end; "" where it ends. Raises ConfigError or SourceError."""
    if lookup_scheme(url).live:
        return "a camera"
    if not is_generated(url):
        return ""
    with contextlib.closing(create_source(url)) as scene:
        return "" if scene.open().frames else f"a {scheme_of(url)} scene without seconds="


def _check_clip(url: str | None) -> None:
    """Raises SourceError where a clip is not there. What this user may not see is the daemon's to judge."""
    if url is None or not lookup_scheme(url).local:
        return
    path = path_of(url)
    with contextlib.suppress(PermissionError):
        if not path.exists():
            raise SourceError(f"{path}: no such file: check the path; not saved ({FORCE})")


def _check_model_file(config: Config, camera: CameraConfig) -> None:
    """Load a model that is given by its path: here, since the daemon has no seconds to spare for it.

    Raises ModelError, also where it does not go with the camera's actions.
    """
    model = camera.model
    if not model or not is_path(model):
        return
    if config.control_path.exists() and _shut(model):
        return  # the service's alone to read: where it runs, it judges the change itself
    detector = ModelStore(config.state_path / "models").check_file(model)
    if detector is not None:
        check_actions(camera, detector)


def _check_scene_file(config: Config, path: str | None) -> None:
    """Load a classifier of pictures, likewise. Raises ModelError."""
    if not path or (config.control_path.exists() and _shut(path)):
        return
    try:
        SceneModel(Path(path), find_detector=ModelStore(config.state_path / "models").find)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def _shut(path: str) -> bool:
    """Whether a file, or a folder on the way to it, is closed to this user."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK)


@click.command()
@click.argument("name")
@click.argument("url")
@click.option("--pipeline", default="default", show_default=True, help="What is computed: a preset's name.")
@click.option("--model", help="A model of the store or a path, instead of the pipeline's.")
@click.option("--actions", metavar="MODEL", help="Tell what people do: motion, or an exported .onnx.")
@click.option(
    "--fps",
    type=FpsOrAuto(0, 120),
    default="auto",
    show_default=True,
    help="Analysed frames a second; auto: as many as what is followed needs; 0: as many as fit.",
)
@click.option(
    *ANALYSIS_WIDTH, type=int, default=640, show_default=True, help="Width of the analysed picture."
)
@click.option("--class", "--classes", "classes", help="Only these classes or groups: person,vehicle")
@click.option("--loop", is_flag=True, help="A file: start again at its end.")
@click.option("--no-realtime", is_flag=True, help="A file: as fast as it can be read.")
@click.option("--transport", type=click.Choice(get_args(Transport)), default="auto", help="TCP, then UDP.")
@ca_option
@stream_option
@click.option("--username", help="The camera's user name.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--no-probe", is_flag=True, help="Save without looking whether the camera can be read.")
@click.option("--force", is_flag=True, help="Save even if the camera cannot be read now.")
@click.option("--disabled", is_flag=True, help="Save it switched off.")
@click.pass_obj
def add(store: ConfigStore, /, name: str, url: str, **options: Any) -> None:
    """Probe a camera and add it: an rtsp://, http://, rtmp:// or onvif:// address (over TLS rtsps://, https://,
    rtmps:// or onvifs://), /dev/video0, a video file or a folder of them, or synthetic:NAME.

    Credentials in the URL are kept in a file of their own; --username and --password-stdin keep them out of
    the shell's history too.
    """
    url, user, password = split_credentials(url.strip() if is_onvif(url) else absolute_url(url))
    user = options["username"] if options["username"] is not None else user
    typed = read_password(options["password_stdin"])
    password = typed if typed is not None else password
    settings = {
        "name": name,
        "url": url,
        "enabled": not options["disabled"],
        "pipeline": options["pipeline"],
        "model": absolute_model(options["model"]),
        "actions": absolute_model(options["actions"]),
        "source": {
            "fps": options["fps"],
            "analysis_width": options["width"],
            "loop": options["loop"],
            "realtime": not options["no_realtime"],
            "stream": options["stream"],
            "transport": options["transport"],
            "ca": options["ca"],
        },
        "rules": {"classes": split_words(options["classes"])},
    }
    if is_onvif(url):
        url = _ask_device(store, settings, user, password)
    _refuse_early(store, settings)
    _note_endless(url, options["loop"])
    full_url = join_credentials(url, user, password)
    room = None if options["no_realtime"] or options["disabled"] else _room(store, options["fps"])
    if options["no_probe"] and not options["disabled"]:
        _note_full(store, room)
    if not options["no_probe"]:
        try:
            limits = store.settings().sources.limits
            check_stream(
                full_url,
                limits,
                stream=options["stream"],
                transport=options["transport"],
                ca=settings["source"]["ca"],
                room=room,
            )
        except SourceError as error:
            if not options["force"]:
                error.args = (f"{error}; not saved ({FORCE})",)
                raise
            click.secho(f"warning: {error}; saved all the same", fg="yellow", err=True)
    change = {"op": "camera.put", "camera": settings, "username": user, "password": password}
    send_change(store, change, f"camera {name} saved")
    click.echo(
        "next:\n"
        f"  streamer camera snapshot {name} --overlay       a picture with a grid, to draw by\n"
        f"  streamer line add {name} door 0.1,0.5 0.9,0.5   count what crosses a line\n"
        f"  streamer events --camera {name} --follow        see it happen"
    )


def _ask_device(store: ConfigStore, settings: dict[str, Any], user: str | None, password: str | None) -> str:
    """Put the address of the device's stream, and the device's own, into `settings`; returns the former."""
    url, source = settings["url"], settings["source"]
    _refuse_early(store, {**settings, "url": stand_in(read_address(url), source["ca"])})
    limits = store.settings().sources.limits
    found = ask_device(url, user, password, limits, source["analysis_width"], source["ca"])
    print_device(found)
    settings["url"], source["onvif"], source["ca"] = found.url, found.endpoint, found.ca
    return found.url


def _note_full(store: ConfigStore, room: Room | None) -> None:
    """Nobody has looked at what the camera sends: say where there is no room for any."""
    if room is not None and room.used >= room.most:
        taken = f"{room.used:.1f} of {room.cores:g} cores are taken"
        _note(f"{taken}: with one more camera frames wait for their turn; see `streamer capacity`")
    running = sum(camera.enabled for camera in store.load_partly()[0].cameras)
    if room is None and running >= MANY_A_CORE * (os.cpu_count() or 1):
        _note(
            f"{running} cameras are there already, and no daemon says what they take: see `streamer capacity`"
        )


def _room(store: ConfigStore, fps: float | Literal["auto"]) -> Room | None:
    """What the box has left for one more camera; None where no daemon says what others take."""
    config, _ = store.load_partly()
    try:
        return room_for(control.call(config.control_path, "status"), config, fps)
    except (RunningError, ControlError):
        return None


def _refuse_early(store: ConfigStore, settings: dict[str, Any]) -> None:
    """What can be said without opening the camera. Raises ConfigError or ModelError."""
    config, faults = store.load_partly()
    if store.camera_file(settings["name"]) in faults:
        store.sound_camera(config, faults, settings["name"])  # which says what is wrong
    if config.camera(settings["name"]) is not None:
        raise ConfigError(
            f"camera {settings['name']!r} exists: choose another name, or use `streamer camera set`"
        )
    try:
        camera = CameraConfig.model_validate(settings)
    except ValidationError as error:
        place, text = explain(error, CameraConfig)
        raise ConfigError(f"{show_place(place)}: {text}") from None
    try:
        check_camera(config, camera)
        _check_model_file(config, camera)
    except (StorageError, PermissionError):
        # Its models are the service's alone to read; where it runs, it judges the change itself.
        if not config.control_path.exists():
            raise


@click.command("set", help=HELP)
@click.argument("name")
@click.argument("settings", nargs=-1, metavar="KEY=VALUE...")
@click.option("--username", help="The camera's user name.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--force", is_flag=True, help="Save a clip's path even if no file is there now.")
@click.pass_obj
def set_(
    store: ConfigStore,
    name: str,
    settings: tuple[str, ...],
    username: str | None,
    password_stdin: bool,
    force: bool,
) -> None:
    if not settings and username is None and not password_stdin:
        raise click.UsageError("say what to set, for example fps=5")
    values = dict(read_setting(text) for text in settings)
    password = read_password(password_stdin)
    change = {
        "op": "camera.set",
        "name": name,
        "values": values,
        "username": username,
        "password": password,
    }
    config, before = store.load_with(name)
    if "scene.interval_s" in values and (before.scene is None or "scene" in values) and not values.get(SCENE):
        raise ConfigError(f"scene_interval_s: camera {name} has no scene: set it with scene=MODEL.onnx")
    if values.keys() & PAIRED:
        changed = {
            key: values[key] or CameraConfig.model_fields[key].default for key in values.keys() & PAIRED
        }
        _check_model_file(config, before.model_copy(update=changed))
    _check_scene_file(config, values.get(SCENE))
    if not force:
        _check_clip(values.get("url"))
    typed = (username, password, *split_credentials(values.get("url") or "")[1:])
    secret = any(credential is not None for credential in typed)  # which no camera's settings show
    send_change(store, change, f"camera {name} changed", None if secret else before)
    if values.get("source.gate") == "auto" and is_generated(url := _in_use(store, name)[0]):
        _note(f"a {scheme_of(url)} scene never rests: gate says nothing to it")
    if values.get("source.loop"):
        _note_endless(*_in_use(store, name))
    if "url" in values:
        click.echo(f"see whether it can be read: streamer camera test {name}")


def _in_use(store: ConfigStore, name: str) -> tuple[str, bool]:
    camera = store.load_with(name)[1]
    return camera.url, camera.source.loop


@click.command()
@click.argument("name")
@click.argument("to")
@click.option(
    "--merge", is_flag=True, help="Also where a camera of that name was there before: with its counts."
)
@click.pass_obj
def rename(store: ConfigStore, name: str, to: str, merge: bool) -> None:
    """Give a camera another name. What it has counted goes with it, and API tokens that are for it.

    Events so far keep the name that they were told under; sinks get what comes under the new one. Its stream
    is opened anew: its tracks end, and its alerts are cleared and raised anew where they hold.
    """
    change = {"op": "camera.rename", "name": name, "to": to, "merge": merge}
    send_change(store, change, f"camera {name} is now {to}")
    click.echo(
        f"counts, totals and tokens of {name} go on as {to}; where it runs its stream is opened anew: its "
        "tracks end, and its alerts are cleared and raised anew where they hold"
    )


@click.command()
@click.argument("name")
@click.pass_obj
def enable(store: ConfigStore, name: str) -> None:
    """Switch a camera on."""
    send_change(store, {"op": "camera.enable", "name": name}, f"camera {name} enabled")


@click.command()
@click.argument("name")
@click.pass_obj
def disable(store: ConfigStore, name: str) -> None:
    """Switch a camera off, and keep its settings and counts."""
    send_change(store, {"op": "camera.disable", "name": name}, f"camera {name} disabled")


@click.command()
@click.argument("name")
@click.pass_obj
def remove(store: ConfigStore, name: str) -> None:
    """Remove a camera, its rules and its credentials. Its counts stay in the ledger."""
    send_change(store, {"op": "camera.remove", "name": name}, f"camera {name} removed")
