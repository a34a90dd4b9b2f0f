"""Talking to the running daemon, and doing without one: what all commands about cameras share.

A change goes to the daemon where one answers, which applies it at once; else it is written to the files, and
the user is told so.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import click
import cv2
import numpy as np

from pipelines.values import Image
from streamer.api import control_socket as control
from streamer.api.apply_change import apply_change
from streamer.cli.lenient_config import warn_of
from streamer.config.schema import CameraConfig, Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import ControlError, RunningError, SourceError
from streamer.models.camera_check import advice_on
from streamer.sources.base import Source, create_source

CHANGE_TIMEOUT_S = 10.0  # the daemon answers within 2 s; a model that must be loaded first takes longer
PICTURE_TIMEOUT_S = 20.0  # a camera's next frame, and the first of one that must be opened


def known_camera(store: ConfigStore, name: str) -> tuple[Config, CameraConfig]:
    """The configuration and one of its cameras. Raises ConfigError with the names that exist."""
    return store.load_with(name)


def change(store: ConfigStore, wanted: Mapping[str, Any], done: str) -> None:
    """Apply a change and print `done` with where it went, and which files of cameras are broken. Raises what
    refuses it.
    """
    try:
        answer = control.call(store.settings().control_path, "change", wanted, CHANGE_TIMEOUT_S)
    except RunningError:
        apply_change(store, wanted)
        click.echo(f"{done} (written to {store.folder}; no daemon is running)")
    else:
        click.echo(f"{done} (applied by the running daemon, config_rev {answer.get('config_rev')})")
    config, faults = store.load_partly()
    warn_of(faults.values())
    if wanted["op"] in ("camera.put", "camera.set"):
        name = wanted["name"] if "name" in wanted else wanted["camera"]["name"]
        camera = config.camera(name)
        warn_of(advice_on(camera) if camera is not None else ())


def status(config: Config) -> dict[str, Any] | None:
    """What the daemon says of itself; None where no daemon answers."""
    try:
        return control.call(config.control_path, "status", timeout_s=5.0)
    except RunningError:
        return None


def camera_status(config: Config, name: str) -> dict[str, Any]:
    """The daemon's words about one camera; {} without a daemon or where it does not know it."""
    found = (status(config) or {}).get("cameras", ())
    return next((dict(c) for c in found if c.get("name") == name), {})


def open_source(store: ConfigStore, camera: CameraConfig) -> Source:
    """The camera's source, not yet open, with its credentials and without pacing."""
    return create_source(
        SecretStore(store).url(camera).reveal(),
        realtime=False,
        open_timeout_s=camera.source.open_timeout_s,
        read_timeout_s=camera.source.read_timeout_s,
        stream=camera.source.stream,
        transport=camera.source.transport,
    )


def picture_size(store: ConfigStore, config: Config, camera: CameraConfig) -> tuple[int, int]:
    """(width, height) of the camera's picture, from the daemon or by opening it. Raises SourceError."""
    known = camera_status(config, camera.name)
    if known.get("width") and known.get("height"):
        return int(known["width"]), int(known["height"])
    source = open_source(store, camera)
    try:
        info = source.open()
        return info.width, info.height
    finally:
        source.close()


def picture(store: ConfigStore, config: Config, camera: CameraConfig, width: int = 0) -> Image:
    """The camera's next picture, at most `width` wide (0: full size). Raises SourceError or ControlError."""
    if camera.enabled:
        try:
            args = {"camera": camera.name, "width": width}
            answer = control.call(config.control_path, "snapshot", args, PICTURE_TIMEOUT_S)
            return _decode(answer)
        except RunningError:
            pass  # no daemon: the camera is free to be opened here
    source = open_source(store, camera)
    try:
        source.open()
        return source.read().image(width)
    finally:
        source.close()


def _decode(answer: Mapping[str, Any]) -> Image:
    try:
        raw = base64.b64decode(answer["jpeg_base64"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ControlError("the daemon's answer holds no picture: restart it after an update") from error
    image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    if image is None:
        raise SourceError("the daemon sent a damaged picture: try again")
    return np.asarray(image, np.uint8)
