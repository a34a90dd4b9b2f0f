"""Cameras over HTTP: motion JPEG, a still picture that is asked for again and again, and HLS.

Which of the three it is says the answer itself. What is fetched is fetched here (http_fetch.py) and not by
FFmpeg, which would resolve names, follow redirects and open what a playlist names by itself; FFmpeg is given
the bytes. Motion JPEG and stills have no times of their own: a picture's time is when it came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from streamer.errors import SourceDamaged, SourceEnded, SourceError, StreamNotFound
from streamer.logs import redact
from streamer.sources.base import Decoded, ReadOptions
from streamer.sources.hardware import accelerator
from streamer.sources.hls import PLAYLIST_TYPES, SEGMENT_S, Playlists, is_playlist
from streamer.sources.http_auth import Login
from streamer.sources.http_fetch import Body, Fetcher
from streamer.sources.jpeg_stream import JpegStream, multipart
from streamer.sources.live import LiveSource
from streamer.sources.opening import AFTER_S, DECODER_OPTIONS, OpenRequest
from streamer.sources.read_deadline import ReadDeadline
from streamer.sources.urls import sendable, split_credentials

STILL_EVERY_S = 1.0  # between two looks at a camera that sends single pictures
_MOTION_JPEG = ("multipart/x-mixed-replace", "multipart/mixed", "video/x-motion-jpeg", "video/x-mjpeg")
_STILL = ("image/jpeg", "image/jpg", "image/pjpeg")
_FEW_BYTES = 1 << 16  # read to find out what it is
_PAGE = ("text/html", "application/xhtml+xml")


def create(url: str, options: ReadOptions) -> HttpSource:
    return HttpSource(url, options)


class HttpSource(LiveSource):
    """One camera at an http:// or https:// address. An HLS recording (a playlist with an end) ends."""

    clock_source = "arrival"  # until a playlist's stream is open

    def __init__(self, url: str, options: ReadOptions) -> None:
        clean, user, password = split_credentials(url)
        self._url = sendable(clean)
        self._deadline = ReadDeadline()
        login = None if user is None and password is None else Login(user or "", password or "")
        self._fetcher = Fetcher(
            self._url,
            login,
            shown=redact(clean),
            limits=options.limits,
            ca=options.ca,
            deadline=self._deadline,
        )
        self._read_s = options.read_timeout_s + (SEGMENT_S if is_playlist(self._url) else 0.0)
        self._playlists: Playlists | None = None
        self._recording = False
        self._begun_ns = 0  # on the monotonic clock, when media time was 0
        request = OpenRequest(
            url=self._url,
            shown=redact(clean),
            format=None,
            read_timeout_s=self._read_s,
            opener=self._open_whatever,
            before_read=lambda: self._deadline.start(self._read_s),
        )
        super().__init__(request, options)

    def _open_whatever(self, request: OpenRequest) -> InputContainer:
        self._deadline.start(request.open_timeout_s)
        body = self._fetcher.get(self._url)
        kind = body.content_type
        if kind in _MOTION_JPEG:
            return self._open_pictures(JpegStream(body.read, self.shown).next, request, body.close)
        if kind in _STILL:
            stills = _Stills(self._fetcher, self._url, body, self._input.closed, self._deadline, self.shown)
            return self._open_pictures(stills.next, request, body.close)
        begin = _beginning(body)
        if kind in PLAYLIST_TYPES or begin.lstrip(b"\xef\xbb\xbf").startswith(b"#EXTM3U"):
            return self._open_playlist(body, begin, request)
        body.close()
        raise self._something_else(kind)

    def _something_else(self, kind: str) -> SourceError:
        if kind in _PAGE:
            return StreamNotFound(
                f"{self.shown}: is a web page, and not the camera's stream: give the stream's own address, "
                "such as …/mjpg/video.mjpg or …/live.m3u8; its manual says it"
            )
        return SourceDamaged(
            f"{self.shown}: sends {kind[:80] or 'what it does not name'}, which is neither motion JPEG, a "
            "JPEG picture nor HLS: a recording is downloaded first, and added as a file"
        )

    def _open_pictures(
        self, next_picture: Callable[[], bytes], request: OpenRequest, close: Callable[[], None]
    ) -> InputContainer:
        first = next_picture()  # what is wrong with it is said here, and not by FFmpeg
        if not first:
            close()
            raise SourceDamaged(f"{self.shown}: the camera ended the stream before its first picture")
        return _av_open(_Parts(first, next_picture, close), "mpjpeg", request, {})

    def _open_playlist(self, body: Body, begin: bytes, request: OpenRequest) -> InputContainer:
        self._playlists = Playlists(self._fetcher, body, begin, self.shown)
        self._read_s = self._options.read_timeout_s + SEGMENT_S
        container = _av_open(
            body.url, "hls", request, self._playlists.OPTIONS, self._playlists.open, self._read_s
        )
        self.clock_source = "pts"
        self._recording = bool(container.duration)  # only a playlist with an end has one
        return container

    # ---- pace

    def _decoded(self, frame: VideoFrame, now_ns: int) -> Decoded:
        decoded = super()._decoded(frame, now_ns)
        if self._playlists is not None and self._options.realtime:
            self._wait_until_due(decoded)
        return decoded

    def _wait_until_due(self, decoded: Decoded) -> None:
        """A segment comes all at once, and its pictures are given in their own time. A picture that comes
        late moves all that follow."""
        due_ns = self._begun_ns + decoded.media_ns
        wait_s = (due_ns - time.monotonic_ns()) / 1e9
        if not self._begun_ns or wait_s < 0:
            self._begun_ns = time.monotonic_ns() - decoded.media_ns
            return
        if self._input.closed.wait(wait_s):
            raise SourceError(f"{self.shown}: closed while it was in use")
        decoded.captured_ns, decoded.received_mono_ns = time.time_ns(), time.monotonic_ns()

    def rest(self, keys_every_s: float = 0.0) -> bool:
        return False if self._playlists is not None else super().rest(keys_every_s)

    def close(self) -> None:
        self._input.close()
        self._fetcher.close()

    def _ended(self, first: bool) -> SourceError:
        gone = self._playlists.told if self._playlists is not None else ""
        if self._recording and not first:
            return SourceEnded(f"{self.shown}: the recording ended after {self._input.frames} frames{gone}")
        error = super()._ended(first)
        return type(error)(f"{error}{gone}")


