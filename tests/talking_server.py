"""Servers on loopback that talk to whoever connects, each connection in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=control:track\r\n"
)


@dataclass(slots=True)
class Talking:
    """`attempts_s` are the monotonic seconds at which somebody connected."""

    port: int
    ending: threading.Event = field(default_factory=threading.Event)
    attempts_s: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"


Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def talking(talk: Talk) -> Iterator[Talking]:
    """A server that does `talk` with every connection, until `ending` is set."""
    threads: list[threading.Thread] = []

    def converse(connection: socket.socket) -> None:
        with connection:
            try:
                talk(connection, server.ending)
            except OSError:
                return  # the other side has had enough, which is what the tests are about

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.attempts_s.append(time.monotonic())
            threads.append(threading.Thread(target=converse, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = Talking(listener.getsockname()[1])
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            server.ending.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def answer_until_play(connection: socket.socket, sdp: str = SDP) -> bool:
    """Be a camera up to PLAY; False when the client leaves before."""
    pending = b""
    while True:
        data = connection.recv(4096)
        if not data:
            return False
        pending += data
        while b"\r\n\r\n" in pending:
            request, pending = pending.split(b"\r\n\r\n", 1)
            method = request.split(b" ", 1)[0]
            connection.sendall(_answer(method, request, sdp))
            if method == b"PLAY":
                return True


def _answer(method: bytes, request: bytes, sdp: str) -> bytes:
    sequence = request.split(b"CSeq: ")[1].split(b"\r\n")[0].decode()
    head, body = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n", ""
    if method == b"DESCRIBE":
        head += f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n"
        body = sdp
    if method == b"SETUP":
        head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
    return (head + "\r\n" + body).encode()


def rtp(connection: socket.socket, number: int, payload: bytes) -> None:
    """One packet of H.264 over the connection, a picture of its own each."""
    stamp = (number * 3600) % (1 << 32)
    header = bytes([0x80, 0x80 | 96]) + (number % 65536).to_bytes(2, "big") + stamp.to_bytes(4, "big")
    packet = header + b"\0\0\0\1" + payload
    connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
