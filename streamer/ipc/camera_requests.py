"""What people ask of a camera's inference worker, and what it answers: some of messages.py's messages."""

from __future__ import annotations

from typing import Any

from streamer.ipc.message_base import Message


class CorrectionRequest(Message, frozen=True):
    """For the inference worker of a camera: a person corrects a count. `data` is the event's."""

    request: int
    camera: str
    data: dict[str, Any]


class CorrectionMade(Message, frozen=True):
    """The answer to CorrectionRequest: the event's number in its camera's sequence, or why there is none."""

    request: int
    seq: int
    error: str = ""


class OccupancyRequest(CorrectionRequest, frozen=True):
    """Likewise: a person sets an occupancy; `data` has its `name`, `count`, and what is `told` of who."""


class TracksRequest(Message, frozen=True):
    """For the inference worker of a camera: which tracks are there, of the last frame that was inferred."""

    request: int
    camera: str


class TracksNow(Message, frozen=True):
    """The answer to TracksRequest: each track as (id, class, x1, y1, x2, y2), the box as shares of the
    picture; `captured_ns` is the frame's, 0 where there was none."""

    request: int
    captured_ns: int
    tracks: tuple[tuple[int, str, float, float, float, float], ...] = ()


AnyCameraRequest = CorrectionRequest | CorrectionMade | OccupancyRequest | TracksRequest | TracksNow
