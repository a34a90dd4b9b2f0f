"""A relay on loopback between FFmpeg and a camera, that leads to the one address that was judged.

FFmpeg resolves names, follows redirects and speaks TLS by itself, each in its own way; given this relay in
place of the camera it does none of the three. TLS ends here, with the check of the certificate that was asked
for.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time

import psutil

AFTER_S = 1.0  # FFmpeg's own deadline, which says more, comes before the relay's
_PART = 1 << 18


class Unreadable(Exception):
    """What the camera says is not its protocol, or leads to where FFmpeg must not follow."""


class LoopbackRelay:
    """`address` and `port` are the camera's; `tls` and `tls_name` how it is spoken to where that is over TLS,
    and as whom. All ends at `end`, in monotonic seconds, unless the stream plays by then: then it goes on
    until one of both sides ends it, or data comes while FFmpeg has been asked for a packet for too long:
    then `fruitless` is set.
    """

    name = "relay"  # of its thread

    def __init__(
        self, address: str, port: int, end: float, tls: ssl.SSLContext | None = None, tls_name: str = ""
    ) -> None:
        """Connect. Raise OSError where that fails, ssl.SSLCertVerificationError among them."""
        self._end = end
        self.fruitless = False
        self._packet_by: float | None = None
        self.host = "::1" if ":" in address else "127.0.0.1"
        self._camera = socket.create_connection((address, port), timeout=self._left_s())
        try:
            if tls is not None:
                self._camera = tls.wrap_socket(self._camera, server_hostname=tls_name)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._listener = socket.create_server((self.host, 0), family=family)
        except OSError:
            self._camera.close()
            raise
        self._end = end + AFTER_S
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def expect_packet(self, within_s: float | None) -> None:
        """FFmpeg is asked for a packet, which is to come `within_s`; None: it has come."""
        self._packet_by = None if within_s is None else time.monotonic() + within_s

    def opened(self) -> None:
        """FFmpeg's open is over: who has not come by now does not come."""
        self._listener.close()

    def _left_s(self) -> float:
        return max(0.05, self._end - time.monotonic())

    def _run(self) -> None:
        try:
            with self._camera, self._listener, self._accept() as ffmpeg:
                self._listener.close()
                self._begin(ffmpeg)
                self._pass_on(ffmpeg)
        except (OSError, Unreadable):
            return  # FFmpeg sees its connection end, and says so

    def _begin(self, ffmpeg: socket.socket) -> None:
        """What passes before the stream plays, where it is not passed on as it is."""

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

    def _pass_on(self, ffmpeg: socket.socket) -> None:
        """Until one of both ends it, or all that comes makes no packet."""
        ffmpeg.settimeout(None)
        self._camera.settimeout(None)
        to = {ffmpeg: self._camera, self._camera: ffmpeg}
        with selectors.DefaultSelector() as selector:
            for one in to:
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    side: socket.socket = key.fileobj  # type: ignore[assignment]
                    to[side].sendall(received(side))
                by = self._packet_by
                if by is not None and time.monotonic() > by:
                    self.fruitless = True
                    return


def received(one: socket.socket) -> bytes:
    """What has come of a side that can be read, without a wait: nothing where TLS has read what is its own
    (the tickets of a session, RFC 8446 4.6.1) or the part of a record. Raise OSError at the end."""
    parts = []
    waits_s = one.gettimeout()
    one.setblocking(False)
    try:
        parts.append(one.recv(_PART))
        while getattr(one, "pending", int)():  # decrypted already, so that no selector tells of it
            parts.append(one.recv(_PART))
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b"".join(parts)
    finally:
        one.settimeout(waits_s)
    if not parts[0]:
        raise ConnectionResetError
    return b"".join(parts)


def _is_ours(port: int) -> bool:
    """Whether a connection from this port is one of this process."""
    mine = psutil.Process().net_connections("tcp")
    return any(connection.laddr and connection.laddr.port == port for connection in mine)
