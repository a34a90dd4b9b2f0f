"""Every message between processes.

Messages are frozen msgspec structs in one tagged union; `encode` and `decode` are the only doors.

    worker     -> supervisor   Hello, Ready, AllocateRing, SourceState, Snapshot, CameraWarning,
                               WorkerStatus
    supervisor -> worker       CaptureAssignment, InferAssignment, DeliverAssignment, ApiAssignment,
                               RingAllocated, RingRefused, Reclaim, SnapshotRequest, CameraStatus,
                               ReplayRequest
    capture    -> inference    FrameReady, FramesGated, SourceState
    inference  -> capture      FrameRequest
    inference  -> delivery     ResumeRequest, Batch, FrameTrace
    delivery   -> inference    Resume, Ack

What people ask of a camera is in camera_requests.py, clips are in clip_messages.py.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamer.ipc.camera_requests import AnyCameraRequest
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.choices import CameraState, Decode, Frames, TraceSample, Transport
from streamer.ipc.clip_messages import AnyClipMessage
from streamer.ipc.message_base import Message as _Message
from streamer.ipc.rename import Rename

MAX_CAMERAS: Final = 512  # of one daemon, on or off


class MessageError(ValueError):
    """Raised when bytes are not one of our messages."""


# ---- worker <-> supervisor


class Hello(_Message, frozen=True):
    """A worker has started and asks for its assignment; repeated until one comes."""

    worker: str
    pid: int


class Ready(_Message, frozen=True):
    """A worker serves its assignment `rev` (models loaded, sockets open)."""

    worker: str
    rev: int


class CameraWarning(_Message, frozen=True):
    """Something a person should read in `status`; `text` is one line and holds no secret."""

    worker: str
    camera: str
    text: str


class WorkerStatus(_Message, frozen=True):
    """Once a second, what `streamer status` shows of a worker: plain JSON, no secrets."""

    worker: str
    status: dict[str, Any]


class CaptureCamera(_Message, frozen=True):
    """One camera of a capture worker. `url` may hold credentials: it never leaves the bus."""

    name: str
    row: int  # this camera's row in the counters
    url: str
    infer_worker: str
    analysis_width: int
    fps: float  # frames a second wanted; 0: every frame
    loop: bool
    realtime: bool  # files: paced by their own timestamps, else as fast as they are wanted
    open_timeout_s: float
    read_timeout_s: float
    stream: int | None = None
    transport: Transport = "auto"
    ca: str = ""
    decode: Decode = "none"
    frames: Frames = "all"
    files: tuple[str, ...] | None = None  # folders and networks that it may be in: sources/limits.py
    networks: tuple[str, ...] | None = None
    watched: bool = False  # whether its health is watched, ...
    ignored: tuple[str, ...] = ()  # ... but for these states of it
    gate: bool = False  # whether it rests while nothing moves in front of it
    clip_s: float = 0.0  # how long its packets are kept for clips; 0: they are not, ...
    clip_bytes: int = 0  # ... and how many bytes of them at most


class CaptureAssignment(_Message, frozen=True):
    """Everything a capture worker should be doing. It keeps what is unchanged untouched."""

    rev: int
    cameras: tuple[CaptureCamera, ...]


class InferCamera(_Message, frozen=True):
    """`rules`, `pipeline` and `scene` are the JSON of pipelines.spec models; "": no scene is looked at."""

    name: str
    row: int  # this camera's row in the counters
    generation: int  # frames of an older one are not this worker's
    pipeline: str
    rules: str
    bucket_s: int
    newest: bool = False  # every frame is wanted while it is new: one that waited may be let go for the next
    scene: str = ""
    auto_rate: bool = False  # whether it is looked at as often as what is followed in it needs
    formerly: str = ""  # its name until the assignment before, where it was renamed
    term: CameraTerm | None = None  # of its site, for its events; None: it is the box's own


class MisconfiguredCamera(_Message, frozen=True):
    """A camera whose file cannot be used, `why` and since when: an inference worker emits that as its state,
    and its time counts as offline. Nothing is captured or inferred of it."""

    name: str
    row: int
    bucket_s: int
    why: str
    since_ns: int
    term: CameraTerm | None = None


class InferAssignment(_Message, frozen=True):
    """Everything an inference worker should be doing. It keeps what is unchanged untouched."""

    rev: int
    config_rev: int
    engine: str
    threads: int
    cameras: tuple[InferCamera, ...]
    misconfigured: tuple[MisconfiguredCamera, ...] = ()
    opening_hours: dict[str, dict[str, tuple[str, ...]]] = msgspec.field(default_factory=dict)  # by name
    timezone: str = "UTC"
    trace: TraceSample | None = None  # None: no frame is
    journeys: str = ""  # the JSON of a JourneySpec; "": none are told


class SinkAssignment(_Message, frozen=True):
    """One sink of the delivery worker. `address` may hold credentials: it never leaves the bus."""

    kind: str  # a key of streamer.sinks.SINKS
    name: str
    settings: str  # the kind's Settings as JSON, without secrets
    address: str  # the URL with its credentials; "" where the kind has none
    refused: str = ""  # why it is not opened: its events wait in the ledger meanwhile


class DeliverAssignment(_Message, frozen=True):
    """Without `sinks` the ledger alone is kept."""

    rev: int
    config_rev: int
    sinks: tuple[SinkAssignment, ...]
    ledger_path: str
    ledger_max_bytes: int
    retention_days: float
    node: str
    config_json: str = ""  # kept in the ledger under config_rev, without secrets
    cameras: tuple[str, ...] | None = None  # all that are configured; sinks tell of others as removed
    tracks_days: float | None = None  # None: as retention_days
    traces_to: str = ""  # the OTLP endpoint of traces; "": there are none
    renames: tuple[Rename, ...] = ()  # that the ledger is to know of; it keeps each once
    # The terms that cameras had on this box, the newest last.
    terms: dict[str, tuple[CameraTerm, ...]] = msgspec.field(default_factory=dict)


class ApiAssignment(_Message, frozen=True):
    """The configuration in force as JSON, without secrets: its section `api` says where to listen."""

    rev: int
    node: str
    ledger_path: str
    config_json: str


class ReplayRequest(_Message, frozen=True):
    """For the delivery worker: send again to a sink what was captured from `since_ns` on, of these cameras
    (none: all); with `rebuild` the sink forgets them first. The sink's status says when `number` is done."""

    number: int
    sink: str
    cameras: tuple[str, ...] = ()
    since_ns: int = 0
    rebuild: bool = False


