"""Answers what is asked of a camera beside its frames: corrections, occupancy, tracks, telling of a clip."""

from __future__ import annotations

from streamer.ipc.camera_requests import (
    CorrectionMade,
    CorrectionRequest,
    OccupancyRequest,
    TracksNow,
    TracksRequest,
)
from streamer.ipc.clip_messages import ClipStored, ClipTold
from streamer.workers.infer.camera import CameraContext
from streamer.workers.infer.emitter import Emitter

CameraRequest = OccupancyRequest | CorrectionRequest | TracksRequest | ClipStored
Answer = CorrectionMade | TracksNow | ClipTold


def answer_of(asked: CameraRequest, camera: CameraContext | None, emitter: Emitter) -> Answer | None:
    """`camera` is None where it is not this worker's. None: there is no answer now, and it is asked again."""
    if isinstance(asked, OccupancyRequest):  # a correction too
        return _set_occupancy(asked, camera, emitter)
    if isinstance(asked, CorrectionRequest):
        return _correct(asked, camera, emitter)
    if isinstance(asked, TracksRequest):
        return TracksNow(asked.request, *(camera.tracks_now() if camera else (0,)))
    return _tell_clip(asked, camera, emitter)


def _correct(asked: CorrectionRequest, camera: CameraContext | None, emitter: Emitter) -> CorrectionMade:
    seq = emitter.correct(camera, asked.data) if camera is not None else 0
    error = "" if seq else "its events cannot be kept now: look at `streamer status`, and try again"
    return CorrectionMade(asked.request, seq, error)


def _set_occupancy(asked: OccupancyRequest, camera: CameraContext | None, emitter: Emitter) -> CorrectionMade:
    seq = emitter.set_occupancy(camera, **asked.data) if camera is not None else 0
    error = "" if seq else "it runs no such rule now, or its events cannot be kept: try again in a moment"
    return CorrectionMade(asked.request, seq, error)


def _tell_clip(stored: ClipStored, camera: CameraContext | None, emitter: Emitter) -> ClipTold | None:
    seq = emitter.tell_clip(camera, stored.data) if camera is not None else 0
    return ClipTold(stored.clip, stored.camera, seq) if seq else None
