"""RTMP: a stream that is pulled from a real server, and what is told where there is none."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from streamer.errors import PortClosed, SourceError, SourceStalled, StreamNotFound
from streamer.sources.base import create_source
from streamer.sources.limits import SourceLimits
from tests.certificates import Authority
from tests.clips import make_clip, number_of
from tests.patience import patient
from tests.rtmp_server import rtmp_server
from tests.talking_server import talking
from tests.tls_end import behind_tls


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("rtmp") / "a.mp4", frames=250, options={"bf": "0"})


def test_a_stream_is_pulled_from_a_server(clip: Path) -> None:
    with rtmp_server(clip) as port:
        source = create_source(f"rtmp://127.0.0.1:{port}/live/cam", open_timeout_s=patient(5))
        with closing(source):
            info = source.open()
            pictures = [source.read() for _ in range(10)]
    assert (info.codec, info.width, info.height, info.clock_source) == ("h264", 320, 180, "pts")
    numbers = [number_of(picture.image()) for picture in pictures]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert pictures[9].media_ns - pictures[0].media_ns == pytest.approx(360_000_000, abs=20_000_000)


def test_a_server_that_is_silent_ends_in_time() -> None:
    def silent(_connection: socket.socket, ending: threading.Event) -> None:
        ending.wait(patient(20))

    with talking(silent) as server, pytest.raises(SourceStalled):
        create_source(f"rtmp://127.0.0.1:{server.port}/live/cam", open_timeout_s=1.0).open()


def test_what_is_no_server_of_the_kind_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(PortClosed, match="connection refused"):
        create_source(f"rtmp://127.0.0.1:{port}/live/cam", open_timeout_s=patient(5)).open()

    def hang_up(connection: socket.socket, _ending: threading.Event) -> None:
        connection.recv(100)

    with talking(hang_up) as server, pytest.raises(StreamNotFound):
        create_source(f"rtmp://127.0.0.1:{server.port}/live/cam", open_timeout_s=patient(5)).open()


def test_a_server_is_in_the_allowed_networks() -> None:
    limits = SourceLimits(networks=("10.0.0.0/8",))
    with pytest.raises(SourceError, match="in none of the allowed networks"):
        create_source("rtmp://127.0.0.1:1/live/cam", limits=limits).open()


def test_a_certificate_is_checked_before_anything_is_said(clip: Path, tmp_path: Path) -> None:
    """A TLS end in front of the real server."""
    authority = Authority(tmp_path / "ca")
    with rtmp_server(clip) as plain, behind_tls(plain, authority) as port:
        url = f"rtmps://127.0.0.1:{port}/live/cam"
        with pytest.raises(SourceError, match="not trusted"):
            create_source(url, open_timeout_s=patient(5)).open()
        source = create_source(url, open_timeout_s=patient(5), ca=str(authority.ca))
        with closing(source):
            assert source.open().codec == "h264"