class _Parts:
    """Pictures as a file that FFmpeg reads: each as one part, and no byte of the next one with it."""

    def __init__(self, first: bytes, next_picture: Callable[[], bytes], close: Callable[[], None]) -> None:
        self._next, self.close = next_picture, close
        self._held = multipart(first)

    def read(self, size: int) -> bytes:
        if not self._held:
            picture = self._next()
            self._held = multipart(picture) if picture else b""
        part, self._held = self._held[:size], self._held[size:]
        return part


class _Stills:
    """Single pictures, one every STILL_EVERY_S."""

    def __init__(
        self,
        fetcher: Fetcher,
        url: str,
        first: Body,
        closed: threading.Event,
        deadline: ReadDeadline,
        shown: str,
    ) -> None:
        self._fetcher, self._url, self._shown = fetcher, url, shown
        self._first: Body | None = first
        self._closed, self._deadline = closed, deadline
        self._due_s = time.monotonic()

    def next(self) -> bytes:
        """The next one, when it is due. Raise SourceDamaged where it is none."""
        body, self._first = self._first, None
        if body is None:
            self._closed.wait(max(0.0, min(self._due_s - time.monotonic(), self._deadline.left_s())))
            body = self._fetcher.get(self._url)
        self._due_s = max(self._due_s + STILL_EVERY_S, time.monotonic())
        try:
            picture = JpegStream(body.read, self._shown).next()
        finally:
            body.close()
        if not picture:
            raise SourceDamaged(f"{self._shown}: the picture it sent is cut short: check the network")
        return picture


def _beginning(body: Body) -> bytes:
    begin = b""
    while len(begin) < len(b"\xef\xbb\xbf#EXTM3U") and (part := body.read(_FEW_BYTES)):
        begin += part
    return begin


def _av_open(
    file: Any,
    format_name: str,
    request: OpenRequest,
    options: dict[str, str],
    io_open: Callable[..., Any] | None = None,
    read_timeout_s: float = 0.0,
) -> InputContainer:
    opened: InputContainer = av.open(
        file,
        format=format_name,
        options={
            "protocol_whitelist": "http,https",
            "fpsprobesize": "0",  # else an open waits for 20 pictures
            **options,
            **DECODER_OPTIONS,
        },
        timeout=(request.open_timeout_s + AFTER_S, read_timeout_s or request.read_timeout_s),
        metadata_errors="replace",
        io_open=io_open,
        hwaccel=accelerator(request.decode),
    )
    return opened
