"""Over TCP, or over UDP where a camera offers nothing else; and paths as people type them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from av.container import InputContainer

from streamer.errors import AuthFailed, SourceError, SourceStalled
from streamer.sources import rtsp
from streamer.sources.base import Source, create_source
from streamer.sources.opening import OpenRequest, open_input
from streamer.sources.probe import probe
from streamer.sources.urls import join_credentials, sendable
from tests.clips import make_clip, number_of, repeat_clip
from tests.rtsp_fake import FakeCamera
from tests.rtsp_server import RtspServer

USER, PASSWORD = "ad min", "p@ss:w/rd#?%é"
QUOTED = "/My%20Stream/ch%201"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    return repeat_clip(make_clip(folder / "a.mp4", frames=50, options={"bf": "0"}), folder / "b.mp4", 15)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The transports of all attempts."""
    found: list[str] = []

    def spied(request: OpenRequest) -> InputContainer:
        found.append(request.options["rtsp_transport"])
        return open_input(request)

    monkeypatch.setattr(rtsp, "open_input", spied)
    return found


def serve(python: str, clip: Path, *transports: str, auth: bool = False) -> RtspServer:
    wanted = ("digest", USER, PASSWORD) if auth else None
    return RtspServer(python, {"/live": clip, QUOTED: clip}, auth=wanted, transports=transports)


@pytest.fixture(scope="module")
def udp_camera(rtsp_python: str, clip: Path) -> Iterator[RtspServer]:
    with serve(rtsp_python, clip, "udp") as server:
        yield server


def play(source: Source, pictures: int = 5) -> list[int]:
    source.open()
    return [number_of(source.read().image(160)) for _ in range(pictures)]


def read_on(source: Source) -> None:
    for _ in range(1000):
        source.read()


@pytest.mark.integration
def test_a_camera_of_udp_alone_is_read(udp_camera: RtspServer, tried: list[str]) -> None:
    source = create_source(udp_camera.url("/live"))
    info = source.open()
    pictures = [source.read() for _ in range(30)]
    source.close()
    assert (info.transport, info.width) == ("udp", 320)
    assert [number_of(picture.image(160)) for picture in pictures] == list(range(30))
    assert tried == ["tcp", "udp"]


@pytest.mark.integration
def test_a_camera_that_has_both_is_read_over_tcp(rtsp_python: str, clip: Path, tried: list[str]) -> None:
    with serve(rtsp_python, clip, "tcp", "udp") as server:
        source = create_source(server.url("/live"))
        assert source.open().transport == "tcp"
        source.close()
        chosen = create_source(server.url("/live"), transport="udp")
        assert chosen.open().transport == "udp"
        chosen.close()
    assert tried == ["tcp", "udp"]


@contextmanager
def serving_again(server: RtspServer) -> Iterator[None]:
    """On the same port."""
    server.start()
    try:
        yield
    finally:
        server.stop()


@pytest.mark.integration
def test_what_worked_is_tried_first_until_the_next_failure(
    rtsp_python: str, clip: Path, tried: list[str]
) -> None:
    with serve(rtsp_python, clip, "udp") as server:
        url = server.url("/live")
        for _ in range(2):
            source = create_source(url)
            play(source)
            source.close()
        assert tried == ["tcp", "udp", "udp"]
    with pytest.raises(SourceError, match="connection refused"):
        create_source(url).open()
    with serving_again(server):
        source = create_source(url)
        play(source)
        source.close()
    assert tried[3:] == ["tcp", "udp"]


@pytest.mark.integration
def test_a_camera_that_goes_away_is_noticed_over_udp(rtsp_python: str, clip: Path) -> None:
    with serve(rtsp_python, clip, "udp") as server:
        source = create_source(server.url("/live"), read_timeout_s=2)
        play(source)
        server.stop()
        begun = time.monotonic()
        with pytest.raises(SourceError):
            read_on(source)
        assert time.monotonic() - begun < 6
        source.close()


