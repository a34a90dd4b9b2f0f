"""The messages about clips: capture records, inference wants and numbers, the clips worker keeps them.

The supervisor hands each of these on to the one that it is for.
"""

from __future__ import annotations

from typing import Any, Literal

from streamer.ipc.message_base import Message


class ClipAssignment(Message, frozen=True):
    """For the worker that keeps clips: the configuration in force as JSON, without secrets."""

    rev: int
    node: str
    ledger_path: str
    config_json: str


class ClipOrder(Message, frozen=True):
    """Somebody asks for a clip, a list, a part of a file or a removal; `args` as daemon/clip_orders.py has
    them."""

    request: int
    action: Literal["make", "list", "read", "remove"]
    args: dict[str, Any]


class ClipAnswer(Message, frozen=True):
    """The answer to ClipOrder; `error` is one line that says why there is none."""

    request: int
    result: dict[str, Any]
    error: str = ""


class ClipWanted(Message, frozen=True):
    """An alert that asks for a clip was raised, by the camera's event `seq`."""

    camera: str
    seq: int
    at_ns: int


class RecordClip(Message, frozen=True):
    """For the capture worker of the camera: write its packets of that time to `folder`/`clip`.mp4 or .mkv.
    Times are Unix time in nanoseconds; `at_ns` is the event's."""

    clip: str
    camera: str
    at_ns: int
    from_ns: int
    to_ns: int
    folder: str


class ClipRecorded(Message, frozen=True):
    """The answer to RecordClip: the file and what it holds; `note` says what is not as it was asked for,
    `error` why there is no file."""

    clip: str
    camera: str
    path: str
    from_ns: int
    to_ns: int
    codec: str
    note: str = ""
    error: str = ""


class ClipStored(Message, frozen=True):
    """For the inference worker of the camera: a clip is there, tell of it. `data` is the event's."""

    clip: str
    camera: str
    data: dict[str, Any]


class ClipTold(Message, frozen=True):
    """The event that tells of a clip has this number in its camera's sequence."""

    clip: str
    camera: str
    seq: int


# fmt: off
AnyClipMessage = (ClipAssignment | ClipOrder | ClipAnswer | ClipWanted | RecordClip | ClipRecorded
    | ClipStored | ClipTold)
# fmt: on
