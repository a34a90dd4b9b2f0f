"""Just enough of an RTSP server, in a thread, to answer as cameras do that no server at hand imitates."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
)


class FakeCamera:
    """Answers every DESCRIBE with 401 and the headers `asks`, if any; else plays, and sends no packet.

    `requests` holds what was asked, a list of lines each. `transports` are those that a SETUP may have. After
    `answers` answers to DESCRIBE it falls silent. With `redirects_to` every request of the kind `redirects`
    is answered with that and `status`. `raw` holds whole answers by kind of request, `transport_more` what is
    said of a transport. `connected` counts who came.
    """

    def __init__(
        self,
        *,
        asks: Sequence[str] | None = None,
        transports: Sequence[str] = ("tcp",),
        answers: int = 1000,
        redirects_to: str | None = None,
        redirects: str = "DESCRIBE",
        status: str = "302 Moved Temporarily",
        raw: Mapping[str, bytes] | None = None,
        transport_more: str = ";server_port=60000-60001",
        host: str = "127.0.0.1",
    ) -> None:
        self._redirects_to, self._redirects, self._status = redirects_to, redirects, status
        self._raw = raw or {}
        self._transport_more = transport_more
        self.connected = 0
        self._host = host
        self._asks = asks
        self._transports = transports
        self._answers = answers
        self._listener = socket.create_server((host, 0))
        self._connections: list[socket.socket] = []
        self.requests: list[list[str]] = []
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/live", userinfo: str = "") -> str:
        return f"rtsp://{userinfo + '@' if userinfo else ''}{self._host}:{self.port}{path}"

    def asked(self, method: str) -> list[list[str]]:
        return [request for request in self.requests if request[0].startswith(method + " ")]

    def __enter__(self) -> FakeCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connected += 1
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        held = b""
        try:
            while True:
                while b"\r\n\r\n" not in held:
                    part = connection.recv(4096)
                    if not part:
                        return
                    held += part
                head, _, held = held.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                self.requests.append(lines)
                connection.sendall(self._answer(lines))
        except OSError:
            return

    def _answer(self, lines: list[str]) -> bytes:
        method = lines[0].partition(" ")[0]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(self.asked("DESCRIBE")) > self._answers:
            return b""
        if method in self._raw:
            return self._raw[method]
        status, more, body = "200 OK", [], ""
        if method == self._redirects and self._redirects_to is not None:
            status, more = self._status, [f"Location: {self._redirects_to}"]
        elif method == "DESCRIBE" and self._asks is not None:
            status, more = "401 Unauthorized", [f"WWW-Authenticate: {each}" for each in self._asks]
        elif method == "DESCRIBE":
            more, body = ["Content-Type: application/sdp", f"Content-Length: {len(_SDP)}"], _SDP
        elif method == "SETUP":
            wanted = fields["transport"]
            if ("tcp" if "interleaved" in wanted else "udp") in self._transports:
                more = ["Session: 1", f"Transport: {wanted}{self._transport_more}"]
            else:
                status = "461 Unsupported Transport"
        head = [f"RTSP/1.0 {status}", f"CSeq: {fields['cseq']}", *more, "", ""]
        return "\r\n".join(head).encode() + body.encode()
