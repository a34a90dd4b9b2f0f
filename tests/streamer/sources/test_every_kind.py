"""What every kind of source answers to what goes wrong first: a wrong path, a wrong port, a wrong password, a
server that says nothing, pictures of another size and codec. Driven by the table of sources: a kind without
an answer here fails. A daemon's side of it: tests/faults, cases 20 to 25."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from streamer.errors import (
    AuthFailed,
    ConfigError,
    PortClosed,
    SourceEnded,
    SourceError,
    SourceStalled,
    StreamerError,
    StreamNotFound,
)
from streamer.sources import SOURCES
from streamer.sources.base import Source, create_source
from tests.certificates import Authority
from tests.clips import make_clip
from tests.http_server import basic, http_server, jpeg, motion_jpeg
from tests.patience import patient
from tests.rtsp_fake import FakeCamera
from tests.talking_server import Talk, talking
from tests.tls_end import behind_tls

NETWORK = [name for name, scheme in SOURCES.items() if scheme.network]
OVER_TLS = [name for name in NETWORK if SOURCES[name].ca]
PASSWORD = "canary"  # which no error may show


def hang_up(connection: socket.socket, _ending: threading.Event) -> None:
    """What an RTMP server does with a stream that it does not have, or not for this user."""
    connection.recv(100)


@contextmanager
def rtmp() -> Iterator[int]:
    with talking(hang_up) as server:
        yield server.port


@contextmanager
def web() -> Iterator[int]:
    """Has /closed, with a password, and no other path."""
    with http_server({"/closed": basic("admin", "right", motion_jpeg())}) as server:
        yield server.server_address[1]


@contextmanager
def rtsp(path: str) -> Iterator[int]:
    asks = ['Basic realm="x"'] if path == "/closed" else None
    missing = {} if asks else {"DESCRIBE": b"RTSP/1.0 404 Not Found\r\nCSeq: 2\r\n\r\n"}
    with FakeCamera(asks=asks, raw=missing) as camera:
        yield camera.port


SERVERS = {"rtsp": rtsp, "http": lambda _path: web(), "rtmp": lambda _path: rtmp()}
# By what is the same in both of a kind. RTMP has no word for a wrong password: servers end the connection.
WRONG_PASSWORD: dict[str, type[SourceError]] = {
    "rtsp": AuthFailed,
    "http": AuthFailed,
    "rtmp": StreamNotFound,
}


def refusal(name: str, port: int, path: str = "/live/cam", open_timeout_s: float = 5.0) -> StreamerError:
    """What opening it ends in: one line that shows no password."""
    url = f"{name}://admin:{PASSWORD}@127.0.0.1:{port}{path}"
    ca = {"ca": "any"} if SOURCES[name].ca else {}
    source = create_source(url, open_timeout_s=open_timeout_s, **ca)  # type: ignore[arg-type]
    with closing(source), pytest.raises(StreamerError) as raised:
        source.open()
    assert "\n" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("name", NETWORK)
def test_a_port_that_nobody_listens_on_is_called_closed(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error = refusal(name, port, open_timeout_s=patient(5))
    assert isinstance(error, PortClosed)
    assert "check address and port" in str(error)


@pytest.mark.parametrize("name", NETWORK)
def test_a_server_that_says_nothing_ends_within_its_deadline(name: str) -> None:
    def silent(_connection: socket.socket, ending: threading.Event) -> None:
        ending.wait(patient(20))

    talk: Talk = silent
    with talking(talk) as server:
        error = refusal(name, server.port, open_timeout_s=1.0)
    assert isinstance(error, SourceStalled), repr(error)


@pytest.mark.parametrize("name", NETWORK)
@pytest.mark.parametrize("path", ["/missing", "/closed"], ids=["wrong path", "wrong password"])
def test_a_wrong_path_and_a_wrong_password_are_told_apart(name: str, path: str, tmp_path: Path) -> None:
    family = name.removesuffix("s")
    with (
        SERVERS[family](path) as plain,
        behind_tls(plain, Authority(tmp_path / "ca")) if name in OVER_TLS else nullcontext(plain) as port,
    ):
        error = refusal(name, port, path, patient(5))
    assert isinstance(error, StreamNotFound if path == "/missing" else WRONG_PASSWORD[family]), repr(error)


# ---- kinds of this box

ABSENT: dict[str, tuple[str, str]] = {
    "v4l2": ("v4l2:/dev/video987", "no such device"),
    "folder": ("folder:///nowhere/at/all", "no such folder: check the path"),
    "file": ("/nowhere/at/all.mp4", "no such file: check the path"),
    "synthetic": ("synthetic:nowhere", "nowhere"),
}


def test_every_kind_of_source_has_its_answers_here() -> None:
    assert {*NETWORK, *ABSENT} == set(SOURCES)
    assert {name.removesuffix("s") for name in NETWORK} == set(SERVERS) == set(WRONG_PASSWORD)


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_there_on_this_box_is_said_with_its_name(name: str) -> None:
    url, text = ABSENT[name]
    with pytest.raises((SourceError, ConfigError), match=text):
        create_source(url).open()


def sizes_of(source: Source) -> list[int]:
    """The widths of its pictures, to its end or failure."""
    found: list[int] = []
    with closing(source), suppress(SourceEnded, SourceError):
        source.open()
        while len(found) < 100:
            found.append(source.read().width)
    return found


def test_pictures_of_another_size_and_codec_in_mid_stream_are_read_on(tmp_path: Path) -> None:
    def draw(number: int) -> bytes:
        return jpeg(number, *((320, 180) if number < 2 else (640, 360)))

    make_clip(tmp_path / "a.mp4", frames=2)
    make_clip(tmp_path / "b.mkv", frames=2, width=640, height=360, codec="mpeg4")
    with http_server({"/video": motion_jpeg(4, draw=draw)}) as server:
        camera = create_source(server.url("/video"), open_timeout_s=patient(5), read_timeout_s=patient(5))
        assert sizes_of(camera) == [320, 320, 640, 640]
    assert sizes_of(create_source(f"folder://{tmp_path}", realtime=False)) == [320, 320, 640, 640]
