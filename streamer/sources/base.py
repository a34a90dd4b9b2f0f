"""What every source of pictures is: it opens, reads and raises. Retry lives once, in the capture worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np

from pipelines.geometry import fit
from pipelines.values import Image
from pipelines.video_facts import VideoFacts
from streamer.ipc.choices import Decode, Frames, Transport
from streamer.sources.limits import SourceLimits
from streamer.sources.urls import check_choice, check_source_url, lookup_scheme

if TYPE_CHECKING:
    from streamer.sources.packet_buffer import PacketBuffer


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a source is read. `loop` and `realtime` mean nothing to a camera, which is live by nature, and
    `transport` ("auto", "tcp" or "udp") means nothing to a file.

    stream: the number of the stream to read, as ffprobe counts; None: the video that FFmpeg would take.
    realtime: frames come when they are due by their own timestamps; else as fast as they are read.
    open_timeout_s bounds open(), and read() for the first frame; read_timeout_s bounds any other read().
    limits: where a file may lie and a camera may be; what is elsewhere is a SourceError of open().
    ca: who vouches for a camera's certificate (tls.py). decode: the device that decodes (hardware.py).
    frames: "key": key frames alone are decoded.
    buffer: what keeps the packets that come, for clips; what has no packets leaves it empty.
    spares: asked at each key frame whether decoding may be cheaper and less exact (picture_decoder.py).
    """

    loop: bool = False
    realtime: bool = True
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    stream: int | None = None
    transport: Transport = "auto"
    limits: SourceLimits = field(default_factory=SourceLimits)
    ca: str = ""
    decode: Decode = "none"
    frames: Frames = "all"
    buffer: PacketBuffer | None = None
    spares: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once it is open. `fps` is 0 where the stream does not say.

    `clock_source`: "rtp" (the camera's RTP time), "pts" (a file's timestamps) or "arrival".
    """

    width: int
    height: int
    fps: float
    codec: str
    clock_source: str
    duration_s: float | None = None
    frames: int | None = None
    pixel_format: str = ""
    stream: int | None = None  # the number of the one that is read
    videos: tuple[VideoFacts, ...] = ()  # all that there are, where it is a file or a camera
    transport: str = ""  # "tcp" or "udp", of a camera
    decoder: str = ""  # the device that decodes it; "" the processor
    note: str = ""  # one line on what is not as it was asked for


class Decoded(ABC):
    """One decoded picture, at full size, with its times (pipelines.values.Stamp says what they mean).

    `loop` is the number of the pass over a file that repeats, from 0: when it changes the picture jumps,
    and a new epoch must begin. `kept`: it came while the source rested, and is decoded only now. It may be
    used from another thread than the one that reads.
    """

    __slots__ = (
        "captured_ns",
        "clock_source",
        "height",
        "kept",
        "key_frame",
        "loop",
        "media_ns",
        "received_mono_ns",
        "width",
    )

    def __init__(
        self,
        width: int,
        height: int,
        *,
        media_ns: int,
        captured_ns: int,
        received_mono_ns: int,
        clock_source: str = "pts",
        loop: int = 0,
        key_frame: bool = False,
        kept: bool = False,
    ) -> None:
        self.width = width
        self.height = height
        self.media_ns = media_ns
        self.captured_ns = captured_ns
        self.received_mono_ns = received_mono_ns
        self.clock_source = clock_source
        self.loop = loop
        self.key_frame = key_frame
        self.kept = kept

    @abstractmethod
    def write_bgr(self, out: Image) -> None:
        """Scale the picture to the shape of `out`, (H, W, 3) uint8 BGR with rows in one piece, into it."""

    def shrink(self, max_width: int) -> None:  # noqa: B027
        """Let go of what the picture has beyond `max_width`, to take less memory while it waits. Its size as
        it is told stays."""

    def image(self, max_width: int = 0) -> Image:
        """The picture as (H, W, 3) uint8 BGR, at most `max_width` wide (0: full size), aspect kept."""
        width, height = fit(self.width, self.height, max_width)
        out = np.empty((height, width, 3), np.uint8)
        self.write_bgr(out)
        return out


@dataclass(frozen=True, slots=True)
class Rested:
    """A packet of a source that rests: its size in bytes, 0 of a key frame, and when it came. `picture` of a
    key frame that is looked at, alone.

    `let_go`: how many packets are kept no longer since the one before; `too_long`: key frames are too far
    apart for a rest to be worth it.
    """

    size: int
    captured_ns: int
    received_mono_ns: int
    let_go: int = 0
    too_long: bool = False
    picture: Decoded | None = None


class Source(Protocol):
    """A camera or clip. Every step ends within its deadline, in a result or a SourceError.

    open() once, then read() again and again by one thread. close() may be called from any thread, more
    than once, and returns at once; it wakes an open() or a paced read(), and a read() that waits for a
    camera ends with its next packet or its deadline. What was woken raises SourceError.
    """

    def open(self) -> SourceInfo:
        """Raise SourceError if it cannot be opened within the open timeout."""

    def read(self) -> Decoded:
        """The next picture. Raise SourceEnded, SourceStalled, SourceDamaged or another SourceError."""

    def close(self) -> None: ...


@runtime_checkable
class RestingSource(Source, Protocol):
    """A source that need not decode all that comes. All by the thread that reads."""

    def rest(self, keys_every_s: float = 0.0) -> bool:
        """Decode key frames alone, of those one in so many seconds, from the next one on, and keep the
        packets; whether it will."""

    def packet_sizes(self) -> list[int]:
        """In bytes, of those decoded since the last call, without key frames."""

    def follow(self) -> Decoded | Rested:
        """As read(); while it rests, the next packet."""

    def glance(self) -> None:
        """The picture of the key frame that came last, while it rests, is given to inference."""

    def wake(self, groups: int) -> int:
        """Decode all again: first what was kept since the last key frame (1) or the one before it (2), with
        `Decoded.kept`. Returns how many packets were let go."""


@runtime_checkable
class SparingSource(Source, Protocol):
    """A source that asks `ReadOptions.spares`."""

    @property
    def spared(self) -> bool:
        """Whether its pictures are decoded so now; of any thread."""


class _Create(Protocol):
    def __call__(self, url: str, options: ReadOptions) -> Source: ...


def create_source(
    url: str,
    *,
    loop: bool = False,
    realtime: bool = True,
    open_timeout_s: float = 10.0,
    read_timeout_s: float = 5.0,
    stream: int | None = None,
    transport: Transport = "auto",
    limits: SourceLimits | None = None,
    ca: str = "",
    decode: Decode = "none",
    frames: Frames = "all",
    buffer: PacketBuffer | None = None,
    spares: Callable[[], bool] | None = None,
) -> Source:
    """The source for `url`, not yet open. Raise ConfigError if no source can be made of the URL."""
    url = check_source_url(url)
    check_choice(url, stream, transport, ca)
    create = cast(_Create, resolve_name(lookup_scheme(url).create))
    options = ReadOptions(
        loop=loop,
        realtime=realtime,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
        stream=stream,
        transport=transport,
        limits=limits or SourceLimits(),
        ca=ca,
        decode=decode,
        frames=frames,
        buffer=buffer,
        spares=spares,
    )
    return create(url, options)
