"""Motion JPEG and still pictures over HTTP: read as they come, however badly they are framed."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from streamer.errors import (
    AuthFailed,
    AuthUnknown,
    PortClosed,
    SourceDamaged,
    SourceError,
    SourceStalled,
    StreamNotFound,
)
from streamer.sources.base import Source, create_source
from streamer.sources.limits import SourceLimits
from streamer.sources.urls import join_credentials
from tests.certificates import Authority
from tests.clips import number_of
from tests.http_server import Answer, Request, basic, digest, http_server, jpeg, motion_jpeg
from tests.patience import patient
from tests.talking_server import Talk, talking

USER, PASSWORD = "admin", 'c4n"ary:@/#'


def numbers(url: str, count: int = 5, **options: object) -> list[int]:
    """Those of the first pictures of the source at `url`."""
    source = create_source(url, open_timeout_s=patient(5), read_timeout_s=patient(5), **options)  # type: ignore[arg-type]
    with closing(source):
        source.open()
        return [number_of(source.read().image()) for _ in range(count)]


def read_to_the_end(source: Source, sizes: list[tuple[int, int]] | None = None) -> None:
    """Raises the error that ends it."""
    source.open()
    for _ in range(1000):
        picture = source.read()
        if sizes is not None:
            sizes.append((picture.width, picture.height))


@pytest.mark.parametrize(
    "answer",
    [
        motion_jpeg(),
        motion_jpeg(chunked=True),
        motion_jpeg(lengths=False),
        motion_jpeg(stated="one", sent="another", lengths=False),
        motion_jpeg(stated='"--quoted"', sent="--quoted"),
    ],
    ids=["as it should be", "chunked", "without lengths", "of another boundary", "of a quoted boundary"],
)
def test_motion_jpeg_is_read_picture_by_picture(answer: Answer) -> None:
    with http_server({"/video": answer}) as server:
        assert numbers(server.url("/video")) == [0, 1, 2, 3, 4]


def test_motion_jpeg_has_the_times_at_which_it_came() -> None:
    with http_server({"/video": motion_jpeg(every_s=0.05)}) as server:
        source = create_source(server.url("/video"), open_timeout_s=patient(5))
        with closing(source):
            info = source.open()
            pictures = [source.read() for _ in range(6)]
    assert (info.codec, info.width, info.height, info.clock_source) == ("mjpeg", 320, 180, "arrival")
    assert {picture.clock_source for picture in pictures} == {"arrival"}
    assert all(b.media_ns > a.media_ns for a, b in pairwise(pictures))


def test_a_picture_is_given_before_the_next_one_has_come() -> None:
    only_two = motion_jpeg(2, every_s=0.0)

    def then_silent(request: Request) -> None:
        only_two(request)
        request.ending.wait(patient(20))

    with http_server({"/video": then_silent}) as server:
        assert numbers(server.url("/video"), 2) == [0, 1]


def test_pictures_that_are_cut_off_are_left_out() -> None:
    def draw(number: int) -> bytes:
        return jpeg(number)[: -800 if number in (1, 3) else None]

    with http_server({"/video": motion_jpeg(draw=draw, lengths=False)}) as server:
        assert numbers(server.url("/video"), 3) == [0, 2, 4]


def test_a_still_picture_is_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.sources.http_camera.STILL_EVERY_S", 0.02)
    count = iter(range(1000))

    def snapshot(request: Request) -> None:
        request.plain(200, jpeg(next(count)), "image/jpeg")

    with http_server({"/snap.jpg": snapshot}) as server:
        assert numbers(server.url("/snap.jpg"), 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"])
def test_a_camera_is_logged_in_at_by_digest_rather_than_basic(algorithm: str) -> None:
    with http_server({"/video": digest(USER, PASSWORD, motion_jpeg(), algorithm)}) as server:
        url = join_credentials(server.url("/video?a=b&c"), USER, PASSWORD)
        assert numbers(url, 2) == [0, 1]
        said = [headers.get("Authorization", "") for _, headers in server.asked]
    assert said[0] == ""
    assert all(each.startswith("Digest ") for each in said[1:])


def test_a_camera_is_logged_in_at_by_basic() -> None:
    with http_server({"/video": basic(USER, PASSWORD, motion_jpeg())}) as server:
        assert numbers(join_credentials(server.url("/video"), USER, PASSWORD), 2) == [0, 1]


@pytest.mark.parametrize("kind", [basic, digest])
def test_a_wrong_password_is_sent_once(kind: type) -> None:
    with http_server({"/video": kind(USER, PASSWORD, motion_jpeg())}) as server:
        with pytest.raises(AuthFailed, match="refuses user name or password") as caught:
            numbers(server.url("/video", userinfo="admin:wr0ng"))
        tried = [headers for _, headers in server.asked if "Authorization" in headers]
    assert len(tried) == 1
    assert "wr0ng" not in str(caught.value)


def test_a_camera_that_wants_a_password_says_so_where_none_is_given() -> None:
    with (
        http_server({"/video": basic(USER, PASSWORD, motion_jpeg())}) as server,
        pytest.raises(AuthFailed, match="asks for user name and password"),
    ):
        numbers(server.url("/video"))


def test_a_way_of_logging_in_that_is_not_known_is_named() -> None:
    def ntlm(request: Request) -> None:
        request.plain(401, WWW_Authenticate="NTLM")

    with (
        http_server({"/video": ntlm}) as server,
        pytest.raises(AuthUnknown, match=r"asks for Ntlm.*Digest or Basic"),
    ):
        numbers(server.url("/video", userinfo="a:b"))


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (403, AuthFailed, "403"),
        (404, StreamNotFound, "404"),
        (418, StreamNotFound, "418"),
        (500, SourceError, "an error of its own"),
        (503, SourceError, "one more viewer"),
    ],
)
def test_an_http_error_says_what_to_do(status: int, kind: type[SourceError], text: str) -> None:
    with (
        http_server({"/video": lambda request: request.plain(status)}) as server,
        pytest.raises(kind, match=text),
    ):
        numbers(server.url("/video"))


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"<html>", "text/html", "is a web page"),
        (b"\0" * 100, "video/mp4", "video/mp4, which is neither"),
        (b"no picture at all", "image/jpeg", "cut short"),
        (jpeg(1)[:500], "image/jpeg", "cut short"),
        (b"--x\r\n\r\nnothing", "multipart/x-mixed-replace; boundary=x", "before its first picture"),
    ],
)
def test_what_is_no_stream_is_told_as_what_it_is(body: bytes, content_type: str, text: str) -> None:
    with (
        http_server({"/video": lambda request: request.plain(200, body, content_type)}) as server,
        pytest.raises(SourceError, match=text),
    ):
        numbers(server.url("/video"))


# ---- redirects and networks


def redirect(to: str) -> Answer:
    return lambda request: request.plain(302, Location=to)


def test_a_redirect_is_followed_to_another_origin() -> None:
    with http_server({"/there": motion_jpeg()}) as there:
        moved = {"/video": redirect(there.url("/there")), "/near": redirect("/video")}
        with http_server(moved) as server:
            assert numbers(server.url("/near"), 2) == [0, 1]


def test_credentials_go_to_no_other_origin_although_it_asks_for_them() -> None:
    with http_server({"/there": basic("me", "secret", motion_jpeg())}) as there:
        with (
            http_server({"/video": redirect(there.url("/there"))}) as server,
            pytest.raises(AuthFailed, match="asks for user name and password"),
        ):
            numbers(server.url("/video", userinfo="me:secret"))
        assert [headers.get("Authorization") for _, headers in there.asked] == [None]


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("file:///etc/passwd", "no HTTP address"),
        ("rtsp://127.0.0.1/live", "no HTTP address"),
        ("", "no HTTP address"),
        ("/video", "in a circle"),
        ("http://169.254.169.254/latest/meta-data", "link-local or metadata"),
    ],
)
def test_a_redirect_to_where_no_camera_may_be_is_refused(to: str, text: str) -> None:
    with (
        http_server({"/video": redirect(to)}) as server,
        pytest.raises(SourceError, match=text),
    ):
        numbers(server.url("/video"))


def test_a_redirect_is_held_to_the_allowed_networks() -> None:
    with (
        http_server({"/video": redirect("http://127.8.8.8:1/video")}) as server,
        pytest.raises(SourceError, match="in none of the allowed networks"),
    ):
        numbers(server.url("/video"), limits=SourceLimits(networks=("127.0.0.1/32",)))


# ---- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


def test_a_certificate_is_checked_by_the_authority_that_is_named(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    pair = authority.sign("camera", "IP:127.0.0.1")
    with http_server({"/video": motion_jpeg()}, tls=pair) as server:
        url = server.url("/video")
        assert numbers(url, 2, ca=str(authority.ca)) == [0, 1]
        assert numbers(url, 2, ca=str(pair[0])) == [0, 1]  # its own certificate vouches for it
        assert numbers(url, 2, ca="any") == [0, 1]
        for untrusted in ("", "system", str(other.ca)):
            with pytest.raises(SourceError, match=r"not trusted.*source\.ca"):
                numbers(url, ca=untrusted)
        with pytest.raises(SourceError, match="cannot be read"):
            numbers(url, ca=str(tmp_path / "nothing.pem"))


def test_a_certificate_of_another_host_or_an_expired_one_is_refused(authority: Authority) -> None:
    for pair in (
        authority.sign("elsewhere", "DNS:elsewhere.example"),
        authority.sign("old", "IP:127.0.0.1", expired=True),
    ):
        with (
            http_server({"/video": motion_jpeg()}, tls=pair) as server,
            pytest.raises(SourceError, match="not trusted"),
        ):
            numbers(server.url("/video"), ca=str(authority.ca))


def test_what_began_encrypted_does_not_go_on_unencrypted(authority: Authority) -> None:
    pair = authority.sign("mover", "IP:127.0.0.1")
    with http_server({"/there": motion_jpeg()}) as plain:
        moved = {"/video": redirect(plain.url("/there"))}
        with (
            http_server(moved, tls=pair) as server,
            pytest.raises(SourceError, match="not encrypted"),
        ):
            numbers(server.url("/video"), ca=str(authority.ca))
        assert plain.asked == []


# ---- time


def say_nothing(_connection: socket.socket, ending: threading.Event) -> None:
    ending.wait(patient(20))


def a_byte_now_and_then(connection: socket.socket, ending: threading.Event) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 100:
        connection.send(bytes([byte]))
        if ending.wait(0.2):
            return


def pictures_a_byte_at_a_time(connection: socket.socket, ending: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n")
    connection.sendall(jpeg(0))
    for byte in jpeg(1):
        connection.send(bytes([byte]))
        if ending.wait(0.2):
            return


@pytest.mark.parametrize("talk", [say_nothing, a_byte_now_and_then, pictures_a_byte_at_a_time])
def test_a_server_that_is_silent_or_dribbles_ends_in_time(talk: Talk) -> None:
    with talking(talk) as server:
        source = create_source(f"http://127.0.0.1:{server.port}/", open_timeout_s=1.0, read_timeout_s=1.0)
        begun = time.monotonic()
        with closing(source), pytest.raises(SourceStalled):
            read_to_the_end(source)
    assert time.monotonic() - begun < patient(8)  # a picture of bytes takes minutes


def test_a_port_without_a_listener_or_with_another_service_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(PortClosed, match="connection refused"):
        numbers(f"http://127.0.0.1:{port}/video")

    def another(connection: socket.socket, _ending: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"RTSP/1.0 400 Bad Request\r\n\r\n")

    with talking(another) as server, pytest.raises(PortClosed, match="speaks no HTTP"):
        numbers(f"http://127.0.0.1:{server.port}/video")


def test_a_stream_that_ends_is_an_error_and_one_of_another_size_goes_on() -> None:
    def draw(number: int) -> bytes:
        return jpeg(number, *((320, 180) if number < 2 else (640, 360)))

    with http_server({"/video": motion_jpeg(4, draw=draw)}) as server:
        source = create_source(server.url("/video"), open_timeout_s=patient(5))
        sizes: list[tuple[int, int]] = []
        with closing(source), pytest.raises(SourceError, match="ended the stream"):
            read_to_the_end(source, sizes)
    assert sizes == [(320, 180), (320, 180), (640, 360), (640, 360)]


def test_a_picture_without_end_costs_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.sources.jpeg_stream.MAX_PICTURE_BYTES", 1 << 16)

    def endless(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=x")
        request.end_headers()
        request.wfile.write(jpeg(0)[:600])
        while not request.ending.is_set():
            request.wfile.write(b"\x11" * 4096)

    with http_server({"/video": endless}) as server, pytest.raises(SourceDamaged, match="does not end"):
        numbers(server.url("/video"))
