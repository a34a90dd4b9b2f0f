"""GET over HTTP/1.1 from a camera: at the address that was judged, in time, logged in, and no further.

A name is resolved here and its address judged, at every redirect again; that address is connected to.
Credentials go to the origin that they were meant for and to no other, and nothing that began encrypted goes
on unencrypted. FFmpeg's own HTTP does none of the three.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urljoin

from streamer.errors import (
    AuthFailed,
    AuthUnknown,
    ConfigError,
    PortClosed,
    SourceDamaged,
    SourceError,
    SourceRefused,
    SourceStalled,
    StreamNotFound,
)
from streamer.logs import redact
from streamer.sources.http_auth import Login, challenges
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.read_deadline import ReadDeadline
from streamer.sources.tls import no_tls, refused, tls_context
from streamer.sources.urls import (
    check_source_url,
    host_and_port,
    lookup_scheme,
    scheme_of,
    sendable,
    split_credentials,
    target_of,
)

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PART = 1 << 16

_REFUSALS: dict[int, tuple[type[SourceError], str]] = {
    403: (AuthFailed, "the camera forbids this user the stream (403): check its rights"),
    404: (
        StreamNotFound,
        "the camera has no stream at this path (404): its manual says the path",
    ),
    410: (StreamNotFound, "what was at this path is gone (410): check it"),
    503: (SourceError, "the camera has no room for one more viewer now (503): close others"),
}


class Body:
    """An answer 200 whose body is read as it comes. `url` is where it was found, after redirects;
    `content_type` is in lower case, without parameters. close() may be called from any thread, and ends a
    read that waits.
    """

    def __init__(
        self,
        url: str,
        content_type: str,
        response: http.client.HTTPResponse,
        connection: socket.socket,
        skip: int = 0,
    ) -> None:
        self.url, self.content_type = url, content_type
        self._response, self._connection, self._skip = response, connection, skip
        self._reading = threading.Lock()
        self.closed = False

    def read(self, size: int = _PART) -> bytes:
        """At least a byte, at most `size`; empty at the end. Raise SourceError, or TimeoutError."""
        with self._reading:
            if self.closed:
                return b""
            try:
                while self._skip and (gone := self._response.read1(min(self._skip, _PART))):
                    self._skip -= len(gone)
                return self._response.read1(min(size, _PART))
            except http.client.HTTPException as error:
                broken = type(error).__name__
        raise SourceDamaged(f"{redact(self.url)}: the stream breaks off ({broken})")

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):  # it may be closed by the other side
            self._connection.shutdown(socket.SHUT_RDWR)
        with self._reading:
            self._response.close()
            self._connection.close()


class _Timed(io.RawIOBase):
    """As much of a socket as http.client reads, within its deadline."""

    def __init__(self, connection: socket.socket, deadline: ReadDeadline) -> None:
        self._connection, self._deadline = connection, deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _PART)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._connection.settimeout(self._deadline.left_s())
        return self._connection.recv_into(buffer)


class Fetcher:
    """For one camera. `login` None: no credentials were given; `ca` as in tls.py."""

    def __init__(
        self,
        origin_url: str,
        login: Login | None,
        *,
        shown: str,
        limits: SourceLimits,
        ca: str,
        deadline: ReadDeadline,
    ) -> None:
        self._origin = _origin(origin_url)
        self._login = login
        self._lock = threading.Lock()
        self._bodies: list[Body] = []
        self._closed = False
        self._shown, self._limits, self._ca, self._deadline = shown, limits, ca, deadline

    def get(self, url: str, start: int = 0, end: int | None = None) -> Body:
        """The bytes from `start` up to `end` of `url`, which holds no credentials. Raise SourceError, with
        AuthFailed, StreamNotFound and PortClosed among them, or TimeoutError."""
        for _ in range(MAX_REDIRECTS + 1):
            response, connection = self._ask_logged_in(url, start, end)
            if response.status not in _REDIRECTS:
                return self._body(url, response, connection, start)
            connection.close()
            url = self._redirected(url, response.getheader("Location", ""))
        raise SourceRefused(f"{self._shown}: redirects in a circle: check the camera's address")

    def _body(
        self, url: str, response: http.client.HTTPResponse, connection: socket.socket, start: int
    ) -> Body:
        if response.status not in (200, 206):
            connection.close()
            raise self._refused(response.status)
        content_type = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
        body = Body(url, content_type, response, connection, 0 if response.status == 206 else start)
        with self._lock:
            self._bodies = [each for each in self._bodies if not each.closed] + [body]
            if not self._closed:
                return body
        body.close()
        raise SourceError(f"{self._shown}: closed while it was in use")

    def close(self) -> None:
        """From any thread: what was fetched ends, and nothing more is."""
        with self._lock:
            self._closed = True
            bodies, self._bodies = self._bodies, []
        for body in bodies:
            body.close()

    def _refused(self, status: int) -> SourceError:
        if (known := _REFUSALS.get(status)) is not None:
            kind, text = known
            return kind(f"{self._shown}: {text}")
        if status >= 500:
            return SourceError(
                f"{self._shown}: the camera reports an error of its own ({status}): restart it if it stays"
            )
        return StreamNotFound(
            f"{self._shown}: the camera refuses the stream ({status}): there may be no video at this path"
        )

    # ---- logging in

    def _ask_logged_in(
        self, url: str, start: int, end: int | None
    ) -> tuple[http.client.HTTPResponse, socket.socket]:
        """The answer, once the camera has let us in. Credentials are sent once: a second refusal in a row is
        how cameras come to lock a user out."""
        login = self._login if _origin(url) == self._origin else None
        told_before = login is not None and login.asked
        response, connection = self._ask(url, start, end, login)
        if response.status != 401:
            return response, connection
        connection.close()
        headers = response.headers.get_all("WWW-Authenticate") or []
        asked = challenges(headers)
        if login is None:
            raise AuthFailed(f"{self._shown}: the camera asks for user name and password (401): give them")
        if told_before and not any(each.parameters.get("stale", "").lower() == "true" for each in asked):
            raise self._wrong()
        if not asked or not asked[0].rank:
            names = ", ".join(each.name for each in asked) or "nothing that it names"
            raise AuthUnknown(
                f"{self._shown}: asks for {names}, which is not known here: switch its authentication "
                "to Digest or Basic"
            )
        login.take(asked[0])
        response, connection = self._ask(url, start, end, login)
        if response.status == 401:
            connection.close()
            raise self._wrong()
        return response, connection

    def _wrong(self) -> AuthFailed:
        return AuthFailed(f"{self._shown}: the camera refuses user name or password (401): check them")

    # ---- one exchange

    def _ask(
        self, url: str, start: int, end: int | None, login: Login | None
    ) -> tuple[http.client.HTTPResponse, socket.socket]:
        connection = self._connect(url)
        try:
            connection.settimeout(self._deadline.left_s())
            connection.sendall(_request(url, login, start, end))
            timed = _Timed(connection, self._deadline)
            response = http.client.HTTPResponse(timed, method="GET")  # type: ignore[arg-type]
            response.begin()
        except http.client.HTTPException:
            connection.close()
            raise PortClosed(f"{self._shown}: what listens there speaks no HTTP: check the port") from None
        except TimeoutError:
            connection.close()
            raise
        except OSError as error:
            connection.close()
            raise SourceError(f"{self._shown}: the connection broke ({error.strerror or error})") from None
        return response, connection

    def _connect(self, url: str) -> socket.socket:
        host, port = host_and_port(url)
        address = resolve(host, port, self._limits, self._shown)
        default_ca = lookup_scheme(url).ca
        context = tls_context(self._ca or default_ca, self._shown) if default_ca else None
        left_s = self._deadline.left_s()
        try:
            plain = socket.create_connection((address, port), left_s)
        except ConnectionRefusedError:
            raise PortClosed(f"{self._shown}: connection refused: check address and port ({port})") from None
        except TimeoutError:
            raise SourceStalled(f"{self._shown}: no answer from {host}:{port}: is it on?") from None
        except OSError as error:
            raise SourceError(f"{self._shown}: {host} cannot be reached ({error.strerror})") from None
        return plain if context is None else self._encrypted(plain, context, host)

    def _encrypted(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
        try:
            plain.settimeout(self._deadline.left_s())
            return context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise refused(error, self._shown) from None
        except ssl.SSLError as error:
            plain.close()
            raise no_tls(error, self._shown) from None
        except OSError:
            plain.close()
            raise

    def _redirected(self, url: str, location: str) -> str:
        there = split_credentials(urljoin(url, location))[0]
        try:
            check_source_url(there)
        except ConfigError:
            there = ""
        if scheme_of(there) not in ("http", "https") or not location:
            raise SourceRefused(
                f"{self._shown}: redirects to {redact(location)[:200]!r}, which is no HTTP address: check "
                "the camera's address"
            )
        if scheme_of(url) == "https" and scheme_of(there) == "http":
            raise SourceRefused(
                f"{self._shown}: redirects to {redact(there)}, which is not encrypted: use http:// if "
                "that is meant"
            )
        return there


def _origin(url: str) -> tuple[str, str, int]:
    return (scheme_of(url), *host_and_port(url))


def _request(url: str, login: Login | None, start: int, end: int | None) -> bytes:
    host, port = host_and_port(url)
    host = f"[{host}]" if ":" in host else host
    target = target_of(sendable(url))
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}" if port == lookup_scheme(url).port else f"Host: {host}:{port}",
        "User-Agent: streamer",
        "Accept: */*",
        "Connection: close",
    ]
    if start or end is not None:
        lines.append(f"Range: bytes={start}-{'' if end is None else end - 1}")
    if login is not None and (answer := login.answer(target)):
        lines.append(f"Authorization: {answer}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
