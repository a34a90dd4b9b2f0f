"""`/` and `/page/…`: the page for people, whose files are in the package (streamer/api/page) and hold nothing
of what is watched. They are read once.

A browser asks each time whether its copy of the document is still good (ETag). What that needs stands in it
with the page's version in the address, /page/v-VERSION/…, to be kept without asking, and all modules at once:
not those that app.js imports when it has come, and then those that these import.
"""

from __future__ import annotations

import gzip
import hashlib
import re
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


KEPT = "public, max-age=31536000, immutable"  # of an address with the version in it
_VERSIONED = re.compile(r"v-(?P<version>[0-9a-f]{16})/(?P<name>.+)")
_IMPORTED = re.compile(rb'^import [^;]*?"/page/([^"]+)"', re.MULTILINE)


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
    versioned, name = _VERSIONED.fullmatch(path), path
    if versioned:
        name = versioned["name"]
    found = page_files().get(name)
    if found is None or name == INDEX:
        raise HttpRefusal(404, f"the page has no file {path[:80]!r}")
    kept = versioned is not None and versioned["version"] == version()
    return _answer(request, found, KEPT if kept else HEADERS["cache-control"])


@cache
def page_files() -> dict[str, PageFile]:
    """All by their path below the folder, with the version in the addresses that they name."""
    every = {name: _with_version(name, content) for name, content in _contents().items()}
    every[INDEX] = every[INDEX].replace(b"  </head>", _preloads() + b"  </head>")
    return {name: _page_file(name, content) for name, content in every.items()}


@cache
def version() -> str:
    """Of all files together."""
    whole = hashlib.sha256()
    for name, content in sorted(_contents().items()):
        whole.update(name.encode() + b"\0" + content)
    return whole.hexdigest()[:16]


@cache
def _contents() -> dict[str, bytes]:
    return dict(_walk(resources.files("streamer.api") / "page", ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _walk(item, f"{prefix}{item.name}/")
        elif item.name.rpartition(".")[2] in MEDIA_TYPES:
            found.append((prefix + item.name, item.read_bytes()))
    return found


def _with_version(name: str, content: bytes) -> bytes:
    if name.startswith("vendor/") or not name.endswith((".js", ".html")):
        return content
    return content.replace(b'"/page/', f'"/page/v-{version()}/'.encode())


def _preloads() -> bytes:
    """A link for each module that app.js imports, or one of those."""
    found: dict[str, None] = {}
    wanted = ["app.js"]
    while wanted:
        name = wanted.pop(0)
        if name not in found:
            found[name] = None
            wanted += [told.decode() for told in _IMPORTED.findall(_contents()[name])]
    addresses = [f"/page/v-{version()}/{name}" for name in found]
    links = [f'<link rel="modulepreload" href="{one}">' for one in addresses]
    links.append(f'<link rel="preload" as="fetch" crossorigin href="/page/v-{version()}/texts.json">')
    return "".join(f"    {link}\n" for link in links).encode()


def _page_file(name: str, content: bytes) -> PageFile:
    kind = MEDIA_TYPES[name.rpartition(".")[2]]
    packed = gzip.compress(content, mtime=0) if len(content) >= MIN_GZIP else None
    return PageFile(content, packed, kind, f'"{hashlib.sha256(content).hexdigest()[:20]}"')


def _answer(request: Request, found: PageFile, kept: str = HEADERS["cache-control"]) -> Response:
    headers = {**HEADERS, "cache-control": kept, "etag": found.etag}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if found.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found.content, media_type=found.media_type, headers=headers)
    packed = {**headers, "content-encoding": "gzip"}
    return Response(found.packed, media_type=found.media_type, headers=packed)
