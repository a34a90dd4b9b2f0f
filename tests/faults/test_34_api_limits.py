"""Fault 34: a client that sends too much, too deep, too slowly or too often is told so, and costs nothing
that the others would miss. All against the real worker, whose memory is measured.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from streamer.api.http.connection import HEAD_TIMEOUT_S, MAX_HEAD
from streamer.api.http.events import MAX_STREAMS
from streamer.api.http.gate import BODY_TIMEOUT_S, MAX_BODY, MAX_LINGER, TOKEN_BURST
from streamer.api.http.server import MAX_CONNECTIONS
from tests.api_rig import ApiDaemon, answer, api_daemon, head, problem, stream_of
from tests.conftest import REPO
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
GIGABYTE = 1 << 30
MAX_GROWTH_MB = 40.0  # of memory, in any of these tests; what is held of 1 GB would be 25 times that
MAX_WORKER_MB = 160.0
SHORT_READ_S = 5.0  # in the place of READ_TIMEOUT_S, which is 30 s
# Imported by every Python as it starts. Who is slow since the machine is still asks more than once a second.
SHORTER = f"""
import sys
if any("api.worker" in word for word in sys.orig_argv):
    import streamer.api.http.connection, streamer.api.http.gate
    streamer.api.http.connection.READ_TIMEOUT_S = {SHORT_READ_S}
    streamer.api.http.gate.TOKEN_PER_S = 1.0
