"""The end of an audit: its result is kept in the camera's file, where that is wanted and can be."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from pydantic import ValidationError

from streamer.cli.change import send_change
from streamer.clips.audit.estimate import Estimate
from streamer.config.audit_result import AuditResult
from streamer.config.schema import CameraConfig
from streamer.config.store import ConfigStore
from streamer.config.validation_errors import explain
from streamer.errors import ConfigError, StreamerError
from streamer.models.model_in_use import ModelInUse

NO_MODEL = "its detections do not say which model made them: audit with --clip alone"


def refuse_early(by: ModelInUse | None) -> None:
    """What stands against keeping before the first question. Raises ConfigError."""
    if by is None:
        raise ConfigError(f"--apply: this audit cannot be kept: {NO_MODEL}")


def result_of(camera: CameraConfig, estimates: Sequence[Estimate], by: ModelInUse | None) -> AuditResult:
    """What is kept of an audit: the error of all ways together. Raises ConfigError with why there is none."""
    whole = estimates[-1]
    if by is None:
        raise ConfigError(NO_MODEL)
    if whole.low is None or whole.high is None:
        raise ConfigError("not every direction was answered: give more answers (--number, --answers)")
    try:
        return AuditResult(
            counted=whole.counted,
            true_count=round(whole.true, 1),
            low=round(min(whole.low, whole.true), 1),
            high=round(max(whole.high, whole.true), 1),
            answers=whole.answers,
            at=datetime.now(UTC).replace(microsecond=0),
            model=by.name,
            sha256=by.sha256,
            pipeline=camera.pipeline,
        )
    except ValidationError as error:
        raise ConfigError(explain(error, AuditResult)[1]) from None


def as_kept(result: AuditResult) -> dict[str, Any]:
    return result.model_dump(mode="json", exclude_defaults=True)


def offer(store: ConfigStore, camera: CameraConfig, result: AuditResult, *, apply: bool, ask: bool) -> None:
    """Keep it where `apply`, else ask where that can be, else say how. Raises what refuses the change."""
    if not apply and ask and sys.stdin.isatty():
        apply = click.confirm(
            f"keep it, so that `streamer counts` tells {camera.name}'s interval by it?", err=True
        )
        if not apply:
            return
    if not apply:
        click.echo(f"to keep it: {line_that_keeps(camera.name, result)}", err=True)
        return
    change = {"op": "camera.set", "name": camera.name, "values": {"audit": as_kept(result)}}
    try:
        send_change(store, change, f"camera {camera.name}: the audit is kept", err=True)
    except StreamerError:
        click.echo(f"not kept; to keep it later: {line_that_keeps(camera.name, result)}", err=True)
        raise


def line_that_keeps(camera: str, result: AuditResult) -> str:
    settings = (f"audit_{key}={value}" for key, value in as_kept(result).items())
    return shlex.join(["streamer", "camera", "set", camera, *settings])
