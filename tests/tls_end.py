"""A TLS end in front of a server that speaks in the clear."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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
            back = threading.Thread(target=_pump, args=(far, near))
            back.start()
            _pump(near, far)
            back.join()

    with talking(pass_on) as server:
        yield server.port


def _pump(near: socket.socket, far: socket.socket) -> None:
    """Until one of both ends it."""
    with suppress(OSError):  # the other side has had enough, which is what the tests are about
        while part := near.recv(65536):
            far.sendall(part)
    with suppress(OSError):
        far.shutdown(socket.SHUT_RDWR)
