"""Downloads of weights over HTTP: resumable, bounded, checked, and whole or not there at all.

A later attempt asks only for what is missing of the part that is there (RFC 9110, Range and If-Range): a
server that has another file by now sends it whole, and the download begins anew. It takes its final name once
it is complete and its SHA-256 is the expected one. Only http and https are spoken; https is never left by a
redirect.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from streamer.errors import ModelError, StorageError
from streamer.logs import redact

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
        with exclusive(target):
            part = PartialFile.resume(target.with_name(target.name + ".part"), url)
            _fetch_all(part, limits, progress or _no_progress)
            digest = _digest(part.path)
            if sha256 is not None and digest != sha256.lower():
                size = part.size
                part.clear()
                raise ModelError(
                    f"{redact(url)}: the {size} bytes that came have SHA-256 {digest}, expected "
                    f"{sha256.lower()}: the file there is another one; nothing was kept"
                )
            part.move_to(target)
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


def _no_progress(received: int, total: int | None) -> None:
    del received, total


def _fetch_all(part: PartialFile, limits: Limits, progress: Progress) -> None:
    """Attempts until the file is whole; one that brought much costs none of them."""
    attempts, pause_s = limits.attempts, limits.pause_s
    while True:
        before = part.size
        try:
            _fetch_rest(part, limits, progress)
            return
        except _Interrupted as error:
            if part.size >= before + CHUNK_BYTES:
                attempts, pause_s = limits.attempts, limits.pause_s
            else:
                attempts -= 1
            if isinstance(error, _Unreachable):
                attempts = min(attempts, 1)
            if attempts <= 0:
                raise ModelError(_gave_up(part, error)) from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 30.0)


def _gave_up(part: PartialFile, error: _Interrupted) -> str:
    resumable = f"; {part.size} bytes are kept: the same command goes on from there" if part.size else ""
    return f"{redact(part.url)}: {error}{resumable}"


def _fetch_rest(part: PartialFile, limits: Limits, progress: Progress) -> None:
    """One request. Raises _Interrupted where another may do better, ModelError where none will."""
    received = part.size
    if part.total is not None and received == part.total:
        return
    try:
        with _request(part, received, limits) as response:
            received = _begin(part, response, received, limits)
            with part.path.open("ab") as file:
                _copy(response, file, part, limits, progress)
    except http.client.HTTPException as error:
        raise _Interrupted(f"no answer that is HTTP: {type(error).__name__}") from error
    except (
        TimeoutError,
        ConnectionError,
    ) as error:  # before the body: its own errors are seen where it is read
        raise _Interrupted(_reason(error)) from error
    if part.total is not None and part.size != part.total:
        raise _Interrupted(f"the connection was cut after {part.size} of {part.total} bytes")


def _request(part: PartialFile, received: int, limits: Limits) -> Any:
    request = urllib.request.Request(part.url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
    if received and part.validator:
        request.add_header("Range", f"bytes={received}-")
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
        reason = error.reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise ModelError(
                f"{redact(part.url)}: its certificate cannot be trusted ({reason.verify_message}): "
                "is the clock of this box right?"
            ) from error
        raise _Unreachable(_reason(reason) if isinstance(reason, BaseException) else str(reason)) from error


def _begin(part: PartialFile, response: Any, received: int, limits: Limits) -> int:
    """Read the headers: where the body belongs, and how much it will be. Returns the bytes received."""
    if response.status == 206:
        content_range = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if content_range is None or int(content_range[1]) != received:
            part.clear()
            raise _Interrupted("the server sent another part than was asked for")
        total = None if content_range[3] == "*" else int(content_range[3])
    else:
        part.clear()
        received = 0
        length = response.headers.get("Content-Length")
        total = int(length) if length is not None and length.isdecimal() else None
        etag = response.headers.get("ETag", "")
        # A weak ETag does not promise equal bytes, and If-Range does not take one.
        part.validator = (
            etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        )
    if total is not None and total > limits.max_bytes:
        part.clear()
        raise ModelError(_too_big(part.url, total, limits))
    part.total = total
    part.save_note()
    return received


def _copy(response: Any, file: IO[bytes], part: PartialFile, limits: Limits, progress: Progress) -> None:
    received = file.tell()
    mark_bytes, mark_s = received, time.monotonic()
    progress(received, part.total)
    while True:
        block = _read(response)
        if not block:
            return
        received += len(block)
        if received > limits.max_bytes:
            file.close()
            part.clear()
            raise ModelError(_too_big(part.url, None, limits))
        file.write(block)
        progress(received, part.total)
        now_s = time.monotonic()
        if now_s - mark_s >= limits.slow_s:
            if received - mark_bytes < limits.slow_bytes_per_s * (now_s - mark_s):
                raise _Interrupted(f"slower than {limits.slow_bytes_per_s:.0f} bytes a second")
            mark_bytes, mark_s = received, now_s


def _read(response: Any) -> bytes:
    """A block of the body; b"" at its end. What goes wrong here is the network's, not the disk's."""
    try:
        block: bytes = response.read1(CHUNK_BYTES)
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
        followed = super().redirect_request(req, fp, code, msg, headers, newurl)
        if followed is not None:
            for name, value in req.headers.items():
                if name.lower() in ("range", "if-range") and not followed.has_header(name):
                    followed.add_header(name, value)
        return followed


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- the part that is on disk


@dataclass(slots=True)
class PartialFile:
    """What has come so far: `NAME.part`, beside a note `NAME.json` of where it comes from, how long the whole
    is (`total`, bytes) and what the server called it (`validator`: its ETag or Last-Modified)."""

    path: Path
    url: str
    validator: str = ""
    total: int | None = None
    _note: Path = field(init=False)

    def __post_init__(self) -> None:
        self._note = self.path.with_suffix(".json")

    @classmethod
    def resume(cls, path: Path, url: str) -> PartialFile:
        """What an earlier attempt left of the same address; anything else is swept away."""
        part = cls(path, url)
        try:
            note = json.loads(part._note.read_text(encoding="utf-8"))
            if note["address"] == _url_digest(url) and path.is_file():
                part.validator, part.total = str(note["validator"]), note["total"]
                return part
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # no note that can be read: begin anew
        part.clear()
        return part

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def save_note(self) -> None:
        note = {"address": _url_digest(self.url), "validator": self.validator, "total": self.total}
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.validator, self.total = "", None

    def move_to(self, target: Path) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Two downloads into one file would mix their bytes: the second is refused."""
    with target.with_name(target.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"{target.name}: is being downloaded by another command: wait for it") from error
        yield


def _url_digest(url: str) -> str:
    """Stands for an address in a note on disk: the address itself may hold a token."""
    return hashlib.sha256(url.encode()).hexdigest()
