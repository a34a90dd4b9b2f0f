"""Packets kept for clips: bounded in time and bytes, and written into a file that plays, whatever the codec
and the camera's clock."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import pytest
from av.codec import codecs_available

from streamer.errors import StorageError
from streamer.sources import packet_buffer
from streamer.sources.packet_buffer import KeptPacket, PacketBuffer
from streamer.sources.packet_writer import MAX_LEAP_S, TICKS, PacketWriter, Timeline
from tests.clips import make_clip, number_of

FRAMES, FPS = 50, 25
ROOM = 64 << 20
CODECS = {  # an encoder, its options, and the file that its clip is in
    "libx264": ({"bf": "2"}, ".mp4"),
    "libx265": ({"x265-params": "log-level=none", "preset": "ultrafast"}, ".mp4"),
    "mpeg4": ({"b": "2000000"}, ".mp4"),
    "mjpeg": ({"q": "3"}, ".mp4"),
    "libsvtav1": ({"preset": "12"}, ".mp4"),
    "libvpx-vp9": ({"deadline": "realtime", "cpu-used": "8"}, ".mp4"),
    "libvpx": ({"deadline": "realtime", "cpu-used": "8"}, ".mkv"),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "a.mp4",
        frames=FRAMES,
        key_frame_gap=10,
        options={"sc_threshold": "0"},
    )


class Clock:
    """The box's clocks, as the buffer reads them: they go on with the packets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ns = 1_000_000_000
        monkeypatch.setattr(packet_buffer, "time", self)

    def time_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def fill(buffer: PacketBuffer, clip: Path, clock: Clock) -> None:
    """As a camera would that sends `clip` in its own time."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        buffer.begin(stream)
        for packet in container.demux(stream):
            buffer.add(packet)
            clock.ns += 10**9 // FPS


def written(packets: list[KeptPacket], folder: Path) -> Path:
    with PacketWriter(folder, "clip", packets[0].stretch) as writer:
        for packet in packets:
            writer.add(packet)
    return writer.path


def length_s(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


def grabbed(path: Path) -> int:
    """How many pictures OpenCV finds."""
    capture = cv2.VideoCapture(str(path))
    try:
        return sum(1 for _ in iter(capture.grab, False))
    finally:
        capture.release()


def numbers(path: Path) -> Iterator[int]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield number_of(frame.to_ndarray(format="bgr24"))


@pytest.mark.parametrize("encoder", CODECS)
def test_a_clip_of_each_codec_plays_from_its_first_picture_to_its_last_and_is_as_long(
    encoder: str, tmp_path: Path, clock: Clock
) -> None:
    if encoder not in codecs_available:
        pytest.skip(f"this build of FFmpeg has no {encoder}")
    options, kind = CODECS[encoder]
    pixels = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
    clip = make_clip(tmp_path / "a.mkv", frames=FRAMES, codec=encoder, options=options, pixel_format=pixels)
    buffer = PacketBuffer(60, ROOM)
    fill(buffer, clip, clock)
    path = written(buffer.read(0), tmp_path)
    assert path.suffix == kind
    shown = list(numbers(path))
    assert shown == list(numbers(clip))
    assert len(shown) == FRAMES
    assert length_s(path) == pytest.approx(FRAMES / FPS, abs=0.1)
    assert grabbed(path) == grabbed(clip)
    assert grabbed(path) in (0, FRAMES)  # OpenCV's own FFmpeg has no AV1


def test_a_clip_of_a_transport_stream_plays_as_well(tmp_path: Path, clock: Clock) -> None:
    """Its packets have start codes and no parameters beside them, as HLS and some cameras send them."""
    clip = make_clip(tmp_path / "a.ts", frames=FRAMES, key_frame_gap=10)
    buffer = PacketBuffer(60, ROOM)
    fill(buffer, clip, clock)
    assert list(numbers(written(buffer.read(0), tmp_path))) == list(range(FRAMES))


def test_no_more_bytes_are_kept_than_allowed_and_what_is_kept_begins_with_a_key_frame(
    clip: Path, clock: Clock
) -> None:
    sizes = [len(packet.data) for packet in kept(clip, clock, 60, ROOM)]
    room = sum(sizes) // 2
    buffer = PacketBuffer(60, room)
    most = 0
    with av.open(str(clip)) as container:
        buffer.begin(container.streams.video[0])
        for packet in container.demux(video=0):
            buffer.add(packet)
            most = max(most, buffer.bytes)
            assert buffer.bytes == sum(len(each.data) for each in buffer.read(0))
    assert sizes[0] < most <= room
    assert buffer.read(0)[0].key
    assert buffer.read(0)[-1].number == FRAMES


def kept(clip: Path, clock: Clock, keep_s: float, room: int) -> list[KeptPacket]:
    buffer = PacketBuffer(keep_s, room)
    fill(buffer, clip, clock)
    return buffer.read(0)


def test_a_group_that_alone_is_too_large_is_let_go_and_the_next_one_is_kept(clip: Path, clock: Clock) -> None:
    groups = kept(clip, clock, 60, ROOM)
    first = sum(len(packet.data) for packet in groups[:10])
    buffer = PacketBuffer(60, first - 1)
    with av.open(str(clip)) as container:
        buffer.begin(container.streams.video[0])
        for number, packet in enumerate(container.demux(video=0), 1):
            buffer.add(packet)
            if number == 10:
                assert (buffer.read(0), buffer.bytes) == ([], 0)
            if number == 11:
                assert [each.key for each in buffer.read(0)] == [True]


def test_what_is_older_than_is_kept_is_let_go_but_for_the_group_before_the_last(
    clip: Path, clock: Clock
) -> None:
    assert [packet.number for packet in kept(clip, clock, 0.5, ROOM)] == list(range(31, FRAMES + 1))
    assert [packet.number for packet in kept(clip, clock, 0.01, ROOM)] == list(range(31, FRAMES + 1))
    assert len(kept(clip, clock, 60, ROOM)) == FRAMES


def test_a_clip_begins_at_the_key_frame_before_it_in_the_opening_that_its_event_was_in(
    clip: Path, clock: Clock
) -> None:
    buffer = PacketBuffer(60, ROOM)
    begun_ns = clock.ns
    fill(buffer, clip, clock)
    again_ns = clock.ns
    fill(buffer, clip, clock)
    second = 10**9
    found = buffer.start(begun_ns + second // 2, begun_ns + second)
    assert found is not None
    assert (found.number, found.key) == (11, True)
    across = buffer.start(again_ns - second, again_ns + second)  # one opening is one clip
    assert across is not None
    assert across.number == FRAMES + 1
    assert PacketBuffer(60, ROOM).start(0, 0) is None


BROKEN = {
    "fall back": lambda n, at: at - 100 if n >= 20 else at,
    "leap": lambda n, at: at + 1000 if n >= 20 else at,
    "stand": lambda _n, _at: Fraction(0),
    "are missing": lambda _n, _at: None,
    "jump to and fro": lambda n, at: at + (10_000 if n % 2 else -10_000),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_where_the_camera_s_times_make_no_sense_those_of_arrival_are_taken_and_counted(
    fault: str, clip: Path, clock: Clock, tmp_path: Path
) -> None:
    packets = [
        packet._replace(dts_s=time_s, pts_s=time_s)
        for n, packet in enumerate(kept(clip, clock, 60, ROOM))
        for time_s in [BROKEN[fault](n, Fraction(n, FPS))]
    ]
    with PacketWriter(tmp_path, "clip", packets[0].stretch) as writer:
        for packet in packets:
            writer.add(packet)
    assert writer.mended == (1 if fault in ("fall back", "leap") else FRAMES - 1)
    assert length_s(writer.path) == pytest.approx(FRAMES / FPS, abs=0.1)
    assert sum(1 for _ in numbers(writer.path)) == FRAMES


def test_times_rise_strictly_whatever_comes(clip: Path, clock: Clock) -> None:
    first = kept(clip, clock, 60, ROOM)[0]
    timeline, before = Timeline(), -1
    for n, at in enumerate((0.0, -5.0, 1e9, 1e9, 3.0, -1e12, 0.0)):
        packet = first._replace(dts_s=Fraction(at), pts_s=Fraction(at), came_mono_ns=(n // 2) * 10**6)
        dts, pts = timeline.next(packet)
        assert before < dts <= pts
        before = dts
    assert before < 7 * MAX_LEAP_S * TICKS


def test_pictures_that_come_as_they_are_are_not_kept(tmp_path: Path, clock: Clock) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=5, codec="rawvideo")
    buffer = PacketBuffer(60, ROOM)
    fill(buffer, clip, clock)
    assert (buffer.read(0), buffer.bytes) == ([], 0)


def test_a_clip_that_ends_in_an_error_leaves_no_file(clip: Path, clock: Clock, tmp_path: Path) -> None:
    packets = kept(clip, clock, 60, ROOM)
    with pytest.raises(KeyError), PacketWriter(tmp_path, "clip", packets[0].stretch) as writer:  # noqa: PT012
        writer.add(packets[0])
        writer.add(packets[1])
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="cannot be written"):
        PacketWriter(tmp_path / "none", "clip", packets[0].stretch)
