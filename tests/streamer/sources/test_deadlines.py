"""Whatever a server does, a step ends within its deadline, and close() ends it at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.errors import SourceDamaged, SourceError, SourceStalled
from streamer.sources.base import Source, create_source
from tests.clips import make_clip
from tests.patience import patient
from tests.talking_server import Talk, answer_until_play, rtp, talking

OPEN_S = 1.5
READ_S = 1.0
# Thread start and FFmpeg's polling interval of 0.1 s, on a machine that does other things as well.
SLACK_S = patient(1.0)


def say_nothing(_connection: socket.socket, ending: threading.Event) -> None:
    ending.wait(20 * SLACK_S)


def a_byte_a_second(connection: socket.socket, ending: threading.Event) -> None:
    answer = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n" + b"X-Slow: yes\r\n" * 100
    for byte in answer:
        connection.send(bytes([byte]))
        if ending.wait(0.3):
            return


def endless_header(connection: socket.socket, ending: threading.Event) -> None:
    connection.sendall(b"RTSP/1.0 200 OK\r\n")
    while not ending.is_set():
        connection.sendall(b"X-More: of the same\r\n" * 100)


def redirect_to_itself(connection: socket.socket, ending: threading.Event) -> None:
    port = connection.getsockname()[1]
    while not ending.is_set():
        request = connection.recv(4096)
        if not request:
            return
        sequence = request.split(b"CSeq: ")[1].split(b"\r\n")[0].decode()
        location = f"rtsp://127.0.0.1:{port}/live"
        connection.sendall(f"RTSP/1.0 302 Moved\r\nCSeq: {sequence}\r\nLocation: {location}\r\n\r\n".encode())


def garbage(connection: socket.socket, ending: threading.Event) -> None:
    while not ending.is_set():
        connection.sendall(bytes(range(256)) * 64)


def hang_up(connection: socket.socket, _ending: threading.Event) -> None:
    connection.recv(100)


def play_silence(connection: socket.socket, ending: threading.Event) -> None:
    if answer_until_play(connection):
        ending.wait(20 * SLACK_S)


def play_garbage(connection: socket.socket, ending: threading.Event) -> None:
    """RTP packets without end, of NAL units that are none."""
    if not answer_until_play(connection):
        return
    number = 0
    while not ending.wait(0.01):
        rtp(connection, number, bytes([0x65]) + bytes((number * 7 + i) % 256 for i in range(200)))
        number = (number + 1) % 65536


def play(source: Source, pictures: int) -> None:
    source.open()
    for _ in range(pictures):
        source.read()


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    """An opening that nobody waits for any more ends as well, at FFmpeg's own timeout."""
    yield
    for thread in threading.enumerate():
        if thread.name == "source-open":
            thread.join(2 * OPEN_S + SLACK_S)
            assert not thread.is_alive()


SERVERS = [
    say_nothing,
    a_byte_a_second,
    endless_header,
    redirect_to_itself,
    garbage,
    hang_up,
    play_silence,
    play_garbage,
]


@pytest.mark.parametrize("talk", SERVERS, ids=lambda talk: talk.__name__)
def test_opening_ends_within_its_deadline(talk: Talk) -> None:
    with talking(talk) as server:
        source = create_source(server.url, open_timeout_s=OPEN_S, read_timeout_s=READ_S)
        begun = time.monotonic()
        with pytest.raises(SourceError) as failed:
            play(source, pictures=1)
        took_s = time.monotonic() - begun
        source.close()
    assert took_s < OPEN_S + READ_S + SLACK_S
    assert str(failed.value).startswith("rtsp://127.0.0.1:")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("talk", [say_nothing, a_byte_a_second, play_silence], ids=lambda talk: talk.__name__)
def test_a_silent_server_is_called_stalled(talk: Talk) -> None:
    with talking(talk) as server:
        source = create_source(server.url, open_timeout_s=0.5, read_timeout_s=0.5)
        with pytest.raises(SourceStalled, match=r"within 0\.5 s"):
            source.open()
        source.close()


def test_a_server_that_refuses_connections_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    begun = time.monotonic()
    with pytest.raises(SourceError, match="connection refused"):
        create_source(url, open_timeout_s=10 * SLACK_S).open()
    assert time.monotonic() - begun < SLACK_S


def test_a_host_that_does_not_resolve_is_named() -> None:
    with pytest.raises(SourceError, match=r"no host of the name no-such-camera\.invalid"):
        create_source("rtsp://no-such-camera.invalid/live", open_timeout_s=3).open()


def test_closing_wakes_an_open_in_progress() -> None:
    with talking(say_nothing) as server:
        source = create_source(server.url, open_timeout_s=2 * SLACK_S, read_timeout_s=2 * SLACK_S)
        closer = threading.Timer(0.2, source.close)
        closer.start()
        begun = time.monotonic()
        with pytest.raises(SourceError, match="closed"):
            source.open()
        assert time.monotonic() - begun < 0.2 + SLACK_S
        closer.join()


def test_closing_wakes_a_paced_read(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "slow.mp4", frames=3, fps=1, pts=(0, 60, 120))
    source = create_source(str(clip), realtime=True)
    source.open()
    source.read()
    closer = threading.Timer(0.2, source.close)
    closer.start()
    begun = time.monotonic()
    with pytest.raises(SourceError, match="closed"):
        source.read()
    assert time.monotonic() - begun < 0.2 + SLACK_S
    closer.join()


def test_closing_before_opening_and_twice_is_harmless(tmp_path: Path) -> None:
    source = create_source(str(make_clip(tmp_path / "a.mp4", frames=3)))
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.open()


def test_one_thread_reads_while_another_closes(tmp_path: Path) -> None:
    """200 times over, at whatever moment it comes: an error of ours, never a crash or a hang."""
    clip = make_clip(tmp_path / "a.mp4", frames=30, width=64, height=48)
    for turn in range(200):
        source = create_source(str(clip), realtime=False, loop=True)
        closer = threading.Timer(0.0005 * (turn % 20), source.close)
        closer.start()
        with pytest.raises(SourceError, match="closed"):
            play(source, pictures=100_000)
        closer.join()


def test_a_stream_that_never_makes_a_picture_ends() -> None:
    with talking(play_garbage) as server:
        source = create_source(server.url, open_timeout_s=3, read_timeout_s=1)
        with pytest.raises((SourceStalled, SourceDamaged)):
            play(source, pictures=1)
        source.close()
