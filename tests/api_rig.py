"""A daemon that serves HTTP on a port of the system's choice, with tokens of every role."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from streamer.api.callers import ROLES, Role
from streamer.api.tokens import TokenStore
from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient


class ApiDaemon(Daemon):
    """With the cameras a and b. `secrets` has a token of each role, and `b-viewer` … of those for b alone."""

    def __init__(self, base: Path, clip: Path, **settings: Any) -> None:
        cameras = [camera("a", clip, loop=True), camera("b", clip, loop=True)]
        ours = {"inference": {"engine": "motion"}, "sinks": [], "counts": {"bucket_s": 2}}
        super().__init__(base, cameras, **{**ours, "api": {"listen": "127.0.0.1:0"}, **settings})
        self.tokens = TokenStore(self.state_dir)
        self.secrets: dict[str, str] = {}

    def add_token(self, name: str, role: Role, cameras: tuple[str, ...] | None = None) -> str:
        secret = self.tokens.add(name, role, cameras)
        self.secrets[name] = secret
        return secret

    def serve(self, env: Mapping[str, str] | None = None) -> ApiDaemon:
        self.start(env=env)
        for role in ROLES:
            self.add_token(role, role)
            self.add_token(f"b-{role}", role, ("b",))
        self.wait_for_api()
        return self

    def wait_for_api(self, after_pid: int = 0) -> None:
        def listening(status: dict[str, Any]) -> bool:
            api = next(w for w in status["workers"] if w["name"] == "api")
            return api["pid"] not in (None, after_pid) and bool(api["status"].get("address"))

        self.wait_for(listening, 20, "HTTP")

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.worker("api")["status"]["address"].rpartition(":")
        return host, int(port)

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[token]}"}

    @contextlib.contextmanager
    def client(self, token: str = "") -> Iterator[httpx.Client]:
        headers = self.headers(token) if token else {}
        # Over plain HTTP nothing is verified; to load the authorities for it would take 25 ms each time.
        options = {"timeout": patient(30), "trust_env": False, "verify": False}
        with httpx.Client(base_url=self.url, headers=headers, **options) as client:
            yield client

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(self.address, patient(10))

    def memory_mb(self) -> float:
        return float(psutil.Process(self.worker("api")["pid"]).memory_info().rss / 1e6)


@contextlib.contextmanager
def api_daemon(clip: Path, **settings: Any) -> Iterator[ApiDaemon]:
    """One in a short folder of its own, not started yet: its files may be changed before serve()."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        daemon = ApiDaemon(Path(folder), clip, **settings)
        try:
            yield daemon
        finally:
            daemon.kill()


def head(method: str, path: str, daemon: ApiDaemon, token: str = "", **more: str) -> bytes:
    """A request's line and headers, as bytes."""
    headers = {"host": "{}:{}".format(*daemon.address), **more}
    if token:
        headers |= daemon.headers(token)
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the body of what comes until the peer ends the connection, or has sent what it said."""
    connection.settimeout(patient(20))
    raw = bytearray()
    with contextlib.suppress(ConnectionError):
        while not _whole(raw):
            chunk = connection.recv(65536)
            if not chunk:
                break
            raw += chunk
    first, _, rest = bytes(raw).partition(b"\r\n")
    assert first.startswith(b"HTTP/1.1 "), raw[:200]
    return int(first.split()[1]), rest.partition(b"\r\n\r\n")[2]


def _whole(raw: bytearray) -> bool:
    headers, blank, body = bytes(raw).lower().partition(b"\r\n\r\n")
    lengths = [int(x.split(b":")[1]) for x in headers.split(b"\r\n") if x.startswith(b"content-length:")]
    return bool(blank) and bool(lengths) and len(body) >= lengths[0]


def problem(response: httpx.Response) -> dict[str, Any]:
    """The problem details of a refusal, which must be such."""
    assert response.headers["content-type"] == "application/problem+json", response.text[:300]
    told: dict[str, Any] = response.json()
    assert told["status"] == response.status_code
    assert told["detail"]
    assert "\n" not in told["detail"]
    return told


def stream_of(client: httpx.Client, last_id: str = "", **params: str) -> Any:
    """An open stream of events, to be used with `with`."""
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
    return client.stream("GET", "/api/v1/events", headers=headers, params=params)


def events_of(response: httpx.Response, limit_s: float = 20) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(id, event, data) of what a stream sends, until the time is over, which fails."""
    deadline_s = time.monotonic() + patient(limit_s)
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        assert time.monotonic() < deadline_s, "no event came"
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        else:
            if "data" in fields:
                yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])
            fields = {}
