"""Between FFmpeg and an RTSP server: a relay on loopback that leads to the one address that was judged.

FFmpeg follows redirects by itself, and no option of its RTSP demuxer (libavformat/rtsp.c: ff_rtsp_connect)
forbids it; so it is given this relay in place of the camera, and what the camera answers is read on the way
until the stream plays. FFmpeg sees no redirect: who opens the source is told of it and judges where it leads.
Over UDP the server may name another address for FFmpeg's first packets (`source=` in Transport, RFC 2326
12.39): that one is judged too. Each answer is written anew, so that nothing can be hidden between two ways of
reading it. From PLAY on FFmpeg follows nothing, and bytes pass as they are.

TLS ends here, without a check of the certificate, as with FFmpeg: cameras have certificates of their own.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from collections.abc import Callable

import psutil

from streamer.errors import SourceError
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.rtsp_auth import unchecked_tls

AFTER_S = 1.0  # FFmpeg's own deadline, which says more, comes before the relay's
MAX_HEAD_BYTES = 65536
MAX_BODY_BYTES = 1 << 20
_PART = 1 << 18
_STATUS = re.compile(rb"RTSP/\S+\s+(\d{3})\b\s*(.*)")
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_SOURCE = re.compile(rb"(;\s*source\s*=\s*)([^;,\s]*)", re.IGNORECASE)


class _Unreadable(Exception):
    """What the camera says is no RTSP, or leads to where FFmpeg must not follow."""


class Relay:
    """`address` and `port` are the camera's, `tls_name` its name where it speaks TLS. All ends at `end`, in
    monotonic seconds, unless the stream plays by then: then it goes on until one of both sides ends it.

    `redirected_to` is where a redirect led ("" where it did not say), `refusal` why it was cut otherwise.
    """

    def __init__(
        self, address: str, port: int, tls_name: str | None, limits: SourceLimits, shown: str, end: float
    ) -> None:
        """Connect. Raise OSError where that fails."""
        self.redirected_to: str | None = None
        self.refusal: SourceError | None = None
        self._address, self._limits, self._shown, self._end = address, limits, shown, end
        self.host = "::1" if ":" in address else "127.0.0.1"
        self._camera = socket.create_connection((address, port), timeout=self._left_s())
        try:
            if tls_name is not None:
                self._camera = unchecked_tls().wrap_socket(self._camera, server_hostname=tls_name)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._listener = socket.create_server((self.host, 0), family=family)
        except OSError:
            self._camera.close()
            raise
        self._end = end + AFTER_S
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, name="rtsp-relay", daemon=True).start()

    def opened(self) -> None:
        """FFmpeg's open is over: who has not come by now does not come."""
        self._listener.close()

    def _left_s(self) -> float:
        return max(0.05, self._end - time.monotonic())

    def _run(self) -> None:
        try:
            with self._camera, self._listener, self._accept() as ffmpeg:
                self._listener.close()
                self._read_until_play(ffmpeg)
                self._pass_on(ffmpeg)
        except (OSError, _Unreadable):
            return  # FFmpeg sees its connection end, and says so

    def _accept(self) -> socket.socket:
        while time.monotonic() < self._end:
            self._listener.settimeout(min(0.5, self._left_s()))
            try:
                connection, peer = self._listener.accept()
            except TimeoutError:
                continue
            if _is_ours(peer[1]):
                return connection
            connection.close()  # another process of this machine
        raise TimeoutError

    def _read_until_play(self, ffmpeg: socket.socket) -> None:
        """Raise OSError or _Unreadable where it does not come to that."""
        asked, answered = b"", b""
        while True:
            ready = _readable((ffmpeg, self._camera), min(0.5, self._left_s()))
            if time.monotonic() >= self._end:
                raise TimeoutError
            if ffmpeg in ready:
                asked += _received(ffmpeg)
                if (request := asked).endswith(b"\r\n\r\n"):  # it waits for the answer to each
                    asked = b""
                    self._camera.sendall(request)
                    if request.startswith(b"PLAY "):
                        return
            if self._camera in ready:
                answered += _received(self._camera)
                answered = self._answer(answered, ffmpeg.sendall)

    def _answer(self, held: bytes, send: Callable[[bytes], None]) -> bytes:
        """Send each whole answer of `held` on, and return the rest."""
        while (message := _first_message(held)) is not None:
            lines, body, held = message
            if lines:
                send(b"\r\n".join([*self._judged(lines), b"Content-Length: %d" % len(body), b"", body]))
        if len(held) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            raise _Unreadable
        return held

    def _judged(self, lines: list[bytes]) -> list[bytes]:
        """The lines of an answer that FFmpeg may see."""
        status = _STATUS.match(lines[0])
        if status is not None and status[1].startswith(b"3"):
            self.redirected_to = _field(lines, b"location").decode("latin-1")
            raise _Unreadable
        if status is None and lines[0].startswith(b"RTSP/"):
            raise _Unreadable
        kept = [line for line in lines[1:] if not line.lower().startswith((b"location:", b"content-length:"))]
        first = lines[0] if status is None else b"RTSP/1.0 %b %b" % (status[1], status[2])
        return [first, *(self._transport(line) for line in kept)]

    def _transport(self, line: bytes) -> bytes:
        """FFmpeg sends its first packets over UDP to `source`, else to who is at the other end: us."""
        if not line.lower().startswith(b"transport:") or b"interleaved" in line.lower():
            return line
        try:
            line = _SOURCE.sub(lambda found: found[1] + self._allowed(found[2]), line)
        except SourceError as error:
            self.refusal = error
            raise _Unreadable from None
        return line if _SOURCE.search(line) else line + b";source=" + self._address.encode()

    def _allowed(self, source: bytes) -> bytes:
        named = source.decode("latin-1").strip('"[]')
        return resolve(named, 0, self._limits, self._shown).encode() if named else self._address.encode()

    def _pass_on(self, ffmpeg: socket.socket) -> None:
        """Until one of both ends it."""
        ffmpeg.settimeout(None)
        self._camera.settimeout(None)
        to = {ffmpeg: self._camera, self._camera: ffmpeg}
        with selectors.DefaultSelector() as selector:
            for one in to:
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    side: socket.socket = key.fileobj  # type: ignore[assignment]
                    to[side].sendall(_received(side))


