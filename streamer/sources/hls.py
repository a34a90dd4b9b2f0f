"""HLS (RFC 8216): what a playlist names is fetched as the playlist was, and by nothing else.

FFmpeg reads playlists and segments through `open`, which asks Fetcher: every address is judged, `file:`,
`crypto:`, `data:` and all other protocols are refused by name. A segment that is gone when it is asked for,
as happens at the edge of a live window, is left out and counted.
"""

from __future__ import annotations

import io
import re
from typing import ClassVar, Protocol
from urllib.parse import urlsplit

from streamer.errors import AuthFailed, SourceDamaged, SourceError, SourceRefused, SourceStalled
from streamer.logs import redact
from streamer.sources.http_fetch import Body, Fetcher

SEGMENT_S = 10.0  # how much longer than a picture a segment may be waited for
PLAYLIST_TYPES = (
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "application/mpegurl",
    "audio/mpegurl",
    "audio/x-mpegurl",
)
MAX_PLAYLIST_BYTES = 8 << 20
MAX_GONE = 50  # segments in a row
_ENCRYPTED = re.compile(rb"^#EXT-X-KEY:.*METHOD=(?!NONE)", re.MULTILINE)
_NAMES = re.compile(rb'(?:^\s*([^#\s][^\r\n]*))|(?:URI="([^"]*)")', re.MULTILINE)
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


def is_playlist(url: str) -> bool:
    """Whether its path says so; what it is says the answer."""
    return urlsplit(url).path.lower().endswith((".m3u8", ".m3u"))


class Playlists:
    """`begin` is what was read of `first`, the answer that turned out to be a playlist."""

    OPTIONS: ClassVar[dict[str, str]] = {
        "http_persistent": "0",  # FFmpeg's own connections would go past us
        "http_multiple": "0",
        "max_reload": "1000",  # our own deadline ends it
        "seg_max_retry": "0",
        "allowed_extensions": "ALL",  # of files, of which none is opened
    }

    def __init__(self, fetcher: Fetcher, first: Body, begin: bytes, shown: str) -> None:
        self._fetcher, self._shown = fetcher, shown
        self._first: tuple[Body, bytes] | None = (first, begin)
        self.gone = 0
        self._gone_in_a_row = 0

    @property
    def told(self) -> str:
        """What to add to a line; empty where nothing was left out."""
        return f"; {self.gone} of its segments were gone when they were asked for" if self.gone else ""

    def open(self, url: str, _flags: int, options: dict[str, str]) -> _Readable:
        """For FFmpeg, which takes any exception as the end. Raise SourceError for what is not opened."""
        _check_name(url, self._shown)
        if self._first is not None and url == self._first[0].url:
            (body, begin), self._first = self._first, None
            return self._playlist(body, begin)
        end = options.get("end_offset")
        try:
            body = self._fetcher.get(url, int(options.get("offset", 0)), None if end is None else int(end))
        except (AuthFailed, SourceStalled):
            raise
        except SourceError as error:
            return self._left_out(url, error)
        if is_playlist(url) or body.content_type in PLAYLIST_TYPES:
            return self._playlist(body, b"")
        self._gone_in_a_row = 0
        return body

    def _playlist(self, body: Body, text: bytes) -> _Readable:
        """All of it, once what it names is judged; it is small, and one without end would fill the memory."""
        while part := body.read():
            text += part
            if len(text) > MAX_PLAYLIST_BYTES:
                raise SourceDamaged(f"{self._shown}: the playlist does not end: check the address")
        body.close()
        if _ENCRYPTED.search(text):
            raise SourceDamaged(
                f"{self._shown}: the stream is encrypted by its playlist (EXT-X-KEY), which is not read: "
                "switch that off, and use https:// instead"
            )
        for name in _NAMES.finditer(text):
            _check_name((name[1] or name[2]).decode("latin-1"), self._shown)
        return io.BytesIO(text)

    def _left_out(self, url: str, error: SourceError) -> _Readable:
        if is_playlist(url) or not _is_gone(error):
            raise error
        self.gone += 1
        self._gone_in_a_row += 1
        if self._gone_in_a_row > MAX_GONE:
            raise SourceError(f"{self._shown}: {MAX_GONE} segments in a row are gone: is it still made?")
        return io.BytesIO()


def _check_name(name: str, shown: str) -> None:
    """Raise SourceError for what is neither relative nor HTTP."""
    scheme = _SCHEME.match(name)
    if scheme is None or scheme[1].lower() in ("http", "https"):
        return
    raise SourceRefused(
        f"{shown}: the playlist names {redact(name)[:200]!r}: only http and https are followed"
    )


def _is_gone(error: SourceError) -> bool:
    """Refusals by limits or certificates are none: these would be left out without a word."""
    return "(404)" in str(error) or "(410)" in str(error) or "(5" in str(error)
