"""What the relay between FFmpeg and a camera reads of a TLS connection."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.sources.loopback_relay import received
from streamer.sources.tls import ANY, tls_context
from tests.certificates import Authority
from tests.patience import patient

Ends = tuple[ssl.SSLSocket, ssl.SSLSocket]


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    """Ours and the camera's of a connection by TLS 1.3, whose camera has sent the tickets of the session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*Authority(tmp_path / "ca").sign("camera", "IP:127.0.0.1"))
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.settimeout(patient(5))
    there: list[ssl.SSLSocket] = []
    shaking = threading.Thread(target=lambda: there.append(context.wrap_socket(theirs, server_side=True)))
    shaking.start()
    near = tls_context(ANY, "a camera").wrap_socket(ours, server_hostname="camera")
    shaking.join()
    with near, there[0]:
        yield near, there[0]


def comes(one: socket.socket) -> bytes:
    assert select.select([one], [], [], patient(5))[0]
    return received(one)


def test_tickets_of_a_session_are_not_waited_behind(ends: Ends) -> None:
    ours, camera = ends
    assert comes(ours) == b"", "nothing was said"
    assert ours.gettimeout() == patient(5)
    camera.sendall(b"answer")
    assert comes(ours) == b"answer"


def test_the_end_of_a_side_is_no_silence(ends: Ends) -> None:
    ours, camera = ends
    comes(ours)
    camera.close()
    with pytest.raises((ConnectionResetError, ssl.SSLError)):
        comes(ours)
