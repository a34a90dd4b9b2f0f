"""The HTTP server: a thread with its own event loop, and a bounded number of connections, counted from the
moment that they are accepted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio.to_thread
from uvicorn.config import Config
from uvicorn.server import ServerState

from streamer.api.control_socket import listen_at
from streamer.api.http import problems
from streamer.api.http.connection import MAX_HEAD, BoundedConnection
from streamer.api.http.problems import HttpRefusal
from streamer.config.api_settings import ApiConfig, Listen, parse_listen
from streamer.errors import ConfigError, StreamerError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
MAX_THREADS = 8  # that serve what must wait: for the daemon, or the ledger
BACKLOG = 128
HANDSHAKE_TIMEOUT_S = 10.0  # of TLS
PAUSE_S = 1.0  # without accepting, when descriptors have run out
START_TIMEOUT_S = 10.0  # for its loop to begin
DRAIN_S = 2.0  # for requests in hand, at the end
FULL = HttpRefusal(
    503, f"{MAX_CONNECTIONS} connections are open, and no more are taken: try again in a moment"
)


class CannotListen(StreamerError):
    """Raised when the address of api.listen cannot be listened at."""


class HttpServer:
    """Serves `app` (ASGI) where `settings` say, from start() to stop(). `ending` is called in its loop
    when it stops, so that answers without end come to one."""

    def __init__(self, app: Any, settings: ApiConfig, ending: Callable[[], None]) -> None:
        assert settings.listen is not None
        self._listen, self._ending = parse_listen(settings.listen), ending
        self._settings, self._tls = settings, _tls(settings)
        self._tls_files = _signature(settings)
        self._going = threading.Event()
        self._config = Config(
            app,
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_HEAD,
        )
        self._state = ServerState()
        self._open: set[BoundedConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self.turned_away = 0
        self.ticked_s = time.monotonic()  # its loop goes round

    def start(self) -> None:
        """Raise CannotListen, ControlError, RunningError."""
        self._socket = _bound(self._listen)
        self.address = _address(self._socket, self._listen)
        self._thread.start()
        self._going.wait(START_TIMEOUT_S)

    def stop(self) -> None:
        """Let requests in hand be answered for a moment, and end all connections."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DRAIN_S + 1.0)
        if self._listen.path:
            Path(self._listen.path).unlink(missing_ok=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def connections(self) -> int:
        return len(self._open)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._going.set()
        anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
        self._config.load()
        accepting, ticking = asyncio.create_task(self._accept()), asyncio.create_task(self._tick())
        stopped = asyncio.create_task(self._stopped())
        done, _ = await asyncio.wait((accepting, ticking, stopped), return_when=asyncio.FIRST_COMPLETED)
        self._socket.close()
        self._ending()
        await self._drain()
        for task in (accepting, ticking, stopped):
            task.cancel()
        for task in done:
            task.result()  # what ended it, if nobody asked for that

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _drain(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()
        end_s = time.monotonic() + DRAIN_S
        while self._state.tasks and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        for connection in list(self._open):
            connection.abort()

    async def _tick(self) -> None:
        while True:
            self.ticked_s = time.monotonic()
            self._state.default_headers = [
                (b"date", formatdate(usegmt=True).encode()),
                *self._config.encoded_headers,
            ]
            for connection in list(self._open):
                connection.check(self.ticked_s)
            self._renew()
            await asyncio.sleep(1.0)

    def _renew(self) -> None:
        """Take over a certificate that was renewed, for who connects from now on; a bad one changes
        nothing."""
        files = _signature(self._settings)
        if self._tls is None or files == self._tls_files:
            return
        self._tls_files = files
        try:
            self._tls = _tls(self._settings)
            log.info("HTTP: the certificate was read anew")
        except ConfigError as error:  # between the two files of a renewal: seen again with the next change
            log.error("%s; the one before goes on", error)

    async def _accept(self) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except ConnectionError:
                continue  # it has gone again
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                log.warning("HTTP: %s; clients wait for %g s", error.strerror, PAUSE_S)
                await asyncio.sleep(PAUSE_S)
                continue
            self._take(accepted)
            await asyncio.sleep(0)  # a flood of connections leaves turns to those that there are

    def _take(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if len(self._open) >= MAX_CONNECTIONS:
            self._turn_away(accepted)
            return
        connection = BoundedConnection(self._config, self._state, self._open.discard)
        self._open.add(connection)
        task = self._loop.create_task(self._connect(accepted, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket, connection: BoundedConnection) -> None:
        limit_s = HANDSHAKE_TIMEOUT_S if self._tls else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=limit_s
            )
        except OSError:  # it has gone, speaks no TLS, or took too long over it
            self._open.discard(connection)
            accepted.close()

    def _turn_away(self, accepted: socket.socket) -> None:
        self.turned_away += 1
        with suppress(OSError):  # a courtesy: it may have gone again
            if self._tls is None:
                accepted.send(problems.raw(FULL))
            accepted.shutdown(socket.SHUT_WR)
            accepted.recv(MAX_HEAD)  # what is unread when it is closed would take the answer with it
        accepted.close()


def _tls(settings: ApiConfig) -> ssl.SSLContext | None:
    """Raise ConfigError for files that are no certificate and its key."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"api.tls_cert, api.tls_key: {settings.tls_cert} and {settings.tls_key} cannot be used: {why}: "
            "give a certificate in PEM and its key, without a password, that the daemon's user may read"
        ) from error
    return context


def _signature(settings: ApiConfig) -> list[tuple[int, int, int]]:
    """By which files that are as they were are known; of none that is missing."""
    found = []
    for path in filter(None, (settings.tls_cert, settings.tls_key)):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def _no_password() -> str:
    raise ValueError("the key has a password")


def _bound(where: Listen) -> socket.socket:
    """Raise CannotListen, ControlError, RunningError."""
    if where.path:
        return listen_at(Path(where.path), BACKLOG)
    bound = socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((where.host, where.port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise CannotListen(
            f"api.listen: {where.host} port {where.port} cannot be listened at: {error.strerror}: "
            "stop what has it, or choose another port"
        ) from error
    return bound


def _address(bound: socket.socket, where: Listen) -> str:
    """As api.listen has it, with the port that the system chose."""
    if where.path:
        return where.path
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
