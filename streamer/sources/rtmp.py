"""RTMP and RTMPS: a stream that is pulled from a server or recorder (rtmp://HOST[:PORT]/APP/NAME).

FFmpeg speaks RTMP, to a relay on loopback that leads to the one address that was judged and that speaks TLS
(loopback_relay.py); what the server is told of its own address stays what was asked for.
"""

from __future__ import annotations

import errno
import ssl
import time
from dataclasses import replace

import av
from av.container import InputContainer

from streamer.errors import PortClosed, SourceError, SourceStalled, StreamNotFound
from streamer.logs import redact
from streamer.sources.base import ReadOptions
from streamer.sources.ffmpeg_errors import explain
from streamer.sources.limits import resolve
from streamer.sources.live import LiveSource
from streamer.sources.loopback_relay import LoopbackRelay
from streamer.sources.opening import OpenRequest, open_input
from streamer.sources.packets import FFMPEG_ERRORS
from streamer.sources.tls import no_tls, refused, tls_context
from streamer.sources.urls import (
    host_and_port,
    join_credentials,
    lookup_scheme,
    sendable,
    split_credentials,
    target_of,
)

_ANALYZE_SHARE = 0.8  # of the open timeout: where the picture's size is not said, it is read on for
_NOT_PLAYED = (
    "the server does not play this stream: check application and stream name (rtmp://HOST/APP/NAME), and "
    "that the stream is being sent to it"
)


def create(url: str, options: ReadOptions) -> RtmpSource:
    return RtmpSource(url, options)


class RtmpSource(LiveSource):
    """One stream of an RTMP server."""

    def __init__(self, url: str, options: ReadOptions) -> None:
        clean, user, password = split_credentials(url)
        self._clean = sendable(clean)
        self._login = user, password
        self._relay: LoopbackRelay | None = None
        request = OpenRequest(
            url=self._clean,
            shown=redact(clean),
            format="live_flv",
            read_timeout_s=options.read_timeout_s,
            opener=self._open_there,
            before_read=lambda: self._expect_packet(options.read_timeout_s),
            after_read=lambda: self._expect_packet(None),
        )
        super().__init__(request, options)

    def _open_there(self, request: OpenRequest) -> InputContainer:
        end = time.monotonic() + request.open_timeout_s
        relay = self._relay = self._connected(end)
        host = f"[{relay.host}]" if ":" in relay.host else relay.host
        url = join_credentials(f"rtmp://{host}:{relay.port}{target_of(self._clean)}", *self._login)
        left_s = max(0.1, end - time.monotonic())
        try:
            return open_input(replace(request, url=url, open_timeout_s=left_s, options=self._told()))
        except FFMPEG_ERRORS as error:
            if isinstance(error, (av.error.ExitError, TimeoutError)):
                raise
            raise StreamNotFound(f"{self.shown}: {_NOT_PLAYED}") from None
        finally:
            relay.opened()

    def _told(self) -> dict[str, str]:
        """Options of FFmpeg's RTMP (ffmpeg.org/ffmpeg-protocols.html#rtmp)."""
        application = target_of(self._clean).lstrip("/").partition("?")[0].rpartition("/")[0]
        host, port = host_and_port(self._clean)
        host = f"[{host}]" if ":" in host else host
        scheme = self._clean.partition(":")[0].lower()
        return {
            "rtmp_live": "live",
            "rtmp_tcurl": f"{scheme}://{host}:{port}/{application}",
            "protocol_whitelist": "rtmp,tcp",
            "analyzeduration": str(round(self._options.open_timeout_s * _ANALYZE_SHARE * 1e6)),
            "fpsprobesize": "0",
        }

    def _expect_packet(self, within_s: float | None) -> None:
        """FFmpeg asks on and on while what comes is of a stream that was not there at the open."""
        if self._relay is not None:
            self._relay.expect_packet(within_s)

    def _failed(self, error: SourceError) -> SourceError:
        if self._relay is None or not self._relay.fruitless:
            return error
        return SourceStalled(
            f"{self.shown}: data comes, but no more of the video that was opened: the camera may have "
            "changed its codec, and is opened anew"
        )

    def _connected(self, end: float) -> LoopbackRelay:
        host, port = host_and_port(self._clean)
        address = resolve(host, port, self._options.limits, self.shown)
        ca, context = lookup_scheme(self._clean).ca, None
        if ca:
            context = tls_context(self._options.ca or ca, self.shown)
        try:
            return LoopbackRelay(address, port, end, context, host)
        except ssl.SSLCertVerificationError as error:
            raise refused(error, self.shown) from None
        except ssl.SSLError as error:
            raise no_tls(error, self.shown) from None
        except ConnectionRefusedError:
            raise PortClosed(f"{self.shown}: connection refused: check address and port ({port})") from None
        except OSError as error:
            if error.errno in (None, errno.ETIMEDOUT) and not isinstance(error, TimeoutError):
                raise SourceError(f"{self.shown}: the connection broke: check scheme and port") from None
            raise explain(error, self.shown, self._options.open_timeout_s) from None
