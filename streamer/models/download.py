"""Downloads of weights over HTTP: resumable, bounded, checked, and whole or not there at all.

A later attempt asks only for what is missing of the part that is there (partial_download.py; RFC 9110, Range
and If-Range): a server that has another file by now sends it whole, and the download begins anew. It takes
its final name once it is complete and its SHA-256 is the expected one. Only http and https are spoken; https
is never left by a redirect.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from streamer.errors import ModelError, StorageError
from streamer.logs import redact
from streamer.models.partial_download import Part, alone

MAX_BYTES = 1 << 31  # what an ONNX file may have
CHUNK_BYTES = 64 * 1024
ATTEMPTS = 5  # of one call; each goes on where the one before was cut
REDIRECTS = 5
_AGENT = "streamer-model-download/1"
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

Progress = Callable[[int, int | None], None]  # bytes there, bytes in all where the server says


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may take; times in seconds."""

    max_bytes: int = MAX_BYTES
    silence_s: float = 30.0  # without a byte
    slow_s: float = 60.0  # below `slow_bytes_per_s` for so long
    slow_bytes_per_s: float = 1024.0
    attempts: int = ATTEMPTS
    pause_s: float = 1.0  # before the second attempt; doubles


@dataclass(frozen=True, slots=True)
class Downloaded:
    path: Path
    sha256: str
    bytes: int


class _Interrupted(Exception):
    """Raised when a transfer stops half-way: worth another attempt."""


class _Unreachable(_Interrupted):
    """Raised when no server answered: one more attempt tells whether it was a hiccup."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Downloaded:
    """Fetch `url` to `target`, going on where an earlier call was cut. `sha256`: what the file must have.

    Raises ModelError for what the server or the address is to blame for; what has come so far is kept, unless
    it is the wrong file. Raises StorageError where the disk is to blame.
    """
    check_url(url)
    limits = limits or Limits()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target):
            part = Part.find(target.with_name(target.name + ".part"), url)
            _fetch_all(part, limits, progress or _unseen)
            digest = _digest(part.path)
            if sha256 is not None and digest != sha256.lower():
                size = part.size
                part.clear()
                raise ModelError(
                    f"{redact(url)}: the {size} bytes that came have SHA-256 {digest}, expected "
                    f"{sha256.lower()}: the file there is another one; nothing was kept"
                )
            part.become(target)
            return Downloaded(target, digest, target.stat().st_size)
    except OSError as error:
        raise StorageError(
            f"{error.filename or target.parent}: {error.strerror or error}: check free space and permissions"
        ) from error


def check_url(url: str) -> None:
    """Raise ModelError for an address that is none of http or https."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ModelError(f"{redact(url)}: not an address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ModelError(f"{redact(url)}: give https://HOST/PATH, http://HOST/PATH or a file")
    if parts.username is not None:
        raise ModelError(
            f"{redact(url)}: an address with a password is not supported: fetch the file by hand"
        )


def is_url(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def _unseen(there: int, total: int | None) -> None:
    del there, total


def _fetch_all(part: Part, limits: Limits, progress: Progress) -> None:
    """Attempts until the file is whole; one that brought much costs none of them."""
    left, pause_s = limits.attempts, limits.pause_s
    while True:
        before = part.size
        try:
            _fetch_rest(part, limits, progress)
            return
        except _Interrupted as error:
            if part.size >= before + CHUNK_BYTES:
                left, pause_s = limits.attempts, limits.pause_s
            else:
                left -= 1
            if isinstance(error, _Unreachable):
                left = min(left, 1)
            if left <= 0:
                raise ModelError(_gave_up(part, error)) from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 30.0)


def _gave_up(part: Part, error: _Interrupted) -> str:
    kept = f"; {part.size} bytes are kept: the same command goes on from there" if part.size else ""
    return f"{redact(part.url)}: {error}{kept}"