def _readable(sockets: tuple[socket.socket, ...], timeout_s: float) -> list[socket.socket]:
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout_s)]  # type: ignore[misc]


def _received(one: socket.socket) -> bytes:
    """What has come, with what TLS has decrypted already. Raise OSError at the end."""
    parts = [one.recv(_PART)]
    while getattr(one, "pending", int)():
        parts.append(one.recv(_PART))
    if not parts[0]:
        raise ConnectionResetError
    return b"".join(parts)


def _first_message(held: bytes) -> tuple[list[bytes], bytes, bytes] | None:
    """Its lines, its body, and what comes after it; None while it is not whole. Packets of a stream that
    come before are left out. Raise _Unreadable where it is too large."""
    if held.startswith(b"$"):
        end = 4 + int.from_bytes(held[2:4], "big")
        return None if len(held) < max(4, end) else ([], b"", held[end:])
    lines: list[bytes] = []
    at = 0
    while (end := held.find(b"\n", at)) >= 0:
        # As FFmpeg reads: a line ends with \n, and \r counts nowhere; in C a NUL would end it too.
        line, at = held[at:end].replace(b"\r", b"").replace(b"\0", b""), end + 1
        if line:
            lines.append(line)
        elif lines:
            return _with_body(lines, held[at:])
    if len(held) > MAX_HEAD_BYTES:
        raise _Unreadable
    return None


def _with_body(lines: list[bytes], rest: bytes) -> tuple[list[bytes], bytes, bytes] | None:
    lengths = [int(match[1]) for line in lines if (match := _LENGTH.match(line))]
    length = lengths[-1] if lengths else 0
    if length > MAX_BODY_BYTES:
        raise _Unreadable
    return None if len(rest) < length else (lines, rest[:length], rest[length:])


def _field(lines: list[bytes], name: bytes) -> bytes:
    fields = (line.partition(b":") for line in lines[1:])
    return next((value.strip() for key, _, value in fields if key.strip().lower() == name), b"")


def _is_ours(port: int) -> bool:
    """Whether a connection from this port is one of this process."""
    mine = psutil.Process().net_connections("tcp")
    return any(connection.laddr and connection.laddr.port == port for connection in mine)