class AllocateRing(_Message, frozen=True):
    """A source is open: asks for slots of `width` x `height` x 3 bytes and the camera's next epoch; again
    after a while where it was refused or not answered."""

    worker: str
    camera: str
    width: int
    height: int
    opening: int  # the worker's own count, to match the answer


class RingAllocated(_Message, frozen=True):
    camera: str
    path: str
    generation: int
    epoch: int
    slots: int
    width: int
    height: int
    opening: int


class RingRefused(_Message, frozen=True):
    """There is no ring for this opening now; `text` is one line that says why."""

    camera: str
    opening: int
    text: str


class Reclaim(_Message, frozen=True):
    """The reader of this camera's ring died: all its slots are free again, under a new generation."""

    camera: str
    generation: int


class SnapshotRequest(_Message, frozen=True):
    """Asks a capture worker for the camera's next frame as a JPEG, at most `width` wide (0: full size)."""

    request: int
    camera: str
    width: int


class Snapshot(_Message, frozen=True):
    """The answer to SnapshotRequest; `jpeg` is empty and `error` says why when there is none."""

    request: int
    camera: str
    jpeg: bytes
    error: str = ""


class CameraStatus(_Message, frozen=True):
    """For the delivery worker: what subscribers may see of a camera in its state hash; plain JSON."""

    camera: str
    status: dict[str, Any]


# ---- capture <-> inference


class FrameReady(_Message, frozen=True):
    """A slot now belongs to the reader, until it releases `lease` (frame_ring.py, clause 3)."""

    camera: str
    path: str
    generation: int
    slot: int
    epoch: int
    frame_id: int
    width: int
    height: int
    media_ns: int
    captured_ns: int
    received_mono_ns: int
    clock_source: str
    lease: int
    kept: bool = False  # it came before those that were handed over last, while its camera rested


