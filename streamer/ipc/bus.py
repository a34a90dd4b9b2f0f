"""The only file that imports zmq: typed messages over ipc sockets, one poll for all of them.

A `Server` binds an endpoint and knows its peers by name; a `Client` connects to one. Both never block:
a send that finds no room or no peer says so by returning False, and its caller decides what that means.
Connecting again after a restart of the other end is ZeroMQ's business.

    runtime/NAME.ipc   supervisor   all workers connect
                       infer-0      capture workers connect
                       deliver      inference workers connect
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

import zmq

from streamer.errors import ConfigError
from streamer.ipc.messages import Message, MessageError, decode, encode

MAX_PATH = 107  # bytes of a UNIX socket path that the kernel takes
HIGH_WATER = 1000  # messages queued for a peer before send() returns False
LINGER_MS = 500  # how long close() may wait for what is still in a queue


class Received(NamedTuple):
    """`peer` is the sender's name on a Server and the endpoint's on a Client."""

    socket: Server | Client
    peer: str
    message: Message


class Server:
    """Binds `endpoint`; `send` needs the peer's name."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        self._socket = socket
        self.endpoint = endpoint

    def send(self, peer: str, message: Message) -> bool:
        """Return False when `peer` is not connected or its queue is full."""
        try:
            self._socket.send_multipart([peer.encode(), encode(message)], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    def _receive(self) -> tuple[str, bytes] | None:
        try:
            peer, raw = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return peer.decode(errors="replace"), raw


class Client:
    """Connects to `endpoint` under a name; messages wait for the other end to come up."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        self._socket = socket
        self.endpoint = endpoint

    def send(self, message: Message) -> bool:
        """Return False when the queue is full (the other end is away or slow)."""
        try:
            self._socket.send(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _receive(self) -> tuple[str, bytes] | None:
        try:
            return self.endpoint, self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None


_Wrapped = TypeVar("_Wrapped", Server, Client)


class Bus:
    """All sockets of one process, used by one thread."""

    def __init__(self, runtime_dir: Path) -> None:
        self._dir = runtime_dir
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets: dict[object, Server | Client] = {}
        self._extra: set[int] = set()
        self.damaged = 0  # messages that could not be decoded, counted and dropped

    def serve(self, endpoint: str) -> Server:
        """Bind `endpoint`. A dead process's socket is replaced; the daemon's lock keeps out a live one's."""
        path = self._path(endpoint)
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a restarted worker takes over its own name
        self._tune(socket)
        mask = os.umask(0o177)
        try:
            socket.bind(f"ipc://{path}")
        finally:
            os.umask(mask)
        return self._register(Server(socket, endpoint), socket)

    def connect(self, endpoint: str, name: str) -> Client:
        path = self._path(endpoint)
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.setsockopt(zmq.RECONNECT_IVL, 20)  # ms
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)  # ms
        self._tune(socket)
        socket.connect(f"ipc://{path}")
        return self._register(Client(socket, endpoint), socket)

    def watch(self, fileno: int) -> None:
        """Let poll() return early when `fileno` is readable; its owner reads it."""
        self._poller.register(fileno, zmq.POLLIN)
        self._extra.add(fileno)

    def unwatch(self, fileno: int) -> None:
        self._poller.unregister(fileno)
        self._extra.discard(fileno)

    def poll(self, timeout_s: float) -> Iterator[Received]:
        """Wait until something arrives or the time is up, then yield all that is there (bounded)."""
        ready = self._poller.poll(max(0, math.ceil(timeout_s * 1000)))
        for key, _ in ready:
            socket = self._sockets.get(key)
            if socket is None:
                continue
            for _turn in range(HIGH_WATER):
                received = socket._receive()
                if received is None:
                    break
                peer, raw = received
                try:
                    message = decode(raw)
                except MessageError:
                    self.damaged += 1
                    continue
                yield Received(socket, peer, message)

    def disconnect(self, socket: Server | Client) -> None:
        self._poller.unregister(socket._socket)
        self._sockets.pop(socket._socket, None)
        socket._socket.close(linger=LINGER_MS)

    def close(self) -> None:
        for socket in list(self._sockets.values()):
            self.disconnect(socket)
        self._context.term()

    def __enter__(self) -> Bus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tune(self, socket: zmq.Socket[bytes]) -> None:
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
        socket.setsockopt(zmq.LINGER, LINGER_MS)

    def _register(self, wrapped: _Wrapped, socket: zmq.Socket[bytes]) -> _Wrapped:
        self._sockets[socket] = wrapped
        self._poller.register(socket, zmq.POLLIN)
        return wrapped

    def _path(self, endpoint: str) -> Path:
        path = self._dir / f"{endpoint}.ipc"
        if len(os.fsencode(path)) > MAX_PATH:
            raise ConfigError(
                f"runtime folder {self._dir} is too long for a socket path: set runtime_dir to a shorter one"
            )
        return path
