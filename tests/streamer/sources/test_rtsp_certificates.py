"""rtsps://: whose certificate it is is checked where source.ca says by whom, and fails closed."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.errors import ConfigError, SourceError
from streamer.sources.base import create_source
from tests.certificates import Authority
from tests.patience import patient
from tests.talking_server import Talk, talking


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


def over_tls(pair: tuple[Path, Path], answer: Callable[[bytes], bytes]) -> Talk:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)

    def talk(connection: socket.socket, _ending: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            while request := wrapped.recv(4096):
                wrapped.sendall(answer(request))

    return talk


def not_found(request: bytes) -> bytes:
    number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
    return b"RTSP/1.0 404 Not Found\r\nCSeq: " + number + b"\r\n\r\n"


def redirected(request: bytes) -> bytes:
    number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
    moved = b"RTSP/1.0 302 Moved\r\nCSeq: " + number
    return moved + b"\r\nLocation: rtsp://127.0.0.1:1/live\r\n\r\n"


def fault_of(port: int, ca: str) -> str:
    """What is said of a camera that has nothing to show: how far it came."""
    with pytest.raises(SourceError) as caught:
        create_source(f"rtsps://127.0.0.1:{port}/live", open_timeout_s=patient(5), ca=ca).open()
    return str(caught.value)


def test_a_certificate_is_checked_where_its_authority_is_named(authority: Authority, tmp_path: Path) -> None:
    pair = authority.sign("camera", "IP:127.0.0.1")
    other = Authority(tmp_path / "other")
    with talking(over_tls(pair, not_found)) as server:
        for trusted in ("", "any", str(authority.ca), str(pair[0])):
            assert "(404)" in fault_of(server.port, trusted)
        for untrusted in ("system", str(other.ca)):
            assert "not trusted" in fault_of(server.port, untrusted)


def test_a_file_that_is_no_certificate_trusts_nobody(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with talking(over_tls(authority.sign("camera", "IP:127.0.0.1"), not_found)) as server:
        assert "no certificate in PEM form" in fault_of(server.port, str(empty))
        assert "cannot be read" in fault_of(server.port, str(tmp_path / "none.pem"))


def test_the_certificate_of_another_host_is_refused(authority: Authority) -> None:
    with talking(over_tls(authority.sign("other", "DNS:other.example"), not_found)) as server:
        assert "not trusted" in fault_of(server.port, str(authority.ca))


def test_a_camera_that_is_checked_does_not_lead_to_an_unencrypted_one(authority: Authority) -> None:
    with talking(over_tls(authority.sign("mover", "IP:127.0.0.1"), redirected)) as server:
        assert "not encrypted" in fault_of(server.port, str(authority.ca))


def in_the_clear(connection: socket.socket, _ending: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"RTSP/1.0 400 Bad Request\r\n\r\n")


def test_a_port_that_speaks_no_tls_is_told() -> None:
    with talking(in_the_clear) as server:
        assert "no TLS on this port" in fault_of(server.port, "")


@pytest.mark.parametrize(
    ("url", "ca", "text"),
    [
        ("rtsp://127.0.0.1/live", "system", "no certificate to check"),
        ("rtsps://127.0.0.1/live", "ca.pem", "whole path"),
    ],
)
def test_an_authority_that_makes_no_sense_is_refused(url: str, ca: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        create_source(url, ca=ca)
