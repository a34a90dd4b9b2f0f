"""HLS (RFC 8216): what a playlist names is fetched as the playlist was, and by nothing else.

FFmpeg reads playlists and segments through `open`, which asks Fetcher: every address is judged, `file:`,
`crypto:`, `data:` and all other protocols are refused by name. A segment that is gone when it is asked for,
as happens at the edge of a live window, is left out and counted.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import ClassVar, Protocol
from urllib.parse import urlsplit

from streamer.errors import AuthFailed, SourceDamaged, SourceError, SourceStalled
from streamer.logs import redact
from streamer.sources.http_fetch import Body, Fetcher
from streamer.sources.urls import check_source_url, scheme_of, split_credentials

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
_ENCRYPTED = ("crypto", "crypto+http", "crypto+https", "data")


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
        self._check(url)
        if self._first is not None and url == self._first[0].url:
            (body, begin), self._first = self._first, None
            return _Bounded(body.read, body.close, begin, self._shown)
        end = options.get("end_offset")
        try:
            body = self._fetcher.get(url, int(options.get("offset", 0)), None if end is None else int(end))
        except (AuthFailed, SourceStalled):
            raise
        except SourceError as error:
            return self._left_out(url, error)
        self._gone_in_a_row = 0 if not is_playlist(url) else self._gone_in_a_row
        if is_playlist(url):
            return _Bounded(body.read, body.close, b"", self._shown)
        return body

    def _left_out(self, url: str, error: SourceError) -> _Readable:
        if is_playlist(url) or not _is_gone(error):
            raise error
        self.gone += 1
        self._gone_in_a_row += 1
        if self._gone_in_a_row > MAX_GONE:
            raise SourceError(f"{self._shown}: {MAX_GONE} segments in a row are gone: is it still made?")
        return io.BytesIO()

    def _check(self, url: str) -> None:
        scheme = scheme_of(url)
        if scheme in ("http", "https"):
            check_source_url(split_credentials(url)[0])
            return
        named = redact(url)[:200]
        if scheme in _ENCRYPTED:
            raise SourceDamaged(
                f"{self._shown}: the stream is encrypted ({scheme}), which is not read here: switch its "
                "encryption off, and use https:// instead"
            )
        raise SourceError(f"{self._shown}: the playlist names {named!r}: only http and https are followed")


class _Bounded:
    """A playlist is small: one without end would fill the memory."""

    def __init__(
        self, read: Callable[[int], bytes], close: Callable[[], None], begin: bytes, shown: str
    ) -> None:
        self._read, self.close, self._begin, self._shown = read, close, begin, shown
        self._left = MAX_PLAYLIST_BYTES

    def read(self, size: int) -> bytes:
        part, self._begin = self._begin[:size], self._begin[size:]
        part = part or self._read(size)
        self._left -= len(part)
        if self._left < 0:
            raise SourceDamaged(f"{self._shown}: the playlist does not end: check the address")
        return part


def _is_gone(error: SourceError) -> bool:
    """Refusals by limits or certificates are none: these would be left out without a word."""
    return "(404)" in str(error) or "(410)" in str(error) or "(5" in str(error)
