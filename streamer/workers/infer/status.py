"""What an inference worker tells of itself and its cameras, about once a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.pipeline import VIEW_MOVED
from streamer.workers.infer.camera import InferredCamera
from streamer.workers.infer.coverage import percentile
from streamer.workers.infer.emitter import Emitter
from streamer.workers.infer.event_sequencer import Journal
from streamer.workers.infer.scheduler import Turns

FORGIVEN_S = 10.0  # without a frame that could not be used, nothing is said of those before
MOVED = "the view has moved: lines and zones are not where they were drawn; fix the camera or draw them anew"


def told(
    cameras: Mapping[str, InferredCamera], turns: Turns, journal: Journal, emitter: Emitter, now_s: float
) -> dict[str, Any]:
    """The worker's status; what holds of a camera no longer is taken back first."""
    took = sorted(turns.inference_ms)
    return {
        "cameras": {name: _camera(camera, now_s) for name, camera in cameras.items()},
        "inference_ms": {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)},
        "unacknowledged": journal.unacknowledged,
        "events_lost": journal.lost_events,
        "resends": journal.resends,
        "checkpoints_failed": emitter.checkpoints_failed,
    }


def _camera(camera: InferredCamera, now_s: float) -> dict[str, Any]:
    if now_s - camera.refused_s > FORGIVEN_S:
        camera.complain("frames", "")
    camera.inferring.read(camera.inferred, now_s)
    pipeline = camera.pipeline
    if pipeline is not None:
        camera.complain("view", MOVED if pipeline.view_moved(camera.name) > VIEW_MOVED else "")
    ages = sorted(camera.ages_ms)
    return {
        "fps_inferred": round(camera.inferring.per_s, 2),
        "age_ms": {"p50": percentile(ages, 0.5), "p99": percentile(ages, 0.99)},
        "detector": pipeline.detector.describe() if pipeline else None,
        "scene": pipeline.scene(camera.name) if pipeline else None,
        "trouble": camera.trouble,
    }