class FramesGated(_Message, frozen=True):
    """A camera rests: nothing has moved in front of it up to `captured_ns`."""

    camera: str
    captured_ns: int


class FrameRequest(_Message, frozen=True):
    """Credit for one frame, the newest of `camera`. It releases `leases` of `generation`."""

    camera: str
    generation: int
    leases: tuple[int, ...]
    quiet: bool = False  # nothing is followed in the frames that it has had
    still: bool = False  # all that is followed in them has stood still for long
    fps: float = 0.0  # frames a second that are wanted from now on; 0: as the camera's configuration says
    short: bool = False  # inference waits long for a core


class SourceState(_Message, frozen=True):
    """A camera's state or health changed. `detail` is one line for people, `at_ns` the wall clock; `health`
    is one of pipelines.scene.health, since `health_since_ns`; "" where nobody watches it, or nothing is live.
    """

    camera: str
    state: CameraState
    detail: str
    at_ns: int
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codec: str = ""
    media_ns: int = 0
    epoch: int = 0
    health: str = ""
    health_detail: str = ""
    health_since_ns: int = 0


# ---- inference <-> delivery


class EventRecord(_Message, frozen=True):
    """An event with its place in the camera's sequence. `data` is plain JSON."""

    camera: str
    seq: int
    type: str
    subject: str
    epoch: int
    frame_id: int
    media_ns: int
    captured_ns: int
    age_ms: float
    config_rev: int
    data: dict[str, Any]
    emitted_ns: int = 0  # the box's wall clock when the event left the pipeline
    inference_ms: float = 0.0  # what the detector took for the batch with this frame
    taken_ms: float = 0.0  # queue age: how old the frame was when inference took it


class Batch(_Message, frozen=True):
    """Events of one inference step, kept by the sender until `number` is acknowledged.

    `oldest` is the sender's lowest number that is not acknowledged. A delivery worker takes a batch only
    as the oldest or next to one it has, so that what was lost with its predecessor is never overtaken.
    """

    worker: str
    number: int
    events: tuple[EventRecord, ...]
    oldest: int = 0  # 0: no claim, taken in the order of arrival


class FrameTrace(_Message, frozen=True):
    """The way of one frame that was sampled. `spans` are its parts as (name, start, end), in Unix nanoseconds
    of the box and in the order of their starts; `events` is how many came of it."""

    camera: str
    worker: str
    epoch: int
    frame_id: int
    events: int
    batch: int  # frames that the detector looked at together
    spans: tuple[tuple[str, int, int], ...]


class Ack(_Message, frozen=True):
    """All batches up to and including `number` are committed to the ledger."""

    number: int


class ResumeRequest(_Message, frozen=True):
    """A new inference worker asks where each camera stands before its first event."""

    worker: str
    cameras: tuple[str, ...]


class CameraResume(_Message, frozen=True):
    """Where one camera stands in the ledger.

    `bucket_start_ns` is the end of the last closed bucket (0: none); `bucket_events` are the data of the
    counting events after it, so that a restarted worker closes its bucket with all that was counted.
    `alerts` are the data of the alerts that are raised, as they were told last.
    """

    camera: str
    last_seq: int
    bucket_start_ns: int
    bucket_events: tuple[EventRecord, ...]
    alerts: tuple[dict[str, Any], ...] = ()


class Resume(_Message, frozen=True):
    cameras: tuple[CameraResume, ...]


# fmt: off
Message = (Hello | Ready | CameraWarning | WorkerStatus | CaptureAssignment | InferAssignment
    | DeliverAssignment | ApiAssignment | ReplayRequest | AllocateRing | RingAllocated | RingRefused | Reclaim
    | SnapshotRequest | CameraStatus | Snapshot | FrameReady | FramesGated | FrameRequest | SourceState
    | Batch | FrameTrace | Ack | ResumeRequest | Resume | AnyCameraRequest | AnyClipMessage)
# fmt: on

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(raw: bytes | memoryview) -> Message:
    """Raise MessageError if `raw` is not one of our messages."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a message of this version: {error}") from error
