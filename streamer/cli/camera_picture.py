"""A camera's picture, from the daemon or, where none runs, by opening the camera here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from pipelines.values import Image
from streamer.api import control_socket as control
from streamer.cli import daemon
from streamer.config.schema import CameraConfig, Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import ControlError, RunningError, SourceError
from streamer.sources.base import Source, create_source

PICTURE_TIMEOUT_S = 20.0  # a camera's next frame, and the first of one that must be opened


def open_source(store: ConfigStore, camera: CameraConfig) -> Source:
    """The camera's source, not yet open, with its credentials and without pacing."""
    return create_source(
        SecretStore(store).url(camera).reveal(),
        realtime=False,
        open_timeout_s=camera.source.open_timeout_s,
        read_timeout_s=camera.source.read_timeout_s,
        stream=camera.source.stream,
        transport=camera.source.transport,
        ca=camera.source.ca,
        limits=store.settings().sources.limits,
    )


def picture_size(store: ConfigStore, config: Config, camera: CameraConfig) -> tuple[int, int]:
    """(width, height) of the camera's picture, from the daemon or by opening it. Raises SourceError."""
    status = daemon.camera_status(config, camera.name)
    if status.get("width") and status.get("height"):
        return int(status["width"]), int(status["height"])
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