def _fetch_rest(part: Part, limits: Limits, progress: Progress) -> None:
    """One request. Raises _Interrupted where another may do better, ModelError where none will."""
    there = part.size
    if part.total is not None and there == part.total:
        return
    try:
        with _request(part, there, limits) as answer:
            there = _begin(part, answer, there, limits)
            with part.path.open("ab") as file:
                _copy(answer, file, part, limits, progress)
    except http.client.HTTPException as error:
        raise _Interrupted(f"no answer that is HTTP: {type(error).__name__}") from error
    except (
        TimeoutError,
        ConnectionError,
    ) as error:  # before the body: its own errors are seen where it is read
        raise _Interrupted(_reason(error)) from error
    if part.total is not None and part.size != part.total:
        raise _Interrupted(f"the connection was cut after {part.size} of {part.total} bytes")


def _request(part: Part, there: int, limits: Limits) -> Any:
    request = urllib.request.Request(part.url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
    if there and part.validator:
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", part.validator)
    try:
        return urllib.request.build_opener(_Redirects()).open(request, timeout=limits.silence_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # Range Not Satisfiable: what is there is not a part of it
                part.clear()
                raise _Interrupted("what was there is no part of the file") from error
            if error.code in (408, 425, 429, 500, 502, 503, 504):
                raise _Interrupted(f"the server answers {error.code} {error.reason}") from error
            raise ModelError(
                f"{redact(part.url)}: the server answers {error.code} {error.reason}: is the address right?"
            ) from error
    except urllib.error.URLError as error:
        cause = error.reason
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ModelError(
                f"{redact(part.url)}: its certificate cannot be trusted ({cause.verify_message}): "
                "is the clock of this box right?"
            ) from error
        raise _Unreachable(_reason(cause) if isinstance(cause, BaseException) else str(cause)) from error


def _begin(part: Part, answer: Any, there: int, limits: Limits) -> int:
    """Read the headers: where the body belongs, and how much it will be. Returns how much is there."""
    if answer.status == 206:
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != there:
            part.clear()
            raise _Interrupted("the server sent another part than was asked for")
        total = None if found[3] == "*" else int(found[3])
    else:
        part.clear()
        there = 0
        length = answer.headers.get("Content-Length")
        total = int(length) if length is not None and length.isdecimal() else None
        etag = answer.headers.get("ETag", "")
        # A weak ETag does not promise equal bytes, and If-Range does not take one.
        part.validator = (
            etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
        )
    if total is not None and total > limits.max_bytes:
        part.clear()
        raise ModelError(_too_big(part.url, total, limits))
    part.total = total
    part.note()
    return there


def _copy(answer: Any, file: IO[bytes], part: Part, limits: Limits, progress: Progress) -> None:
    there = file.tell()
    mark_bytes, mark_s = there, time.monotonic()
    progress(there, part.total)
    while True:
        block = _read(answer)
        if not block:
            return
        there += len(block)
        if there > limits.max_bytes:
            file.close()
            part.clear()
            raise ModelError(_too_big(part.url, None, limits))
        file.write(block)
        progress(there, part.total)
        now_s = time.monotonic()
        if now_s - mark_s >= limits.slow_s:
            if there - mark_bytes < limits.slow_bytes_per_s * (now_s - mark_s):
                raise _Interrupted(f"slower than {limits.slow_bytes_per_s:.0f} bytes a second")
            mark_bytes, mark_s = there, now_s


def _read(answer: Any) -> bytes:
    """A block of the body; b"" at its end. What goes wrong here is the network's, not the disk's."""
    try:
        block: bytes = answer.read1(CHUNK_BYTES)
    except http.client.IncompleteRead as error:
        raise _Interrupted("the connection was cut") from error
    except OSError as error:
        raise _Interrupted(_reason(error)) from error
    return block


def _too_big(url: str, total: int | None, limits: Limits) -> str:
    size = f"{total} bytes" if total is not None else f"more than {limits.max_bytes} bytes"
    return f"{redact(url)}: {size}, where a model has at most {limits.max_bytes}: not a model?"


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl)
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise ModelError(f"{redact(req.full_url)}: leads away from https: refused")
        fresh = super().redirect_request(req, fp, code, msg, headers, newurl)
        if fresh is not None:
            for name, value in req.headers.items():
                if name.lower() in ("range", "if-range") and not fresh.has_header(name):
                    fresh.add_header(name, value)
        return fresh


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
