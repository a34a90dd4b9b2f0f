"""What `streamer audit` asks about: a recording, which is analysed as its camera is, or a running camera."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import click

from pipelines.camera_rules import CameraRules
from pipelines.defaults import with_defaults
from streamer.api import control_socket as control
from streamer.cli.camera_picture import PICTURE_TIMEOUT_S
from streamer.cli.clip_arguments import chosen_detector, chosen_spec, frames_progress, read_stored, say_which
from streamer.cli.daemon import camera_status
from streamer.cli.ledger import ledger_path
from streamer.cli.people_option import camera_hider, chosen_people
from streamer.clips.audit.live import LiveAudit
from streamer.clips.audit.pictures import WIDTH, PeopleLook
from streamer.clips.evaluation import ClipRun, run_clip, run_stored
from streamer.config.schema import CameraConfig, Config, People
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.ledger import LedgerReader
from streamer.models.camera_check import pipeline_of
from streamer.sources.base import create_source
from streamer.sources.urls import is_generated

MAX_ASPECT_DIFFERENCE = 0.03  # between a clip's and its camera's picture


def people_look(store: ConfigStore, camera: CameraConfig, people: People | None, keeps: bool) -> PeopleLook:
    """A person who judges must see who crosses, so that shown pictures hide people only where --people says
    so; those that are kept do as the site has it. Raises ControlError, as chosen_people."""
    chosen = chosen_people(store, people)
    shown = camera_hider(store, camera, chosen if people is not None else "show")
    if people is not None or not keeps:
        return PeopleLook(shown, shown)
    return PeopleLook(None, camera_hider(store, camera, chosen))


# ---- a recording


def run_recording(
    store: ConfigStore, config: Config, camera: CameraConfig, clip: str | None, detections: Path | None
) -> ClipRun:
    spec = chosen_spec(camera.pipeline, None, None)
    rules = _rules(camera)
    if detections is not None:
        stored = read_stored(detections)
        _check_shape(config, camera, str(detections), stored.width, stored.height)
        with frames_progress(len(stored.media_ns)) as advance:
            return run_stored(clip or str(detections), stored, rules, video=clip, progress=advance)
    assert clip is not None
    source = create_source(clip, loop=False, realtime=False, stream=None)
    with contextlib.closing(source):
        info = source.open()
        say_which(clip, info)
        _check_shape(config, camera, clip, info.width, info.height)
        if is_generated(clip) and info.frames is None:
            raise ConfigError(f"{clip}: this scene has no end: add seconds=60 to its URL")
        detector = chosen_detector(store, spec, camera.model, 0)
        width = camera.source.analysis_width
        with frames_progress(info.frames) as advance:
            return run_clip(
                clip, clip, source, info, detector, rules, width=width, partial=True, progress=advance
            )


def _check_shape(config: Config, camera: CameraConfig, clip: str, width: int, height: int) -> None:
    """A picture of another shape is no recording of this camera, where the daemon knows the camera's."""
    status = camera_status(config, camera.name)
    if not (status.get("width") and status.get("height")):
        return
    shapes = width / height, int(status["width"]) / int(status["height"])
    if abs(math.log(shapes[0] / shapes[1])) > MAX_ASPECT_DIFFERENCE:
        raise ConfigError(
            f"{clip}: is {width}x{height}, camera {camera.name} {status['width']}x{status['height']}: lines "
            "would lie elsewhere: give a recording of this camera"
        )


def _rules(camera: CameraConfig) -> CameraRules:
    """Raises ConfigError where there is no line."""
    rules = with_defaults(camera.rules, pipeline_of(camera))
    if not rules.lines:
        raise ConfigError(
            f"camera {camera.name} has no line to audit: draw one with `streamer line add {camera.name}`"
        )
    return rules


# ---- a live camera


def live_audit(
    config: Config, camera: CameraConfig, bucket_s: float | None, seed: int, look: PeopleLook
) -> LiveAudit:
    rules = _rules(camera)
    take = _taker(config, camera)
    path = ledger_path(config)
    live = LiveAudit(
        camera.name, rules.lines, take, lambda: LedgerReader(path), bucket_s=bucket_s, seed=seed, look=look
    )
    click.echo(
        f"watching {camera.name}: a question comes about every {live.bucket_s:g} s; --clip takes a recording",
        err=True,
    )
    return live


def _taker(config: Config, camera: CameraConfig) -> Callable[[], bytes]:
    args = {"camera": camera.name, "width": WIDTH}

    def take() -> bytes:
        answer = control.call(config.control_path, "snapshot", args, PICTURE_TIMEOUT_S)
        return base64.b64decode(answer["jpeg_base64"])

    return take