@pytest.mark.integration
def test_wrong_credentials_are_not_tried_again_over_udp(
    rtsp_python: str, clip: Path, tried: list[str]
) -> None:
    with serve(rtsp_python, clip, "udp", auth=True) as server:
        with pytest.raises(AuthFailed):
            create_source(join_credentials(server.url("/live"), USER, "wrong")).open()
        assert tried == ["tcp"]
        source = create_source(join_credentials(server.url("/live"), USER, PASSWORD))
        assert play(source)
        source.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("offered", "wanted", "text"),
    [("udp", "tcp", "not offer its stream over TCP"), ("tcp", "udp", "over UDP")],
)
def test_a_transport_that_is_not_offered_is_said(
    rtsp_python: str, clip: Path, offered: str, wanted: str, text: str
) -> None:
    with (
        serve(rtsp_python, clip, offered) as server,
        pytest.raises(SourceError, match=rf"{text} \(461\): set transport=auto"),
    ):
        create_source(server.url("/live"), transport=wanted).open()  # type: ignore[arg-type]


@pytest.mark.integration
def test_a_probe_says_over_what_it_came(udp_camera: RtspServer) -> None:
    report = probe(udp_camera.url("/live"), deadline_s=10)
    assert report.ok
    assert "over UDP" in report.steps[1].detail


# ---- cameras that hold nobody


def test_udp_packets_that_never_come_end_within_the_deadline_and_name_udp(tried: list[str]) -> None:
    with FakeCamera(transports=("udp",)) as camera:
        source = create_source(camera.url(), open_timeout_s=1.5, read_timeout_s=1)
        begun = time.monotonic()
        with pytest.raises(SourceStalled, match="over UDP: a firewall"):
            play(source, 1)
        assert time.monotonic() - begun < 4
        source.close()
    assert tried == ["tcp", "udp"]


def test_a_camera_that_offers_neither_is_told_in_one_line() -> None:
    with FakeCamera(transports=()) as camera:
        source = create_source(camera.url(), open_timeout_s=3)
        with pytest.raises(SourceError, match="neither over TCP nor UDP"):
            source.open()
        source.close()
    assert len(camera.asked("SETUP")) == 2


# ---- paths


SENDABLE = [
    ("rtsp://cam/My Stream/ch 1", "rtsp://cam/My%20Stream/ch%201"),
    ("rtsp://cam/My%20Stream", "rtsp://cam/My%20Stream"),
    ("rtsp://cam/50%/x", "rtsp://cam/50%25/x"),
    ("rtsp://cam/tür?name=a b", "rtsp://cam/t%C3%BCr?name=a%20b"),
    ('rtsp://cam/a"<b>', "rtsp://cam/a%22%3Cb%3E"),
    (
        "rtsp://cam:554/cam/realmonitor?channel=1&subtype=0",
        "rtsp://cam:554/cam/realmonitor?channel=1&subtype=0",
    ),
    ("rtsp://cam/?inst=1#[x]{y}", "rtsp://cam/?inst=1#[x]{y}"),
    ("rtsp://[fe80::1]:554/a b", "rtsp://[fe80::1]:554/a%20b"),
    ("rtsp://cam", "rtsp://cam"),
]


@pytest.mark.parametrize(("typed", "sent"), SENDABLE)
def test_a_path_is_quoted_where_a_request_needs_it(typed: str, sent: str) -> None:
    assert sendable(typed) == sent
    assert sendable(sent) == sent


@pytest.mark.integration
@pytest.mark.parametrize("path", ["/My Stream/ch 1", QUOTED])
def test_a_path_with_blanks_is_read_with_any_password(rtsp_python: str, clip: Path, path: str) -> None:
    with serve(rtsp_python, clip, "tcp", auth=True) as server:
        for url in (
            join_credentials(server.url(path), USER, PASSWORD),
            server.url(path, userinfo=f"{USER}:{PASSWORD}"),  # as a person types it
        ):
            source = create_source(url)
            assert play(source) == list(range(5))
            source.close()
        assert probe(url).ok
