"""An HTTP server on the loopback that serves one file, and misbehaves as it is told to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What is served next; `seen` are the Range headers of the requests so far ("" without one)."""

    body: bytes
    etag: str = '"one"'
    cut_after: list[int] = field(default_factory=list)  # bytes of the body; one entry a request, then whole
    statuses: list[int] = field(default_factory=list)  # answered instead, one a request
    redirects: dict[str, str] = field(default_factory=dict)
    says_length: bool = True
    says_total: int | None = None  # a Content-Length that is not the body's
    takes_ranges: bool = True
    wrong_range: bool = False
    trickle_s: float = 0.0  # between blocks of 100 bytes
    silent: bool = False
    seen: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/weights.onnx") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a test says what it asked for."""

        def do_GET(self) -> None:
            answer(self, served)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, served: Served) -> None:
    wanted = request.headers.get("Range", "")
    served.seen.append(wanted)
    if request.path in served.redirects:
        request.send_response(302)
        request.send_header("Location", served.redirects[request.path])
        request.end_headers()
        return
    if served.statuses:
        request.send_error(served.statuses.pop(0))
        return
    start = 0
    found = re.fullmatch(r"bytes=(\d+)-", wanted)
    if found and served.takes_ranges and request.headers.get("If-Range") == served.etag:
        start = int(found[1])
        if start >= len(served.body):
            request.send_error(416)
            return
        request.send_response(206)
        first = start + 1 if served.wrong_range else start
        request.send_header("Content-Range", f"bytes {first}-{len(served.body) - 1}/{len(served.body)}")
    else:
        request.send_response(200)
    if served.etag:
        request.send_header("ETag", served.etag)
    if served.says_length:
        request.send_header("Content-Length", str(served.says_total or len(served.body) - start))
    request.end_headers()
    send(request, served, served.body[start:])


def send(request: BaseHTTPRequestHandler, served: Served, body: bytes) -> None:
    if served.silent:
        time.sleep(2)
        return
    if served.cut_after:
        body = body[: served.cut_after.pop(0)]
    try:
        if not served.trickle_s:
            request.wfile.write(body)
            return
        for at in range(0, len(body), 100):
            request.wfile.write(body[at : at + 100])
            time.sleep(served.trickle_s)
    except ConnectionError:
        pass  # the client has had enough, as it should
