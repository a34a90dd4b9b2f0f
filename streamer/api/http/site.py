"""What the routes know of the daemon: its configuration as it was last told, its status, and how to ask
it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from streamer.api import control_socket
from streamer.api.http.problems import HttpRefusal
from streamer.api.sessions import Session, SessionStore
from streamer.api.sign_in_links import LinkStore
from streamer.api.tokens import Token, TokenStore
from streamer.config.schema import Config
from streamer.errors import StreamerError

FRAME = 1024  # bytes of a request on the socket beside its arguments
STATUS_FOR_S = 1.0  # a status is as good as new for so long, whoever asks how often
STATUS_TIMEOUT_S = 3.0
NEWS_TIMEOUT_S = 3.0  # for a change to come back as the configuration in force


class Site:
    """One daemon. `tokens` are its own; `stopping` is set when answers without end must come to one."""

    def __init__(self, state_dir: Path, control_path: Path) -> None:
        self.tokens = TokenStore(state_dir)
        self.sessions, self.links = SessionStore(state_dir), LinkStore(state_dir)
        self.stopping = threading.Event()
        self.config, self.node, self.ledger_path = Config(), "", Path()
        self.hosts: frozenset[str] = frozenset()
        self._control_path = control_path
        self._rev = -1
        self._news = threading.Condition()
        self._asking = threading.Lock()
        self._status: tuple[float, dict[str, Any] | StreamerError] | None = None

    def assign(self, config: Config, rev: int, node: str, ledger_path: Path) -> None:
        """The configuration that is in force from now on."""
        with self._news:
            self.config, self.node, self.ledger_path, self._rev = config, node, ledger_path, rev
            self.hosts = config.api.allowed_hosts
            self._news.notify_all()

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.config.timezone)

    @property
    def secure(self) -> bool:
        """Whether a browser comes by TLS, here or at a proxy before us."""
        return self.config.api.tls_cert is not None or self.config.api.behind_proxy

    @property
    def cookie(self) -> str:
        """The session's cookie. Boxes behind one name have one each, since ports do not tell cookies apart;
        the prefix makes a browser refuse one that was not set over TLS by this very host.
        """
        return f"{'__Host-' if self.secure else ''}streamer-{self.node[:8]}"

    def admits(self, token: Token, session: Session | None) -> bool:
        """Whether who came with these may still see what they saw. Raise StorageError."""
        return token in self.tokens.tokens() and (session is None or self.sessions.holds(session))

    def seen_by(self, token: Token) -> frozenset[str] | None:
        """The cameras that a token is for; None: all."""
        return None if token.cameras is None else frozenset(token.cameras)

    def ask(self, token: Token, op: str, args: Mapping[str, Any], timeout_s: float = 10.0) -> dict[str, Any]:
        """What the daemon answers, to who has the token's role. Raise RunningError, ControlError, and
        HttpRefusal for more than it takes.
        """
        self.check_size(args)
        behalf = (token.role, f"token {token.name}")
        return control_socket.call(self._control_path, op, args, timeout_s, behalf)

    def check_size(self, args: Mapping[str, Any]) -> None:
        """Raise HttpRefusal for more than the daemon takes."""
        if len(json.dumps(args)) > control_socket.MAX_REQUEST - FRAME:
            raise HttpRefusal(413, f"a change may hold {control_socket.MAX_REQUEST >> 10} KiB")

    def change(self, token: Token, change: Mapping[str, Any]) -> int:
        """Have a change applied; returns its revision once it is what the routes show. Raise as ask()."""
        rev = int(self.ask(token, "change", change)["config_rev"])
        with self._asking:
            self._status = None  # it is of before
        with self._news:
            self._news.wait_for(lambda: self._rev >= rev, NEWS_TIMEOUT_S)
        return rev

    def status(self) -> dict[str, Any]:
        """The daemon's status, asked for at most once a second. Raise RunningError, ControlError."""
        with self._asking:
            if self._status is None or time.monotonic() - self._status[0] > STATUS_FOR_S:
                self._status = time.monotonic(), self._ask_status()
            found = self._status[1]
        if isinstance(found, StreamerError):
            raise found
        return found

    def _ask_status(self) -> dict[str, Any] | StreamerError:
        try:
            return control_socket.call(
                self._control_path, "status", {}, STATUS_TIMEOUT_S, ("viewer", "the API")
            )
        except StreamerError as error:
            return error
