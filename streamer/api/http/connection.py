"""One HTTP connection, with a time for each of its steps: a peer that sends slowly, reads slowly or never
leaves costs one place for that long, and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from streamer.api.http import problems
from streamer.api.http.problems import HttpRefusal

HEAD_TIMEOUT_S = 10.0  # for a request's line and headers, from connecting or the end of the one before
READ_TIMEOUT_S = 30.0  # for the peer to take what is sent to it
CLOSE_TIMEOUT_S = 10.0  # for what is left to be sent when the connection is closed
MAX_HEAD = 16 << 10  # bytes of a request's line and headers


class BoundedConnection(H11Protocol):
    """`on_lost` is called with it when it has ended. Look at it with `check` once a second."""

    def __init__(
        self, config: Config, state: ServerState, on_lost: Callable[[BoundedConnection], None]
    ) -> None:
        super().__init__(config, state, {})
        self._on_lost = on_lost
        self._made = False
        self._head_since_s: float | None = None
        self._paused_since_s: float | None = None
        self._closing_since_s: float | None = None

    def check(self, now_s: float) -> None:
        """End it where a step took too long."""
        if not self._made:
            return  # TLS is not agreed on yet: that has a time of its own
        if self.transport.is_closing():
            self._closing_since_s = self._closing_since_s or now_s
            if now_s - self._closing_since_s > CLOSE_TIMEOUT_S:
                self.transport.abort()
        elif self._paused_since_s is not None and now_s - self._paused_since_s > READ_TIMEOUT_S:
            self.transport.abort()
        elif self._head_since_s is not None and now_s - self._head_since_s > HEAD_TIMEOUT_S:
            self.refuse(HttpRefusal(408, f"a request's headers must come within {HEAD_TIMEOUT_S:g} s"))

    def abort(self) -> None:
        if self._made:
            self.transport.abort()

    def refuse(self, refusal: HttpRefusal) -> None:
        """Say why where no answer has begun, and end it."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(problems.raw(refusal))
        self.transport.close()

    # ---- asyncio and uvicorn

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._made = True
        self._head_since_s = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_lost(self)

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._head_since_s = None
        elif self._head_since_s is None:
            self._head_since_s = time.monotonic()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self.refuse(
            HttpRefusal(400, f"this is no HTTP/1.1 request, or its headers are over {MAX_HEAD >> 10} KiB")
        )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._paused_since_s = time.monotonic()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused_since_s = None
