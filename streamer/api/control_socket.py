"""The socket on which the command line and the page ask a running daemon for what only it can do.

A UNIX stream socket, 0660, group `streamer` where there is one. One JSON object a line each way:

    -> {"op": "change", "args": {...}}
    <- {"ok": true, "result": {"config_rev": 12}}
    <- {"ok": false, "error": "one line", "exit_code": 3}

Who asks for somebody else adds `"as": {"role": "operator", "name": "token shop"}`, and is treated as
having that role at most: rights can be laid down so, and none gained.

A client may send several requests without waiting; they are answered in their order.

The server lives in the supervisor's single thread and never waits: what is half-read or half-written stays
with its connection until the next poll(). Clients, bytes, requests a turn and time are bounded, so that a
peer that never reads, never ends its line, never stops asking or never leaves costs one place and no more.
"""

from __future__ import annotations

import errno
import grp
import json
import logging
import os
import selectors
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.api.callers import ROLES, Caller, Role, caller_of
from streamer.errors import CapacityError, ControlError, Exit, NoAnswer, RunningError, StreamerError, one_line

log = logging.getLogger(__name__)

GROUP = "streamer"
MAX_PATH = 107  # bytes of a UNIX socket path that the kernel takes
MAX_CLIENTS = 32
MAX_NAME = 100  # characters of whom somebody asks for
MAX_REQUESTS_A_TURN = 64  # of one client, answered in one poll()
MAX_REQUEST = 256 << 10  # bytes of a line to the server
MAX_REPLY = 32 << 20  # bytes of a line back: a full-size picture in base64
CHUNK = 64 << 10
REQUEST_TIMEOUT_S = 10.0  # from connecting, or the last answer, to the end of the request's line
REPLY_TIMEOUT_S = 30.0  # for a peer to take its answer
ANSWER_TIMEOUT_S = 60.0  # for the daemon to answer a request it has taken
CONNECT_AGAIN_S = 0.02  # for a caller, while too many others wait
PAUSE_S = 1.0  # without accepting, when descriptors have run out


@dataclass(eq=False)
class _Connection:
    """One client: what it has sent so far, what it has not yet taken, and when its turn began."""

    socket: socket.socket
    caller: Caller
    since_s: float
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    waiting: bool = False  # a request is taken and not answered yet
    closing: bool = False  # close when all is sent

    def deadline_s(self) -> float:
        if self.outgoing:
            return self.since_s + REPLY_TIMEOUT_S
        return self.since_s + (ANSWER_TIMEOUT_S if self.waiting else REQUEST_TIMEOUT_S)


@dataclass(eq=False)
class Request:
    """One question; answer it once, with reply() or fail(), now or in a later turn of the loop."""

    op: str
    args: dict[str, Any]
    caller: Caller
    _server: ControlServer
    _connection: _Connection

    def reply(self, result: Mapping[str, Any]) -> None:
        self._server._answer(self._connection, {"ok": True, "result": dict(result)})

    def fail(self, error: StreamerError) -> None:
        answer = {"ok": False, "error": str(error), "exit_code": int(error.exit_code)}
        self._server._answer(self._connection, answer)