"""


@pytest.fixture(scope="module")
def daemon(moving_clip: Path) -> Iterator[ApiDaemon]:
    with api_daemon(moving_clip) as daemon:
        folder = daemon.config_dir.parent
        (folder / "sitecustomize.py").write_text(SHORTER)
        daemon.serve({"PYTHONPATH": f"{folder}:{REPO}"})
        with daemon.client("viewer") as client:  # what is loaded at the first request is loaded
            for path in ("/api/v1/cameras", "/api/v1/counts", "/api/v1/events", "/metrics", "/openapi.json"):
                assert client.get(path).status_code == 200
        yield daemon


@pytest.fixture(autouse=True)
def measured(daemon: ApiDaemon) -> Iterator[None]:
    """After each test the worker is the same one, has not grown, and serves; and frames went on."""
    pid, before_mb = daemon.worker("api")["pid"], daemon.memory_mb()
    frames = daemon.camera("a")["frames"]["inferred"]
    yield
    with daemon.client("viewer") as client:
        daemon.wait_for(lambda s: idle(s) < 5, 40, "the connections to be given back")
        assert client.get("/api/v1/cameras").status_code == 200
    assert daemon.worker("api")["pid"] == pid, "it died of it"
    assert daemon.memory_mb() - before_mb < MAX_GROWTH_MB
    assert daemon.memory_mb() < MAX_WORKER_MB
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > frames, 20, "frames meanwhile")


def idle(status: dict) -> int:  # type: ignore[type-arg]
    return next(w for w in status["workers"] if w["name"] == "api")["status"]["connections"]  # type: ignore[no-any-return]


def pour(connection: socket.socket, chunked: bool) -> int:
    """Send a gigabyte as long as it is taken; returns how much was."""
    piece = bytes(1 << 16)
    piece = f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece
    sent = 0
    connection.settimeout(patient(5))
    with suppress(OSError):  # closed, or no longer read: that is what is looked for
        while sent < GIGABYTE and not select.select([connection], [], [], 0)[0]:
            connection.sendall(piece)
            sent += len(piece)
    return sent


@pytest.mark.parametrize("token", ["operator", ""])
@pytest.mark.parametrize("how", ["content-length", "chunked"])
def test_a_body_of_a_gigabyte_is_refused_and_not_held(daemon: ApiDaemon, how: str, token: str) -> None:
    chunked = how == "chunked"
    length = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(GIGABYTE)}
    with daemon.connect() as connection:
        connection.sendall(head("POST", "/api/v1/cameras", daemon, token, **length))
        sent = pour(connection, chunked)
        status, body = answer(connection)
        assert status == (413 if token else 401)
        assert json.loads(body)["status"] == status
        assert sent < MAX_BODY + MAX_LINGER + (32 << 20), "it was read on"


def test_a_body_just_within_the_limit_is_read(daemon: ApiDaemon) -> None:
    """Else the tests above would pass where nothing is taken at all."""
    with daemon.client("operator") as client:
        for size, status, words in (
            (200_000, 422, "name"),
            (MAX_BODY - 100, 413, "may hold 256 KiB"),
        ):
            body = json.dumps({"camera": {"name": "x" * size, "url": "none://"}})
            response = client.post("/api/v1/cameras", content=body)
            assert response.status_code == status
            assert words in problem(response)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"camera":' + b"[" * 100_000,
        b'{"camera":' + b'{"a":' * 100_000,
        b'{"camera":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"camera":' + b"[" * 900 + b"]" * 900 + b"}",
        b"[" * 500_000 + b"]" * 500_000,
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"camera":' + b"9" * 5000 + b"}",
    ],
    ids=["lists", "objects", "40", "900", "closed", "none", "list", "null", "text", "bytes", "digits"],
)
def test_json_that_is_deep_or_none_is_refused(daemon: ApiDaemon, body: bytes) -> None:
    with daemon.client("operator") as client:
        for method, path in (("POST", "/api/v1/cameras"), ("PATCH", "/api/v1/cameras/a")):
            response = client.request(method, path, content=body)
            assert response.status_code in (400, 422), response.text
            problem(response)


def test_headers_that_are_too_long_or_none_are_refused(daemon: ApiDaemon) -> None:
    for raw in (
        head("GET", "/livez", daemon, x="y" * 2 * MAX_HEAD),
        head("GET", "/livez?" + "y" * 2 * MAX_HEAD, daemon),
        b"GET /" + b"x" * 2 * MAX_HEAD,
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    ):
        with daemon.connect() as connection:
            connection.sendall(raw)
            status, body = answer(connection)
            assert status in (400, 431)
            assert "headers" in json.loads(body)["detail"]


def test_a_token_that_asks_without_pause_is_told_to_wait_and_the_others_are_served(daemon: ApiDaemon) -> None:
    daemon.add_token("hasty", "viewer")
    with daemon.client("hasty") as client, daemon.client("viewer") as other:
        for _ in range(4 * TOKEN_BURST):
            response = client.get("/api/v1/nothing")
            if response.status_code == 429:
                break
            assert response.status_code == 404
        else:
            raise AssertionError(f"{4 * TOKEN_BURST} requests, and never told to wait")
        assert int(response.headers["retry-after"]) >= 1
        assert "one token" in problem(response)["detail"]
        assert client.get("/readyz").status_code == 200, "probes are always answered"
        assert other.get("/api/v1/cameras").status_code == 200


def test_slow_clients_are_told_so_and_let_go(daemon: ApiDaemon) -> None:
    """All at once, since each takes its limit: nothing sent, a header a second, and a body that never
    comes."""
    with ExitStack() as stack:
        silent, dribbling, bodiless, slow_body = (stack.enter_context(daemon.connect()) for _ in range(4))
        began_s = time.monotonic()
        dribbling.sendall(b"GET /livez HTTP/1.1\r\n")
        bodiless.sendall(head("POST", "/api/v1/cameras", daemon, "operator", content_length="100"))
        slow_body.sendall(head("POST", "/api/v1/cameras", daemon, "operator", content_length="100"))
        while not select.select([silent, dribbling], [], [], 1.0)[0]:
            for connection in (dribbling, slow_body):
                connection.sendall(b"x")
            assert time.monotonic() - began_s < patient(HEAD_TIMEOUT_S + 5)
        for connection in (silent, dribbling, bodiless, slow_body):
            status, body = answer(connection)
            assert status == 408
            assert "must come within" in json.loads(body)["detail"]
        assert time.monotonic() - began_s >= min(HEAD_TIMEOUT_S, BODY_TIMEOUT_S) - 1, "nobody was hurried"


def test_a_client_that_does_not_read_is_let_go(daemon: ApiDaemon) -> None:
    with daemon.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = head("GET", "/openapi.json", daemon, "viewer")
        with suppress(OSError):  # nor does it stop asking
            connection.settimeout(1.0)
            for _ in range(2000):
                connection.sendall(request)
        daemon.wait_for(lambda s: idle(s) >= 1, 10, "its place to be told")
        daemon.wait_for(lambda s: idle(s) == 0, SHORT_READ_S + 15, "its place to be given back")


def test_of_500_sockets_those_that_are_too_many_are_told_so(daemon: ApiDaemon) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(daemon.connect()) for _ in range(500)]
        told = [answer(c) for c in connections[-200:]]
        assert {status for status, _ in told} == {503}
        assert f"{MAX_CONNECTIONS} connections are open" in json.loads(told[0][1])["detail"]
        held = daemon.worker("api")["status"]
        assert held["connections"] <= MAX_CONNECTIONS
        taken = connections[0]  # who is in is served
        taken.sendall(head("GET", "/livez", daemon))
        assert answer(taken)[0] == 200
    daemon.wait_for(
        lambda s: next(w for w in s["workers"] if w["name"] == "api")["status"]["turned_away"] >= 200,
        10,
        "those turned away to be counted",
    )


def test_more_streams_than_are_served_are_told_so(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client, ExitStack() as stack:
        clients = [stack.enter_context(daemon.client("viewer")) for _ in range(MAX_STREAMS)]
        streams = [stack.enter_context(stream_of(each)) for each in clients]
        assert {stream.status_code for stream in streams} == {200}
        with stream_of(client) as refused:
            refused.read()
            assert refused.status_code == 503
            assert f"{MAX_STREAMS} streams" in problem(refused)["detail"]


def test_a_range_of_more_rows_than_are_sent_is_refused_before_they_are_held(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client:
        assert client.get("/api/v1/events?limit=1001").status_code == 422
        assert client.get("/api/v1/events?limit=1000").status_code == 200
        assert client.get(f"/api/v1/counts?since={'9' * 300}").status_code == 422
