"""Refusals as problem details (RFC 9457): our errors with their own text, and the status that fits the
class."""

from __future__ import annotations

import json
from http import HTTPStatus

from streamer.errors import Exit, NoAnswer, StreamerError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
STATUS_OF = {
    Exit.CONFIG: 422,
    Exit.MODEL: 422,
    Exit.SOURCE: 502,
    Exit.STORAGE: 503,
    Exit.REDIS: 503,
    Exit.RUNNING: 503,
    Exit.CAPACITY: 503,
    Exit.CONTROL: 409,
}


class HttpRefusal(StreamerError):
    """Raised for a request that is not served; `status` is HTTP's, `retry_after_s` when to come again."""

    def __init__(self, status: int, text: str, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = RETRY_AFTER_S if status == 503 and retry_after_s is None else retry_after_s


def status_of(error: StreamerError) -> int:
    """By what it says itself, else by its class, which over the control socket is its exit code."""
    if isinstance(error, HttpRefusal):
        return error.status
    return 504 if isinstance(error, NoAnswer) else STATUS_OF.get(error.exit_code, 500)


def code_of(error: StreamerError) -> str:
    """The name of the exit code that the command line ends in for the same; of what only HTTP refuses, the
    name of its status (NOT_FOUND)."""
    return HTTPStatus(error.status).name if isinstance(error, HttpRefusal) else error.exit_code.name


def document(error: StreamerError) -> bytes:
    """The problem as JSON; `code` is a word for programs: code_of()."""
    status = status_of(error)
    fields = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "code": code_of(error),
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def headers(error: StreamerError, body: bytes) -> list[tuple[bytes, bytes]]:
    """Those of the answer, for ASGI."""
    found = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    found.append((b"cache-control", b"no-store"))
    if status_of(error) == 401:
        found.append((b"www-authenticate", b'Bearer realm="streamer"'))
    again_s = error.retry_after_s if isinstance(error, HttpRefusal) else RETRY_AFTER_S
    if status_of(error) in (429, 503) and again_s is not None:
        found.append((b"retry-after", str(again_s).encode()))
    return found


def raw(error: StreamerError) -> bytes:
    """A whole answer that ends its connection, for where no request could be read."""
    body, status = document(error), HTTPStatus(status_of(error))
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"connection: close"]
    lines += [name + b": " + value for name, value in headers(error, body)]
    return b"\r\n".join([*lines, b"", body])
