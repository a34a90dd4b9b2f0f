"""From FFmpeg's errors to ours: one clear line, never FFmpeg's own text, which holds the URL as given."""

from __future__ import annotations

import errno

import av

from streamer.errors import (
    AuthFailed,
    PortClosed,
    SourceDamaged,
    SourceError,
    SourceStalled,
    StreamNotFound,
)
from streamer.sources.read_deadline import rounded

_NOT_A_VIDEO = "not a video, or damaged at its start: check that it plays elsewhere"
_NO_STREAM = "what it sends is no video stream: check address and path, and that it plays elsewhere"

_NO_MEMORY = "not enough memory to open it: where memory is free, its header states too large a size"
_NO_DESCRIPTOR = (
    "this process has no file descriptor left for it: raise LimitNOFILE of the service, or `ulimit -n`"
)
_NOT_READ = "cut short or damaged ({reason}): copy it again, and check that it plays elsewhere"


def explain(error: Exception, shown: str, timeout_s: float) -> SourceError:
    """The SourceError that a PyAV error `error` of the source called `shown` means."""
    for kinds, make, text in _MEANINGS:
        if isinstance(error, kinds):
            if text is _NOT_A_VIDEO and "://" in shown:
                text = _NO_STREAM
            return make(f"{shown}: {text.format(timeout=rounded(timeout_s))}")
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        return SourceError(f"{shown}: {_NO_DESCRIPTOR}")
    reason = getattr(error, "strerror", None) or type(error).__name__
    if "://" not in shown:
        return SourceDamaged(f"{shown}: {_NOT_READ.format(reason=reason)}")
    return SourceError(f"{shown}: {reason}")


_e = av.error
_MEANINGS: list[tuple[type[Exception] | tuple[type[Exception], ...], type[SourceError], str]] = [
    (_e.HTTPUnauthorizedError, AuthFailed, "the camera refuses user name or password (401): check them"),
    (_e.HTTPForbiddenError, AuthFailed, "the camera forbids this user the stream (403): check its rights"),
    (
        _e.HTTPNotFoundError,
        StreamNotFound,
        "the camera has no stream at this path (404): `streamer camera test` lists common paths",
    ),
    (
        _e.HTTPClientError,
        StreamNotFound,
        "the camera refuses the stream: there may be no video at this path, or too many viewers",
    ),
    (_e.HTTPServerError, SourceError, "the camera reports an error of its own (5xx): restart it if it stays"),
    (
        (_e.ExitError, TimeoutError),
        SourceStalled,
        "nothing came within {timeout}: check that it is switched on and reachable",
    ),
    (
        _e.ConnectionRefusedError,
        PortClosed,
        "connection refused: check address and port (RTSP is often 554)",
    ),
    (_e.FileNotFoundError, SourceError, "no such file: check the path"),
    (_e.PermissionError, SourceError, "may not be read: check the file's permissions and owner"),
    (_e.IsADirectoryError, SourceError, "is a folder: give one video file"),
    ((_e.MemoryError, MemoryError), SourceError, _NO_MEMORY),
    (
        (_e.InvalidDataError, _e.EOFError, _e.ArgumentError, _e.DecoderNotFoundError),
        SourceDamaged,
        _NOT_A_VIDEO,
    ),
]
