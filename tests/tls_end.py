"""A TLS end in front of a server that speaks in the clear."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.certificates import Authority
from tests.talking_server import talking


@contextmanager
def behind_tls(port: int, authority: Authority) -> Iterator[int]:
    """Its port; what comes goes to the server at `port`. `authority` vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("camera", "IP:127.0.0.1"))

    def pass_on(connection: socket.socket, _ending: threading.Event) -> None:
        with (
            context.wrap_socket(connection, server_side=True) as near,
            socket.create_connection(("127.0.0.1", port)) as far,
        ):
            _pass_on(near, far)

    with talking(pass_on) as server:
        yield server.port


def _pass_on(near: ssl.SSLSocket, far: socket.socket) -> None:
    """Until one of both ends it. By one thread: a TLS connection is not for two at once."""
    to: dict[Any, socket.socket] = {near: far, far: near}
    with (
        selectors.DefaultSelector() as ready,
        suppress(OSError),
    ):  # who has had enough is what tests are about
        for end in to:
            ready.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                part = _received(key.fileobj)
                if not part:
                    return
                to[key.fileobj].sendall(part)


def _received(end: Any) -> bytes:
    part: bytes = end.recv(65536)
    while part and isinstance(end, ssl.SSLSocket) and end.pending():  # which no selector knows of
        part += end.recv(end.pending())
    return part
