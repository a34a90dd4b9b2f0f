"""An HTTP/1.1 connection whose exchange is over in time, whatever the other side does: a server that sends a
byte now and then holds nobody up.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any


class TimedConnection(http.client.HTTPConnection):
    """To `host`; `context`: of TLS, None for plain HTTP; `named`: whose certificate it must be, if not
    `host`'s. `end_s` is when the exchange must be over, on the monotonic clock: beyond it everything raises
    TimeoutError.
    """

    end_s = 0.0

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, named: str = "") -> None:
        super().__init__(host, port)
        self._context, self._named = context, named or host

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.left_s())
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(self.left_s())
            made = self._context.wrap_socket(plain, server_hostname=self._named) if self._context else plain
        except BaseException:
            plain.close()
            raise
        self.sock = _TimedSocket(made, self)

    def left_s(self) -> float:
        """Raises TimeoutError."""
        if (left_s := self.end_s - time.monotonic()) <= 0:
            raise TimeoutError
        return left_s


class _TimedSocket:
    """As much of a socket as http.client uses, within its connection's time."""

    def __init__(self, inner: socket.socket, connection: TimedConnection) -> None:
        self._inner, self._connection = inner, connection

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._connection.left_s())
        self._inner.sendall(data)  # its timeout is for all of it

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._inner, self._connection))

    def close(self) -> None:
        self._inner.close()


class _TimedReader(io.RawIOBase):
    """Keeps the socket open until it is closed itself: http.client closes its own end before the body is read
    where the server says that it will close."""

    def __init__(self, inner: socket.socket, connection: TimedConnection) -> None:
        self._inner, self._connection = inner, connection
        self._raw = inner.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._inner.settimeout(self._connection.left_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
