"""One way for every change of the configuration that a command makes.

It goes to the daemon where one answers, which applies it at once; else it is written to the files, and the
user is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from streamer.api import control_socket as control
from streamer.api.apply_change import apply_change
from streamer.cli.lenient_config import warn_of
from streamer.config.schema import CameraConfig
from streamer.config.store import ConfigStore
from streamer.errors import RunningError
from streamer.models.camera_check import advice_on

CHANGE_TIMEOUT_S = 10.0  # the daemon answers within 2 s; a model that must be loaded first takes longer


def send_change(
    store: ConfigStore,
    request: Mapping[str, Any],
    done: str,
    before: CameraConfig | None = None,
    err: bool = False,
) -> None:
    """Apply a change and print `done` with where it went, and which files of cameras are broken. Raises what
    refuses it. Where the camera is as it was `before`, that is said instead. `err`: on standard error.
    """
    try:
        answer = control.call(store.settings().control_path, "change", request, CHANGE_TIMEOUT_S)
    except RunningError:
        apply_change(store, request)
        where = f"written to {store.folder}; no daemon is running"
    else:
        where = f"applied by the running daemon, config_rev {answer.get('config_rev')}"
    config, faults = store.load_partly()
    same = before is not None and config.camera(before.name) == before
    click.echo(
        f"camera {before.name} unchanged: it is so already" if before and same else f"{done} ({where})",
        err=err,
    )
    warn_of(faults.values())
    if request["op"] in ("camera.put", "camera.set"):
        name = request["name"] if "name" in request else request["camera"]["name"]
        camera = config.camera(name)
        warn_of(advice_on(camera) if camera is not None else ())