class ControlServer:
    """Binds `path`. Call poll() whenever filenos() are readable, and at least once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._selector = selectors.EpollSelector()
        self._connections: dict[int, _Connection] = {}
        self._listener = listen_at(path)
        self._paused_until_s: float | None = None
        self._selector.register(self._listener, selectors.EVENT_READ)

    def filenos(self) -> list[int]:
        """One epoll descriptor that stands for all: readable when any connection can be read or written."""
        return [self._selector.fileno()]

    def poll(self) -> Iterator[Request]:
        """Take, read and write what can be without waiting, then yield the requests that are complete.

        A client's next request is yielded in the same turn if the one before has its answer by then, at most
        MAX_REQUESTS_A_TURN of each.
        """
        self._exchange()
        for connection in list(self._connections.values()):
            yield from self._requests_of(connection)
        self._drop_late()

    def _exchange(self) -> None:
        self._resume()
        for key, events in self._selector.select(timeout=0):
            if key.fileobj is self._listener:
                self._accept()
                continue
            connection: _Connection = key.data
            if events & selectors.EVENT_READ:
                self._read(connection)
            if events & selectors.EVENT_WRITE and connection.socket.fileno() in self._connections:
                self._write(connection)

    def _requests_of(self, connection: _Connection) -> Iterator[Request]:
        for _ in range(MAX_REQUESTS_A_TURN):
            if self._connections.get(connection.socket.fileno()) is not connection:
                return  # it has gone, perhaps while its last answer was written
            request = self._next_request(connection)
            if request is None:
                return
            yield request

    def close(self) -> None:
        """Send what fits at once, close all, and take the socket file away."""
        for connection in list(self._connections.values()):
            self._write(connection)
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            log.warning("control socket: %s; clients wait for %g s", error.strerror, PAUSE_S)
            self._selector.unregister(self._listener)  # it stays readable, and would spin the loop
            self._paused_until_s = time.monotonic() + PAUSE_S
            return
        accepted.setblocking(False)
        if len(self._connections) >= MAX_CLIENTS:
            with suppress(OSError):  # a courtesy: it may have gone again
                accepted.send(_line(_failure(CapacityError("the daemon serves too many clients: try again"))))
            accepted.close()
            return
        try:
            connection = _Connection(accepted, caller_of(accepted), time.monotonic())
        except OSError as error:  # who asks is not known: then nothing is answered
            log.warning("control socket: a client is turned away: %s", error.strerror)
            accepted.close()
            return
        self._connections[accepted.fileno()] = connection
        self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _resume(self) -> None:
        if self._paused_until_s is not None and time.monotonic() > self._paused_until_s:
            self._paused_until_s = None
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _read(self, connection: _Connection) -> None:
        try:
            chunk = connection.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        if not chunk:
            self._drop(connection)
            return
        connection.incoming += chunk
        if len(connection.incoming) > MAX_REQUEST:
            connection.incoming.clear()
            self._refuse(connection, f"a request may hold {MAX_REQUEST >> 10} KiB")

    def _next_request(self, connection: _Connection) -> Request | None:
        if connection.waiting or connection.outgoing or connection.closing:
            return None
        line, newline, rest = connection.incoming.partition(b"\n")
        if not newline:
            return None
        connection.incoming = rest
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            self._refuse(connection, "a request is one JSON object a line")
            return None
        op, args = (request.get("op"), request.get("args", {})) if isinstance(request, dict) else (None, None)
        if not isinstance(op, str) or not isinstance(args, dict):
            self._refuse(connection, 'a request is {"op": NAME, "args": {...}}')
            return None
        caller = _asked_for(connection.caller, request.get("as"))
        if caller is None:
            self._refuse(connection, '"as" is {"role": ROLE, "name": NAME}')
            return None
        connection.waiting = True
        connection.since_s = time.monotonic()
        return Request(op, args, caller, self, connection)

    def _refuse(self, connection: _Connection, text: str) -> None:
        connection.waiting = connection.closing = True
        self._answer(connection, _failure(ControlError(text)))

    def _answer(self, connection: _Connection, answer: Mapping[str, Any]) -> None:
        if self._connections.get(connection.socket.fileno()) is not connection or not connection.waiting:
            return  # the client has gone, or has its answer
        raw = _line(answer)
        if len(raw) > MAX_REPLY:
            raw = _line(_failure(CapacityError("the answer is too large to send: ask for less")))
        connection.waiting = False
        connection.outgoing += raw
        connection.since_s = time.monotonic()
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            while connection.outgoing:
                sent = connection.socket.send(connection.outgoing)
                del connection.outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if connection.closing and not connection.outgoing:
            self._drop(connection)
            return
        self._watch(connection)

    def _watch(self, connection: _Connection) -> None:
        """Read only from who has no answer outstanding: a flood of requests waits in the kernel."""
        if self._connections.get(connection.socket.fileno()) is not connection:
            return
        events = selectors.EVENT_WRITE if connection.outgoing else selectors.EVENT_READ
        self._selector.modify(connection.socket, events, connection)

    def _drop_late(self) -> None:
        now_s = time.monotonic()
        for connection in list(self._connections.values()):
            if now_s > connection.deadline_s():
                self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            self._selector.unregister(connection.socket)
        connection.socket.close()


def _asked_for(caller: Caller, behalf: Any) -> Caller | None:
    """The caller, with the rights of whom it asks for; None where that is not said as it should be."""
    if behalf is None:
        return caller
    role, name = (behalf.get("role"), behalf.get("name")) if isinstance(behalf, dict) else (None, None)
    if role not in ROLES or not isinstance(name, str):
        return None
    return caller.lowered(role, one_line(name[:MAX_NAME]))


def listen_at(path: Path, backlog: int = MAX_CLIENTS) -> socket.socket:
    """A listening socket at `path`, the group's too. Raises RunningError if somebody answers there
    already."""
    _check_length(path)
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ControlError(f"{path} is there and is no socket: move it away")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            with suppress(ConnectionRefusedError):
                probe.connect(os.fspath(path))
                raise RunningError(f"another daemon answers on {path}: stop it first")
        path.unlink()  # left by a daemon that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(0o117)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        raise ControlError(f"{path}: cannot be made: {error.strerror}") from error
    finally:
        os.umask(mask)
    with suppress(KeyError, PermissionError):  # no such group, or not ours to give: the owner's own then
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
    listener.listen(backlog)
    return listener


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > MAX_PATH:
        raise ControlError(f"{path} is too long for a socket path: set runtime_dir to a shorter one")


def _failure(error: StreamerError) -> dict[str, Any]:
    return {"ok": False, "error": str(error), "exit_code": int(error.exit_code)}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


# ---- the client


def call(
    path: Path,
    op: str,
    args: Mapping[str, Any] | None = None,
    timeout_s: float = 5.0,
    behalf: tuple[Role, str] | None = None,
) -> dict[str, Any]:
    """Ask the daemon at `path` and wait for its answer, at most `timeout_s` in all. `behalf`: the role and
    name of whom this is asked for.

    Raises RunningError if no daemon answers there, NoAnswer where it is silent, and ControlError with the
    daemon's text and exit code if it refuses.
    """
    _check_length(path)
    deadline_s = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout_s)
        try:
            _connect(client, path, deadline_s)
            client.sendall(_line({"op": op, "args": dict(args or {}), **_as(behalf)}))
            raw = _read_line(client, deadline_s)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise RunningError(f"no daemon answers on {path}: start one with `streamer run`") from error
        except PermissionError as error:
            raise ControlError(f"{path}: not allowed; it is open to the group {GROUP!r} and root") from error
        except (TimeoutError, BlockingIOError) as error:
            raise NoAnswer(f"the daemon on {path} gave no answer within {timeout_s:g} s") from error
        except OSError as error:
            raise ControlError(f"the daemon on {path} hung up: {error.strerror or error}") from error
    return _result(path, raw)


def _connect(client: socket.socket, path: Path, deadline_s: float) -> None:
    """Raises BlockingIOError when the daemon has more callers than may wait until `deadline_s`: of a UNIX
    socket the kernel says so at once, whatever the timeout."""
    while True:
        try:
            client.connect(os.fspath(path))
            return
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(CONNECT_AGAIN_S)


def _as(behalf: tuple[Role, str] | None) -> dict[str, Any]:
    return {} if behalf is None else {"as": {"role": behalf[0], "name": behalf[1]}}


def _read_line(client: socket.socket, deadline_s: float) -> bytes:
    parts = bytearray()
    while not parts.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        client.settimeout(left_s)
        chunk = client.recv(CHUNK)
        if not chunk:
            raise ConnectionError("it ended the connection before its answer was complete")
        parts += chunk
        if len(parts) > MAX_REPLY:
            raise ConnectionError("its answer is too large")
    return bytes(parts)


def _result(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
        if answer["ok"]:
            return dict(answer["result"])
        text, code = str(answer["error"]), Exit(answer["exit_code"])
    except (ValueError, KeyError, TypeError) as error:
        raise ControlError(f"what answers on {path} is not this version's daemon: restart it") from error
    refusal = ControlError(text)
    refusal.exit_code = code
    raise refusal
