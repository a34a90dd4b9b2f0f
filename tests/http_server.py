"""HTTP cameras for tests, on loopback: what each path answers is the test's own, over TLS by choice."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

from tests.clips import numbered_picture

Answer = Callable[["Request"], None]
REALM, NONCE = "camera", "0a4f113b"


class Request(BaseHTTPRequestHandler):
    """One request. `ending` is set when the server stops: what waits, waits for it."""

    protocol_version = "HTTP/1.1"
    server: HttpServer

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append((self.path, dict(self.headers.items())))
        answer = self.server.answers.get(self.path.partition("?")[0])
        try:
            if answer is None:
                self.plain(404)
            else:
                answer(self)
        except OSError:
            return  # the other side has had enough, which is what some tests are about

    @property
    def ending(self) -> threading.Event:
        return self.server.ending

    def plain(self, status: int, body: bytes = b"", content_type: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A test's output is its own."""


class HttpServer(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, answers: Mapping[str, Answer], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers, self.ending = dict(answers), threading.Event()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.scheme = "https" if tls else "http"
        self._tls = tls

    def finish_request(self, request: object, client_address: object) -> None:
        try:  # in the connection's own thread: a handshake may take its time
            if self._tls is None:
                super().finish_request(request, client_address)  # type: ignore[arg-type]
                return
            with self._tls.wrap_socket(request, server_side=True) as wrapped:  # type: ignore[arg-type]
                super().finish_request(wrapped, client_address)  # type: ignore[arg-type]
        except OSError:
            return

    def url(self, path: str, userinfo: str = "") -> str:
        return f"{self.scheme}://{userinfo + '@' if userinfo else ''}127.0.0.1:{self.server_port}{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@contextmanager
def http_server(answers: Mapping[str, Answer], tls: tuple[Path, Path] | None = None) -> Iterator[HttpServer]:
    """`tls`: certificate and key."""
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    server = HttpServer(answers, context)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


# ---- what cameras answer


def jpeg(number: int, width: int = 320, height: int = 180) -> bytes:
    _, raw = cv2.imencode(".jpg", numbered_picture(number, width, height))
    return raw.tobytes()


def motion_jpeg(
    pictures: int = 10_000,
    *,
    every_s: float = 0.02,
    stated: str = "picture",
    sent: str = "picture",
    lengths: bool = True,
    chunked: bool = False,
    draw: Callable[[int], bytes] = jpeg,
) -> Answer:
    """Numbered pictures, `sent` between them while the header says `stated`."""

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={stated}")
        if chunked:
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for number in range(pictures):
            body = draw(number)
            length = f"Content-Length: {len(body)}\r\n" if lengths else ""
            part = f"--{sent}\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + body + b"\r\n"
            request.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            if request.ending.wait(every_s):
                return
        if chunked:
            request.wfile.write(b"0\r\n\r\n")

    return answer


def basic(user: str, password: str, behind: Answer) -> Answer:
    right = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(request: Request) -> None:
        if request.headers.get("Authorization") == right:
            behind(request)
        else:
            request.plain(401, WWW_Authenticate=f'Basic realm="{REALM}"')

    return answer


def digest(user: str, password: str, behind: Answer, algorithm: str = "MD5") -> Answer:
    """RFC 7616 with qop=auth, beside an offer of Basic that a client must not take."""
    name = {"MD5": "md5", "SHA-256": "sha256"}[algorithm.removesuffix("-sess")]

    def hashed(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode()).hexdigest()

    def is_right(request: Request) -> bool:
        header = request.headers.get("Authorization", "")
        said = {m[1]: m[2].strip('"') for m in re.finditer(r'(\w+)=("[^"]*"|[^\s,]+)', header)}
        if not header.startswith("Digest ") or said.get("nonce") != NONCE:
            return False
        secret = hashed(user, REALM, password)
        if algorithm.endswith("-sess"):
            secret = hashed(secret, NONCE, said["cnonce"])
        last = hashed("GET", request.path)
        right = hashed(secret, NONCE, said["nc"], said["cnonce"], "auth", last)
        return said["uri"] == request.path and said["response"] == right

    def answer(request: Request) -> None:
        if is_right(request):
            behind(request)
            return
        request.send_response(401)
        request.send_header("WWW-Authenticate", f'Basic realm="{REALM}"')
        offer = f'Digest realm="{REALM}", qop="auth", nonce="{NONCE}", algorithm={algorithm}'
        request.send_header("WWW-Authenticate", offer)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer
