"""One opened FFmpeg input and its video decoder, with a deadline on every step.

PyAV interrupts FFmpeg's waiting for the network, but not name resolution, and an open in progress cannot
be woken; so the opening runs in a thread of its own, which is left behind when the deadline passes or the
source is closed, and which then closes what it may still have opened. A read is bounded by PyAV's timeout
per packet, and here per picture: a stream of packets that never make a picture ends as well.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.video_facts import VideoFacts
from streamer.errors import SourceDamaged, SourceError, SourceStalled
from streamer.sources.ffmpeg_errors import explain
from streamer.sources.hardware import chosen, note
from streamer.sources.kept_packets import Arrival, Kept, KeptPackets, arrives_now
from streamer.sources.opening import Opening, OpenRequest
from streamer.sources.packet_buffer import PacketBuffer
from streamer.sources.packets import FFMPEG_ERRORS, Packets
from streamer.sources.picture_decoder import PictureDecoder
from streamer.sources.read_deadline import rounded
from streamer.sources.stream_selection import select_stream

MAX_DAMAGED_PACKETS = 250  # in a row: some ten seconds of a stream of which nothing can be decoded
GENERATE_PTS = 0x0001  # AVFMT_FLAG_GENPTS, which PyAV sets
EARLY_S = 0.05  # an error this close to a deadline is the deadline
MAX_SIZES = 100  # of packets that nobody has asked for yet
_CLOSED = "closed while it was in use"


@dataclass(frozen=True, slots=True)
class PacketSeen:
    """A packet of an input that rests; `picture` of a key frame, the others are not decoded, nor are all of
    these. `size` is 0 of a key frame: it is as large as the picture is rich. `dts_ns` None: it does not say.

    `let_go`: how many such packets are kept no longer since the one before. `too_long`: key frames are too
    far apart to rest.
    """

    size: int
    dts_ns: int | None
    let_go: int
    too_long: bool
    picture: VideoFrame | None


def _unchanged(packet: Packet[Stream]) -> bool:
    """Whether it is empty, with a time: the picture is the one before, as recorders write it. To a decoder
    nothing at all means the end; FFmpeg's own packet for that has no time.
    """
    return packet.size == 0 and not (packet.dts is None and packet.pts is None)


def _timestamp(of: Packet[Stream] | VideoFrame) -> int | None:
    return of.dts if of.pts is None else of.pts


class VideoInput:
    """The video of one input: open() once, next_frame() by one thread, close() from any.

    `frames` counts the decoded pictures, `damaged` the packets that could not be decoded, `video_bytes`
    what the packets of the video held. `index` is the stream's number in the container, `stated` how many
    packets the header says there are, `listed` how many its index has at the open, `listed_empty` how many
    of these are of no bytes.
    """

    def __init__(
        self,
        request: OpenRequest,
        arrival: Callable[[Packet[Stream]], Arrival] = arrives_now,
        buffer: PacketBuffer | None = None,
        spares: Callable[[], bool] | None = None,
    ) -> None:
        self._request = request
        self._spares = spares
        self._arrival = arrival
        self._buffer = buffer  # of all that comes, for clips
        self.closed = threading.Event()  # waiting on it is how a paced read sleeps
        self._wake = threading.Event()  # opening done, or closed
        self._reading = threading.Lock()  # held while FFmpeg is inside the container
        self._container: InputContainer | None = None
        self._packets: Packets | None = None
        self._pending: list[VideoFrame] = []
        self._stream: VideoStream | None = None
        self._codec: PictureDecoder | None = None
        self._sizes: deque[int] = deque(maxlen=MAX_SIZES)
        self._rest_wanted = False
        self._keys_every_ns = 0
        self._key_ns: int | None = None  # of the key frame that was decoded last in this rest
        self._kept: KeptPackets | None = None  # while it rests
        self._before: KeptPackets | None = None  # the same before it rests, of one that may
        self._again: deque[Kept] = deque()  # kept packets that are decoded now
        self._arrivals: dict[int, Kept] = {}  # of these, by their timestamps
        self._given: set[int] = set()  # timestamps of those whose pictures were given before
        self.videos: tuple[VideoFacts, ...] = ()  # all that the input has
        self.frames = 0
        self.damaged = 0
        self.video_bytes = 0
        self.format = ""  # FFmpeg's name of the container
        self.index = self.stated = self.listed = self.listed_empty = 0

    @property
    def container(self) -> InputContainer:
        assert self._container is not None, "open() comes first"
        return self._container

    @property
    def stream(self) -> VideoStream:
        assert self._stream is not None, "open() comes first"
        return self._stream

    @property
    def codec(self) -> PictureDecoder:
        assert self._codec is not None, "open() comes first"
        return self._codec

    def open(self) -> None:
        opening = Opening(self._request, self._wake)
        opening.start()
        self._wake.wait(self._request.open_timeout_s)
        try:
            container = opening.take()
        except SourceError:
            self._raise_if_closed()
            raise
        with self._reading:
            self._container = container
            if not self.closed.is_set():
                self._start(container)
        self._raise_if_closed()

    def _raise_if_closed(self) -> None:
        if self.closed.is_set():
            self._release()
            raise SourceError(f"{self._request.shown}: {_CLOSED}")

    def _start(self, container: InputContainer) -> None:
        # FFmpeg's guess of missing timestamps puts the pictures of an AVI with B frames out of order.
        container.flags &= ~GENERATE_PTS
        request = self._request
        self._packets = Packets(container)
        try:
            stream, self.videos = select_stream(
                container, self._packets, request.shown, request.stream, look_ahead=request.look_ahead
            )
        except SourceError:
            self._packets = None
            container.close()
            self._container = None
            raise
        self._codec = PictureDecoder(stream, self._spares)
        self._stream = stream
        self.format, self.index, self.stated = container.format.name, stream.index, stream.frames
        if self.stated:  # now: another thread may close the container while it is read
            sizes = [entry.size for entry in stream.index_entries]
            self.listed, self.listed_empty = len(sizes), sizes.count(0)
        if self._buffer is not None:
            self._buffer.begin(stream)

    def next_frame(self, timeout_s: float) -> VideoFrame | None:
        """The next picture, None at the end. Raise SourceStalled after `timeout_s`, or SourceDamaged."""
        if self.peek_frame(timeout_s) is None:
            return None
        self.frames += 1
        return self._pending.pop(0)

    def peek_frame(self, timeout_s: float) -> VideoFrame | None:
        """The picture that next_frame() will return."""
        if not self._pending:
            with self._reading:
                if not self.closed.is_set():
                    self._decode_until_frame(time.monotonic() + timeout_s, timeout_s)
        self._raise_if_closed()
        return self._pending[0] if self._pending else None

    # ---- resting

    def packet_sizes(self) -> list[int]:
        """Of the packets decoded since the last call, key frames left out. An input that is asked may rest:
        from then on it keeps its packets."""
        if self._before is None:
            self._before = KeptPackets()
        sizes = list(self._sizes)
        self._sizes.clear()
        return sizes

    def rest(self, keys_every_s: float = 0.0) -> None:
        """Decode nothing but key frames, one in so many seconds, at once where the packets since the last
        one are kept, else from the next one on: next_seen() gives what there is."""
        self._rest_wanted, self._keys_every_ns = True, int(keys_every_s * 1e9)

    def wake(self, groups: int) -> int:
        """Decode all again, beginning with what came since the last key frame (`groups` 1) or the one before
        it (2); returns how many packets were let go."""
        self._rest_wanted = False
        kept, self._kept = self._kept, None
        if kept is None:
            return 0
        self._again.extend(kept.take(groups))
        let_go, self._before = kept.let_go, KeptPackets()
        timed = [(pts, kept) for kept in self._again if (pts := _timestamp(kept.packet)) is not None]
        self._arrivals = {pts: kept for pts, kept in timed if not kept.given}
        self._given = {pts for pts, kept in timed if kept.given}
        self.codec.flush()
        return let_go

    def glance(self) -> None:
        """The picture of the key frame that came last, while it rests, is given."""
        if self._kept is not None:
            self._kept.give_last()

    def came(self, frame: VideoFrame) -> Arrival | None:
        """When a picture came that was decoded of a kept packet; None of others."""
        pts = _timestamp(frame) if self._arrivals else None
        found = self._arrivals.pop(pts, None) if pts is not None else None
        return found.arrival if found is not None else None

    def next_seen(self, timeout_s: float) -> VideoFrame | PacketSeen | None:
        """As next_frame(); of an input that rests, the next packet."""
        if self._kept is None or self._pending:
            frame = self.next_frame(timeout_s)
            if frame is not None or self._kept is None:
                return frame
        with self._reading:
            seen = None if self.closed.is_set() else self._keep_next(self._kept, timeout_s)
        self._raise_if_closed()
        return seen

    def _keep_next(self, kept: KeptPackets, timeout_s: float) -> PacketSeen | None:
        deadline = time.monotonic() + timeout_s
        while (packet := self._next_packet()) is not None:
            if packet.stream.index != self.stream.index or not packet.size:
                if time.monotonic() > deadline:
                    raise SourceStalled(
                        f"{self._request.shown}: data comes, but no video for {rounded(timeout_s)}"
                    )
                continue
            self.video_bytes += packet.size
            kept.add(packet, self._arrival(packet))
            base, dts = packet.time_base, packet.dts
            dts_ns = None if dts is None or not base else int(dts * 1_000_000_000 * base)
            key, let_go, kept.let_go = packet.is_keyframe, kept.let_go, 0
            picture = self._picture_of(packet) if key and self._is_key_due(dts_ns) else None
            return PacketSeen(0 if key else packet.size, dts_ns, let_go, kept.too_long, picture)
        return None

    def _is_key_due(self, dts_ns: int | None) -> bool:
        """Whether the key frame of that time is decoded."""
        before_ns = self._key_ns
        if dts_ns is not None and before_ns is not None and 0 <= dts_ns - before_ns < self._keys_every_ns:
            return False
        self._key_ns = dts_ns
        return True

    def _picture_of(self, packet: Packet[Stream]) -> VideoFrame | None:
        """Of a key frame by itself; the decoder begins anew with what comes after it."""
        codec = self.codec
        try:
            codec.flush()
            return next(iter([*codec.decode(packet), *codec.decode(None)]), None)
        except FFMPEG_ERRORS:
            self.damaged += 1
            return None
        finally:
            codec.flush()

    def _begin_rest(self) -> None:
        """What the decoder still has comes out before it."""
        try:
            self._pending = self._ungiven(self.codec.decode(None))
        except FFMPEG_ERRORS:
            self.damaged += 1
        self._given.clear()
        self.codec.flush()
        self._kept, self._before, self._rest_wanted = self._before or KeptPackets(), None, False
        self._key_ns = None

    def _rests_now(self, packet: Packet[Stream]) -> bool:
        """Whether a rest that is wanted begins with `packet`, which has come and is not decoded yet."""
        if not self._rest_wanted:
            return False
        before = self._before
        if not packet.is_keyframe and (before is None or not before.whole or before.too_long):
            return False
        self._begin_rest()
        assert self._kept is not None
        self._kept.add(packet, self._arrival(packet))
        return True

    def _remember(self, packet: Packet[Stream], kept: Kept | None) -> None:
        """Of an input that may rest, a packet that is decoded now; `kept` where it was kept until now."""
        before = self._before
        if before is None or not (packet.is_keyframe or before.whole):
            return
        before.add(packet, self._arrival(packet) if kept is None else kept.arrival, given=True)
        before.let_go = 0
        if before.too_long:  # then it waits for a key frame
            before.forget()

    def _decode_until_frame(self, deadline: float, timeout_s: float) -> None:
        damaged_in_a_row = 0
        while not self._pending and not self.closed.is_set():
            again = self._again.popleft() if self._again else None
            packet = again.packet if again is not None else self._next_packet()
            if packet is None:
                return
            # the last, empty packets are of stream 0
            if packet.stream.index == self.stream.index and not _unchanged(packet):
                if again is None:
                    self.video_bytes += packet.size
                    if self._before is not None and not packet.is_keyframe:
                        self._sizes.append(packet.size)
                    if self._rests_now(packet):
                        return
                self._remember(packet, again)
                try:
                    self._pending = self._decoded(packet)
                    damaged_in_a_row = 0
                except FFMPEG_ERRORS as error:
                    self.damaged += 1
                    damaged_in_a_row += 1
                    if damaged_in_a_row >= MAX_DAMAGED_PACKETS:
                        raise self._undecodable(error) from None
            if not self._pending and time.monotonic() > deadline:
                key = self._request.key_frames_only
                raise SourceStalled(
                    f"{self._request.shown}: data comes, but made no picture for {rounded(timeout_s)}"
                    + (": set a shorter key frame gap in the camera, or more source.read_timeout_s" * key)
                )

    def _decoded(self, packet: Packet[Stream]) -> list[VideoFrame]:
        if not self._request.key_frames_only:
            return self._ungiven(self.codec.decode(packet))
        picture = self._picture_of(packet) if packet.is_keyframe else None
        if picture is None:
            return []
        picture.pts, picture.time_base = _timestamp(packet), packet.time_base  # a flush leaves none
        return [picture]

    @property
    def spared(self) -> bool:
        """Whether the decoder leaves something out now, to be cheaper."""
        return self._codec is not None and self._codec.spared

    @property
    def decoder(self) -> str:
        """The device that decodes; empty: the processor."""
        return chosen(self._request.decode) if self.codec.is_hwaccel else ""

    @property
    def note(self) -> str:
        """One line on what is not as it was asked for."""
        return note(self._request.decode, bool(self.decoder))

    def _ungiven(self, pictures: list[VideoFrame]) -> list[VideoFrame]:
        if not self._given:
            return pictures
        left = [picture for picture in pictures if _timestamp(picture) not in self._given]
        self._given.difference_update(pts for p in pictures if (pts := _timestamp(p)) is not None)
        return left

    def _undecodable(self, error: Exception) -> SourceDamaged:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return SourceDamaged(
            f"{self._request.shown}: {self.damaged} packets in a row could not be decoded ({reason})"
        )

    def _next_packet(self) -> Packet[Stream] | None:
        begun = time.monotonic()
        if self._request.before_read is not None:
            self._request.before_read()
        failed: Exception | None = None
        assert self._packets is not None, "open() comes first"
        try:
            packet = self._packets.next()
        except FFMPEG_ERRORS as error:
            packet, failed = None, error
        if self._request.after_read is not None:
            self._request.after_read()
        if packet is None and time.monotonic() - begun >= self._request.read_timeout_s - EARLY_S:
            failed = TimeoutError()
        if failed is not None:
            raise explain(failed, self._request.shown, self._request.read_timeout_s) from None
        if self._buffer is not None and packet is not None and packet.stream.index == self.stream.index:
            self._buffer.add(packet)
        return packet

    def close(self) -> None:
        """Return at once; FFmpeg's memory is freed now, or by the reading thread on its way out."""
        self.closed.set()
        self._wake.set()
        self._release()

    def _release(self) -> None:
        if not self._reading.acquire(blocking=False):
            return
        try:
            self._packets = None
            self._pending = []
            if self._container is not None:
                self._container.close()
                self._container = None
        finally:
            self._reading.release()
