"""The last seconds of a camera's packets, as they came, for clips that begin before what they show.

Nothing is decoded or encoded for it. The bytes are copied, since a packet of FFmpeg belongs to an input that
may close, and the codec's parameters are kept in a stream of our own for the same reason. What is kept is
bounded twice, by time and by bytes; it is let go in groups that begin with a key frame.
"""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from fractions import Fraction
from typing import NamedTuple

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from streamer.sources.packets import FFMPEG_ERRORS

UNPACKED = ("rawvideo",)  # pictures as they are: a second of them is more than a clip
SLACK = 2  # groups that are kept at least: what began before the last key frame is still whole


class Stretch:
    """What came of one opening of a camera: one codec, one count of time. `template` has its parameters."""

    def __init__(self, stream: VideoStream) -> None:
        self._holder = av.open(io.BytesIO(), "w", format="matroska")
        self.template = self._holder.add_stream_from_template(stream, opaque=True)
        self.codec = stream.codec_context.codec.canonical_name
        self.ended = False


class KeptPacket(NamedTuple):
    """`number` rises by one over all stretches; `came_ns` is the box's wall clock. Times in seconds of the
    stream's own clock, None where it does not say."""

    number: int
    stretch: Stretch
    data: bytes
    key: bool
    dts_s: Fraction | None
    pts_s: Fraction | None
    came_ns: int
    came_mono_ns: int


class PacketBuffer:
    """`add` and `begin` by the thread that reads the camera, `read` by any."""

    def __init__(self, keep_s: float, max_bytes: int) -> None:
        self._keep_ns, self._max_bytes = int(keep_s * 1e9), max_bytes
        self._lock = threading.Lock()
        self._groups: deque[list[KeptPacket]] = deque()
        self._stretch: Stretch | None = None
        self._number = 0
        self.bytes = 0

    def begin(self, stream: VideoStream) -> None:
        """A source is open: what comes next is of `stream`."""
        self.end()
        if stream.codec_context.name in UNPACKED:
            return
        try:
            stretch = Stretch(stream)
        except FFMPEG_ERRORS:
            return  # of a codec that no container takes: there will be nothing, and a clip says so
        with self._lock:
            self._stretch = stretch

    def end(self) -> None:
        """The source is closed; what is kept stays."""
        with self._lock:
            if self._stretch is not None:
                self._stretch.ended = True
            self._stretch = None

    def add(self, packet: Packet[Stream]) -> None:
        """One that begins no group, and has none before it, is of no use and is not kept."""
        stretch = self._stretch
        if stretch is None or not packet.size:
            return
        with self._lock:
            last = self._groups[-1][-1].stretch if self._groups else None
            if packet.is_keyframe:
                self._groups.append([])
            elif last is not stretch:
                return
            self._groups[-1].append(self._copied(packet, stretch))
            self.bytes += packet.size
            self._let_go()

    def _copied(self, packet: Packet[Stream], stretch: Stretch) -> KeptPacket:
        self._number += 1
        base = packet.time_base
        dts_s, pts_s = (None if at is None or not base else at * base for at in (packet.dts, packet.pts))
        key, now = bool(packet.is_keyframe), (time.time_ns(), time.monotonic_ns())
        return KeptPacket(self._number, stretch, bytes(packet), key, dts_s, pts_s, *now)

    def _let_go(self) -> None:
        """With the lock held. A group that alone takes more than there is room for goes as well: what comes
        then waits for the next key frame."""
        oldest_ns = time.monotonic_ns() - self._keep_ns
        while len(self._groups) > SLACK and self._groups[1][0].came_mono_ns < oldest_ns:
            self._drop_first()
        while self._groups and self.bytes > self._max_bytes:
            self._drop_first()

    def _drop_first(self) -> None:
        self.bytes -= sum(len(packet.data) for packet in self._groups.popleft())

    # ---- for who writes a clip

    def start(self, from_ns: int, at_ns: int) -> KeptPacket | None:
        """Where a clip from `from_ns` on begins: at the last key frame before that, in the opening that had
        begun by `at_ns`, or the next one that there is. None: nothing is kept."""
        with self._lock:
            keys = [group[0] for group in self._groups if group]
        if not keys:
            return None
        around = next((key.stretch for key in reversed(keys) if key.came_ns <= at_ns), keys[0].stretch)
        keys = [key for key in keys if key.stretch is around]
        return next((key for key in reversed(keys) if key.came_ns <= from_ns), keys[0])

    def read(self, number: int) -> list[KeptPacket]:
        """Those that are still kept, from `number` on, oldest first."""
        found: list[KeptPacket] = []
        with self._lock:
            for group in reversed(self._groups):
                if group and group[-1].number < number:
                    break
                found[:0] = [packet for packet in group if packet.number >= number]
        return found
