"""`/` and `/page/…`: the page for people, whose files are in the package (streamer/api/page) and hold nothing
of what is watched. They are read once; a browser asks each time whether its copy is still good (ETag)."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import Request
from fastapi.responses import Response

from streamer.api.http.problems import HttpRefusal

INDEX = "index.html"
MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
MIN_GZIP = 1024  # bytes
# Scripts and styles come from here alone, and none stands in the document: what a camera's name or an event
# says cannot become one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "vary": "accept-encoding",
}


class PageFile(NamedTuple):
    """`packed`: with gzip; None where that saves nothing."""

    content: bytes
    packed: bytes | None
    media_type: str
    etag: str


async def index(request: Request) -> Response:
    """The page: sign in, and see cameras, counts and events."""
    return _answer(request, page_files()[INDEX])


async def file(request: Request, path: str) -> Response:
    """A file of the page."""
    found = page_files().get(path)
    if found is None or path == INDEX:
        raise HttpRefusal(404, f"the page has no file {path[:80]!r}")
    return _answer(request, found)


@cache
def page_files() -> dict[str, PageFile]:
    """All by their path below the folder."""
    return dict(_walk(resources.files("streamer.api") / "page", ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, PageFile]]:
    found = []
    for item in folder.iterdir():
        kind = MEDIA_TYPES.get(item.name.rpartition(".")[2])
        if item.is_dir():
            found += _walk(item, f"{prefix}{item.name}/")
        elif kind is not None:
            found.append((prefix + item.name, _read(item, kind)))
    return found


def _read(item: Traversable, kind: str) -> PageFile:
    content = item.read_bytes()
    packed = gzip.compress(content, mtime=0) if len(content) >= MIN_GZIP else None
    return PageFile(content, packed, kind, f'"{hashlib.sha256(content).hexdigest()[:20]}"')


def _answer(request: Request, found: PageFile) -> Response:
    headers = {**HEADERS, "etag": found.etag}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if found.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found.content, media_type=found.media_type, headers=headers)
    packed = {**headers, "content-encoding": "gzip"}
    return Response(found.packed, media_type=found.media_type, headers=packed)
