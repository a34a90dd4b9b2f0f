"""Writes kept packets into a clip as they are: no picture is decoded, none loses anything.

Into MP4 where it takes the codec, else Matroska. The times of the stream are followed while they make sense;
where they are missing, stand, fall or leap, the time at which packets came is taken instead, so that a camera
with a broken clock makes a clip that plays.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamer.errors import StorageError
from streamer.sources.packet_buffer import KeptPacket, Stretch
from streamer.sources.packets import FFMPEG_ERRORS

TICKS = 90_000  # a second
TIME_BASE = Fraction(1, TICKS)
MAX_LEAP_S = 2  # further than the time that passed between two packets: a broken timestamp
MAX_REORDER_S = 5  # between the decoding and the showing of a picture
NOMINAL_TICKS = TICKS // 25  # of the last packet, after which nothing says how long it is shown


class Timeline:
    """Decoding and presentation times from 0 on, in ticks: the first rises strictly."""

    def __init__(self) -> None:
        self._before: KeptPacket | None = None
        self._dts = 0
        self.mended = 0  # packets whose own time was not followed

    def next(self, packet: KeptPacket) -> tuple[int, int]:
        """(dts, pts) of the packet."""
        before, self._before = self._before, packet
        if before is not None:
            self._dts += self._step(before, packet)
        return self._dts, self._dts + _reorder(packet)

    def _step(self, before: KeptPacket, packet: KeptPacket) -> int:
        passed_s = max(0.0, (packet.came_mono_ns - before.came_mono_ns) / 1e9)
        if packet.dts_s is not None and before.dts_s is not None:
            step_s = float(packet.dts_s - before.dts_s)
            if 0 < step_s <= passed_s + MAX_LEAP_S:
                return max(1, round(step_s * TICKS))
        self.mended += 1
        return max(1, round(passed_s * TICKS))


def _reorder(packet: KeptPacket) -> int:
    if packet.dts_s is None or packet.pts_s is None:
        return 0
    later_s = float(packet.pts_s - packet.dts_s)
    return round(later_s * TICKS) if 0 <= later_s <= MAX_REORDER_S else 0


class PacketWriter:
    """A context manager around one clip: `add` packets of one stretch in order, the first a key frame. The
    file is whole when the block has ended well; left by an error there is none.

    `folder` / `stem` plus .mp4 or .mkv is its path. Raises StorageError where it cannot be written.
    """

    def __init__(self, folder: Path, stem: str, stretch: Stretch) -> None:
        self.path = folder / f"{stem}.mp4"
        self.packets = 0
        self._timeline = Timeline()
        self._held: tuple[KeptPacket, int, int] | None = None
        try:
            self._open(folder, stem, stretch)
        except FFMPEG_ERRORS as error:
            self._drop()
            raise StorageError(f"{self.path}: cannot be written: {why(error)}") from error

    def _open(self, folder: Path, stem: str, stretch: Stretch) -> None:
        self._container = av.open(str(self.path), "w", format="mp4")
        try:
            self._stream = _stream_of(self._container, stretch)
        except ValueError:  # MP4 does not take this codec
            self._container.close()
            self.path.unlink(missing_ok=True)
            self.path = folder / f"{stem}.mkv"
            self._container = av.open(str(self.path), "w", format="matroska")
            self._stream = _stream_of(self._container, stretch)
        self.path.touch(0o600)  # FFmpeg opens it with the first packet, and would let others read it

    @property
    def mended(self) -> int:
        """How many packets came with times that could not be followed."""
        return self._timeline.mended

    def add(self, packet: KeptPacket) -> None:
        """Raises StorageError where the disk does not take it."""
        dts, pts = self._timeline.next(packet)
        if self._held is not None:
            self._mux(*self._held, dts - self._held[1])
        self._held = (packet, dts, pts)
        self.packets += 1

    def _mux(self, kept: KeptPacket, dts: int, pts: int, duration: int) -> None:
        packet: Packet[Stream] = Packet(kept.data)
        packet.stream, packet.time_base = self._stream, TIME_BASE
        packet.is_keyframe, packet.dts, packet.pts, packet.duration = kept.key, dts, pts, duration
        try:
            self._container.mux(packet)
        except FFMPEG_ERRORS as error:
            raise StorageError(f"{self.path}: cannot be written: {why(error)}") from error

    def __enter__(self) -> PacketWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._held is not None:
                self._mux(*self._held, NOMINAL_TICKS)
            self._container.close()
        except (StorageError, *FFMPEG_ERRORS) as failure:
            self._drop()
            if error is None:
                raise StorageError(f"{self.path}: cannot be written: {why(failure)}") from failure
        if error is not None:
            self._drop()

    def _drop(self) -> None:
        self.path.unlink(missing_ok=True)


def _stream_of(container: OutputContainer, stretch: Stretch) -> Stream:
    stream = container.add_stream_from_template(stretch.template, opaque=True)
    stream.time_base = TIME_BASE
    return stream


def why(error: Exception) -> str:
    """In few words, without the path."""
    return str(getattr(error, "strerror", None) or error)
