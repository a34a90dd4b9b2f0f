"""POST over HTTP/1.1 that ends in time whatever the other side does, on a connection that is kept.

The limit is for the whole exchange, so that a server that sends a byte now and then holds nobody up. Once
the status has come the answer is decided: of the body no more is read than keeps the connection usable.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from streamer.ipc.timed_http import TimedConnection

MAX_BODY = 64 << 10
BODY_S = 0.5  # for the rest of an answer whose status has come


class NotSent(Exception):
    """Raised when no answer came: whether the other side has it is not known. The text is one line."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case


class Poster:
    """To one server, for one thread. `context`: of TLS, None for plain HTTP."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host, self._port, self._context = host, port, context
        self._connection: TimedConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Raises NotSent, ssl.SSLError."""
        end_s = time.monotonic() + timeout_s
        kept = self._connection is not None
        try:
            return self._exchange(path, body, headers, end_s)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            if not kept:
                raise NotSent(f"cuts the connection ({_said(error)})") from error
        # It was kept and the server had closed it meanwhile: that says nothing about this request.
        try:
            return self._exchange(path, body, headers, end_s)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            raise NotSent(f"cuts the connection ({_said(error)})") from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str], end_s: float) -> Answer:
        try:
            connection = self._connected(end_s)
            connection.end_s = end_s
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()})
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
            self.close()
            raise
        except TimeoutError as error:
            self.close()
            raise NotSent("does not answer in time") from error
        except OSError as error:
            self.close()
            raise NotSent(f"is not reached: {_said(error)}") from error
        except (http.client.HTTPException, ValueError) as error:
            self.close()
            raise NotSent(f"answers in no HTTP: {_said(error)}") from error
        self._finish(connection, response)
        return answer

    def _finish(self, connection: TimedConnection, response: http.client.HTTPResponse) -> None:
        """Read what is left of the answer, or give the connection up."""
        connection.end_s = min(connection.end_s, time.monotonic() + BODY_S)
        whole = False
        with suppress(OSError, http.client.HTTPException, ValueError):
            whole = len(response.read(MAX_BODY)) < MAX_BODY and not response.will_close
        if not whole:
            self.close()

    def _connected(self, end_s: float) -> TimedConnection:
        if self._connection is None:
            self._connection = TimedConnection(self._host, self._port, self._context)
            self._connection.end_s = end_s
            self._connection.connect()
        return self._connection


def _said(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:120]
