"""What an inference worker says of itself and its cameras, about once a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.pipeline import VIEW_MOVED
from pipelines.track.needed_rate import NeededRate
from streamer.workers.infer.camera import RECENT_S, CameraContext
from streamer.workers.infer.coverage import percentile
from streamer.workers.infer.emitter import Emitter
from streamer.workers.infer.event_sequencer import EventSequencer
from streamer.workers.infer.scheduler import BatchScheduler

REJECTION_SHOWN_S = 10.0  # after the last frame that could not be used, nothing is said of it any more
MOVED = "the view has moved: lines and zones are not where they were drawn; fix the camera or draw them anew"


def worker_status(
    cameras: Iterable[CameraContext],
    scheduler: BatchScheduler,
    sequencer: EventSequencer,
    emitter: Emitter,
    now_s: float,
) -> dict[str, Any]:
    """The worker's status; what holds of a camera no longer is taken back first."""
    inference_ms = sorted(scheduler.inference_ms)
    return {
        "cameras": {camera.name: _camera_status(camera, now_s) for camera in cameras},
        "inference_ms": {"p50": percentile(inference_ms, 0.5), "p99": percentile(inference_ms, 0.99)},
        "unacknowledged": sequencer.unacknowledged,
        "events_lost": sequencer.lost_events,
        "resends": sequencer.resends,
        "checkpoints_failed": emitter.checkpoints_failed,
    }


def _camera_status(camera: CameraContext, now_s: float) -> dict[str, Any]:
    if now_s - camera.rejected_s > REJECTION_SHOWN_S:
        camera.warn("frames", "")
    camera.inference_rate.read(camera.inferred, now_s)
    pipeline = camera.pipeline
    if pipeline is not None:
        camera.warn("view", MOVED if pipeline.view_moved(camera.name) > VIEW_MOVED else "")
    ages = sorted(age_ms for at_s, age_ms in camera.ages if now_s - at_s <= RECENT_S)
    return {
        "fps_inferred": round(camera.inference_rate.per_s, 2),
        "age_ms": {"p50": percentile(ages, 0.5), "p99": percentile(ages, 0.99)},
        "detector": pipeline.detector.describe() if pipeline else None,
        "scene": pipeline.scene(camera.name) if pipeline else None,
        "alerts": camera.alerts.describe(),
        "warning": camera.warning,
        "rate": _rate(camera.need),
        "region": pipeline.region(camera.name) if pipeline else None,
        "cores": dict(camera.cost.shown),
    }


def _rate(need: NeededRate | None) -> dict[str, Any] | None:
    """How often it is looked at and why; None where its configuration says how often."""
    return None if need is None else {"fps": round(need.fps, 1), "why": need.why}
