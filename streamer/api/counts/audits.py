"""The audits that cameras' files keep, as far as they hold for what counts now."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.count.scene_error import AuditedCount
from streamer.config.schema import CameraConfig, Config
from streamer.errors import StreamerError


def audits_that_hold(config: Config, cameras: Iterable[str]) -> tuple[dict[str, AuditedCount], list[str]]:
    """Of those of the cameras that have one, and a line about each. One that was taken with another model or
    preset than now is not used, which its line says."""
    found: dict[str, AuditedCount] = {}
    lines = []
    for name in sorted(set(cameras)):
        camera = config.camera(name)
        if camera is None or camera.audit is None:
            continue
        audit, why = camera.audit, _why_not(config, camera)
        of = f"{name}: the audit of {audit.at:%Y-%m-%d} ({audit.answers} answers)"
        if why:
            lines.append(f"{of} is not used: {why}: audit again, or `streamer camera set {name} audit=`")
        else:
            lines.append(f"{of} is in the interval")
            found[name] = AuditedCount(audit.counted, audit.low, audit.high)
    return found, lines


def _why_not(config: Config, camera: CameraConfig) -> str:
    """What has changed since its audit; "" where nothing has."""
    from streamer.models.model_in_use import model_in_use  # reads models: only where there is an audit

    audit = camera.audit
    assert audit is not None
    if audit.pipeline != camera.pipeline:
        return f"it was of pipeline {audit.pipeline}, which is {camera.pipeline} now"
    try:
        now = model_in_use(config, camera)
    except StreamerError as error:
        return f"which model counts now is not known ({error})"
    if now.is_same(audit.model, audit.sha256):
        return ""
    other = "another file of that name" if now.name == audit.model else now.name
    return f"it was of model {audit.model}, and now {other} counts"
