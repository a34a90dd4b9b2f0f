"""Between FFmpeg and an RTSP server: a relay on loopback that leads to the one address that was judged.

FFmpeg follows redirects by itself, and no option of its RTSP demuxer (libavformat/rtsp.c: ff_rtsp_connect)
forbids it; so it is given this relay in place of the camera, and what the camera answers is read on the way
until the stream plays. FFmpeg sees no redirect: who opens the source is told of it and judges where it leads.
Over UDP the server may name another address for FFmpeg's first packets (`source=` in Transport, RFC 2326
12.39): that one is judged too. Each answer is written anew, so that nothing can be hidden between two ways of
reading it. From PLAY on FFmpeg follows nothing, and bytes pass as they are.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import time
from collections.abc import Callable

from streamer.errors import SourceError
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.loopback_relay import LoopbackRelay, Unreadable, received

MAX_HEAD_BYTES = 65536
MAX_BODY_BYTES = 1 << 20
_STATUS = re.compile(rb"RTSP/\S+\s+(\d{3})\b\s*(.*)")
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_SOURCE = re.compile(rb"(;\s*source\s*=\s*)([^;,\s]*)", re.IGNORECASE)


class Relay(LoopbackRelay):
    """`redirected_to` is where a redirect led ("" where it did not say), `refusal` why it was cut else."""

    name = "rtsp-relay"

    def __init__(
        self,
        address: str,
        port: int,
        end: float,
        *,
        limits: SourceLimits,
        shown: str,
        tls: ssl.SSLContext | None = None,
        tls_name: str = "",
    ) -> None:
        """Connect. Raise OSError where that fails."""
        self.redirected_to: str | None = None
        self.refusal: SourceError | None = None
        self._address, self._limits, self._shown = address, limits, shown
        super().__init__(address, port, end, tls, tls_name)

    def _begin(self, ffmpeg: socket.socket) -> None:
        """Raise OSError or Unreadable where it does not come to that."""
        asked, answered = b"", b""
        while True:
            ready = _readable((ffmpeg, self._camera), min(0.5, self._left_s()))
            if time.monotonic() >= self._end:
                raise TimeoutError
            if ffmpeg in ready:
                asked += received(ffmpeg)
                if (request := asked).endswith(b"\r\n\r\n"):  # it waits for the answer to each
                    asked = b""
                    self._camera.sendall(request)
                    if request.startswith(b"PLAY "):
                        return
            if self._camera in ready:
                answered += received(self._camera)
                answered = self._answer(answered, ffmpeg.sendall)

    def _answer(self, held: bytes, send: Callable[[bytes], None]) -> bytes:
        """Send each whole answer of `held` on, and return the rest."""
        while (message := _first_message(held)) is not None:
            lines, body, held = message
            if lines:
                send(b"\r\n".join([*self._judged(lines), b"Content-Length: %d" % len(body), b"", body]))
        if len(held) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            raise Unreadable
        return held

    def _judged(self, lines: list[bytes]) -> list[bytes]:
        """The lines of an answer that FFmpeg may see."""
        status = _STATUS.match(lines[0])
        if status is not None and status[1].startswith(b"3"):
            self.redirected_to = _field(lines, b"location").decode("latin-1")
            raise Unreadable
        if status is None and lines[0].startswith(b"RTSP/"):
            raise Unreadable
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
            raise Unreadable from None
        return line if _SOURCE.search(line) else line + b";source=" + self._address.encode()

    def _allowed(self, source: bytes) -> bytes:
        named = source.decode("latin-1").strip('"[]')
        return resolve(named, 0, self._limits, self._shown).encode() if named else self._address.encode()


def _readable(sockets: tuple[socket.socket, ...], timeout_s: float) -> list[socket.socket]:
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout_s)]  # type: ignore[misc]


def _first_message(held: bytes) -> tuple[list[bytes], bytes, bytes] | None:
    """Its lines, its body, and what comes after it; None while it is not whole. Packets of a stream that
    come before are left out. Raise Unreadable where it is too large."""
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
        raise Unreadable
    return None


def _with_body(lines: list[bytes], rest: bytes) -> tuple[list[bytes], bytes, bytes] | None:
    lengths = [int(match[1]) for line in lines if (match := _LENGTH.match(line))]
    length = lengths[-1] if lengths else 0
    if length > MAX_BODY_BYTES:
        raise Unreadable
    return None if len(rest) < length else (lines, rest[:length], rest[length:])


def _field(lines: list[bytes], name: bytes) -> bytes:
    fields = (line.partition(b":") for line in lines[1:])
    return next((value.strip() for key, _, value in fields if key.strip().lower() == name), b"")
