"""The API worker: serves HTTP (streamer/api/http) where streamer.yaml says so.

The server has a thread of its own; this one hears what the supervisor says, and beats only while the server's
loop goes round. It is nice to those on the frames' way, reads the ledger read-only, and asks the daemon
over the control socket like everybody else: its death takes nothing with it.

An address that cannot be had is tried again, so that a port that another program holds is a warning, not a
process that keeps dying.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamer.api.http.gate import Gate
from streamer.api.http.routes import application
from streamer.api.http.server import HttpServer
from streamer.api.http.site import Site
from streamer.config.api_settings import ApiConfig
from streamer.config.schema import Config
from streamer.errors import StreamerError
from streamer.ipc import bus
from streamer.ipc.messages import ApiAssignment, Hello, Message, Ready, WorkerStatus

log = logging.getLogger(__name__)

NICE = 10
HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
TRY_EVERY_S = 5.0
POLL_S = 0.1
LOOP_LIMIT_S = 8.0  # without a turn of the server's loop: then it hangs


class ApiWorker:
    """Implements workers.loop.Worker."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path) -> None:
        self.stopping = False
        self._name = name
        self._assignment: ApiAssignment | None = None
        self._settings = ApiConfig()
        self._site = Site(state_dir, runtime_dir / "control.sock")
        self._server: HttpServer | None = None
        self._gate = Gate(application(self._site), self._site)
        self._warning = ""
        self._hello_s = self._status_s = self._try_s = 0.0
        self._bus = bus.Bus(runtime_dir)

    def open(self) -> None:
        os.nice(NICE)
        self._supervisor = self._bus.connect("supervisor", self._name)

    def step(self) -> None:
        """Raise StreamerError where the server has died or hangs."""
        for received in self._bus.poll(POLL_S):
            self._obey(received.message)
        now_s = time.monotonic()
        self._look_at_server(now_s)
        self._site.sessions.save_if_due()
        if self._assignment is None:
            if now_s >= self._hello_s:
                self._hello_s = now_s + HELLO_EVERY_S
                self._supervisor.send(Hello(self._name, os.getpid()))
            return
        if self._server is None and now_s >= self._try_s:
            self._listen(now_s)
        if now_s >= self._status_s:
            self._status_s = now_s + STATUS_EVERY_S
            self._supervisor.send(WorkerStatus(self._name, self._status()))

    def close(self) -> None:
        self._stop_server()
        self._bus.close()

    def _obey(self, message: Message) -> None:
        if not isinstance(message, ApiAssignment):
            return
        try:
            config = Config.model_validate_json(message.config_json)
        except ValidationError as error:
            raise StreamerError(
                "the daemon's configuration cannot be read here: restart the daemon"
            ) from error
        self._assignment = message
        self._site.assign(config, message.rev, message.node, Path(message.ledger_path))
        if config.api != self._settings:
            self._stop_server()
            self._settings, self._try_s = config.api, 0.0
        self._supervisor.send(Ready(self._name, message.rev))

    def _listen(self, now_s: float) -> None:
        self._try_s = now_s + TRY_EVERY_S
        self._site.stopping.clear()
        try:
            server = HttpServer(self._gate, self._settings, self._site.stopping.set)
            server.start()
        except StreamerError as error:
            if str(error) != self._warning:
                log.error("%s", error)
            self._warning = str(error)
            return
        self._server, self._warning = server, ""
        log.info("HTTP at %s", server.address)

    def _stop_server(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = None

    def _look_at_server(self, now_s: float) -> None:
        server = self._server
        if server is None:
            return
        if not server.alive:
            raise StreamerError("the thread that serves HTTP has died: see the log above")
        if now_s - server.ticked_s > LOOP_LIMIT_S:
            raise StreamerError(f"HTTP was not served for {LOOP_LIMIT_S:g} s: started again")

    def _status(self) -> dict[str, Any]:
        server = self._server
        return {
            "address": server.address if server else None,
            "connections": server.connections if server else 0,
            "turned_away": server.turned_away if server else 0,
            "answers": {str(status): count for status, count in sorted(self._gate.answers.items())},
            "warning": self._warning,
        }


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> ApiWorker:  # noqa: ARG001
    """What workers/main.py calls; this worker shares no memory with others."""
    return ApiWorker(name, runtime_dir, state_dir)
