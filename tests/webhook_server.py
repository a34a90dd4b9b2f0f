"""An HTTP server on loopback that does with each request what a test tells it to, and notes what came."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

HANG_S = 60.0


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def batch(self) -> list[dict[str, Any]]:
        """The events of a request in CloudEvents' batch format."""
        found: list[dict[str, Any]] = json.loads(self.body)
        return found

    @property
    def seqs(self) -> list[int]:
        return [int(event["data"]["seq"]) for event in self.batch]

    @property
    def seq(self) -> int:
        return int(self.event["data"]["seq"])


Reply = Callable[["Hook", socket.socket, Request], None]


@dataclass
class Hook:
    """`reply` answers each request; `requests` are all that came, `taken` those that were answered 2xx."""

    port: int = 0
    reply: Reply = field(default=lambda hook, connection, request: hook.take(connection, request))
    requests: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, connection: socket.socket, request: Request) -> None:
        self.taken.append(request)
        answer(connection, 204)

    def seqs(self, camera: str) -> list[int]:
        return [r.seq for r in self.taken if r.event["data"]["camera"] == camera]


def answer(connection: socket.socket, status: int, *headers: str, body: bytes = b"") -> None:
    lines = [f"HTTP/1.1 {status} x", *headers]
    lines += [] if status == 204 else [f"content-length: {len(body)}"]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def hang(hook: Hook, _connection: socket.socket, _request: Request) -> None:
    hook.ending.wait(HANG_S)


def dribble(hook: Hook, connection: socket.socket, _request: Request) -> None:
    """A byte of the answer now and then, for as long as somebody waits."""
    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 600:
        connection.sendall(bytes([byte]))
        if hook.ending.wait(0.1):
            return


def take_and_cut(hook: Hook, connection: socket.socket, request: Request) -> None:
    """The event is in, and the sender never hears of it."""
    hook.taken.append(request)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def always(status: int, *headers: str) -> Reply:
    return lambda _hook, connection, _request: answer(connection, status, *headers)


@contextmanager
def webhook() -> Iterator[Hook]:
    hook, threads = Hook(), []
    listener = socket.create_server(("127.0.0.1", 0))
    hook.port = listener.getsockname()[1]

    def serve() -> None:
        while not hook.ending.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_converse, args=(hook, connection), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield hook
    finally:
        hook.ending.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(5)


def _converse(hook: Hook, connection: socket.socket) -> None:
    connection.settimeout(0.2)
    buffered = b""
    with connection:
        while not hook.ending.is_set():
            try:
                request, buffered = _read(connection, buffered)
                if request is None:
                    return
                hook.requests.append(request)
                hook.reply(hook, connection, request)
            except TimeoutError:
                continue
            except OSError:
                return


def _read(connection: socket.socket, buffered: bytes) -> tuple[Request | None, bytes]:
    """The next request; nothing of it is lost to a timeout, since it comes in one piece or not at all."""
    connection.settimeout(0.2 if not buffered else 5)
    while b"\r\n\r\n" not in buffered:
        piece = connection.recv(65536)
        if not piece:
            return None, b""
        buffered += piece
        connection.settimeout(5)
    head, _, rest = buffered.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    while len(rest) < int(headers["content-length"]):
        rest += connection.recv(65536)
    size = int(headers["content-length"])
    return Request(first.split(" ")[1], headers, rest[:size]), rest[size:]
