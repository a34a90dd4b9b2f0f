"""RTSP cameras over TCP or UDP: H.264, H.265 and whatever else FFmpeg decodes.

TCP is tried first, since it loses nothing; UDP where the camera answers that it has no TCP (461), and by
nothing else: a second attempt with refused credentials is how cameras come to lock a user out.

Media time follows the camera's RTP timestamps.
"""

from __future__ import annotations

import errno
import ssl
import time
from dataclasses import replace

import av
from av.container import InputContainer

from streamer.errors import AuthUnknown, ConfigError, SourceError, SourceStalled
from streamer.logs import redact
from streamer.sources.base import Decoded, ReadOptions, Rested, SourceInfo
from streamer.sources.ffmpeg_errors import explain
from streamer.sources.limits import resolve
from streamer.sources.live import LiveSource
from streamer.sources.opening import OpenRequest, open_input
from streamer.sources.packets import FFMPEG_ERRORS
from streamer.sources.rtsp_auth import unsupported_auth
from streamer.sources.rtsp_relay import Relay
from streamer.sources.tls import ANY, no_tls, refused, tls_context
from streamer.sources.urls import (
    check_source_url,
    host_and_port,
    join_credentials,
    lookup_scheme,
    rtsp_at,
    scheme_of,
    sendable,
    split_credentials,
    with_host,
)

# Where the SDP does not hold the picture's size, FFmpeg reads on for the first key frame: this part of the
# open timeout.
_ANALYZE_SHARE = 0.8
MAX_REDIRECTS = 5
_ASK_S = 3.0  # at most, for the way of authentication, after a refusal
_MAX_WAIT_US = (1 << 31) - 1  # what FFmpeg takes: more is refused as out of range, and no stream is opened
_UDP_BUFFER = 4 << 20  # bytes, as far as the kernel allows: a key frame comes in one burst
_udp_only: set[str] = set()  # URLs without credentials; each until its next failure


def create(url: str, options: ReadOptions) -> RtspSource:
    return RtspSource(url, options)


class RtspSource(LiveSource):
    """One RTSP stream."""

    clock_source = "rtp"

    def __init__(self, url: str, options: ReadOptions) -> None:
        clean, user, password = split_credentials(url)
        self._clean = sendable(clean)
        self._judged = self._clean  # by its address, where it has a name, once that is known
        self._refusal: SourceError | None = None
        self._transport = ""  # of the attempt in progress, and then of the stream
        request = OpenRequest(
            url=join_credentials(self._clean, user, password),
            shown=redact(clean),
            format="rtsp",
            read_timeout_s=options.read_timeout_s,
            opener=self._open_somehow,
        )
        super().__init__(request, options)

    def _open_there(self, request: OpenRequest, end: float) -> InputContainer:
        """At its address and nowhere else, or where it redirects to and a camera may be."""
        for _ in range(MAX_REDIRECTS + 1):
            host, port = host_and_port(request.url)
            # A name is judged by its address, and it is that address that is connected to.
            address = resolve(host, port, self._options.limits, self.shown)
            self._judged = with_host(split_credentials(request.url)[0], address)
            relay = self._relay(request.url, address, end)
            try:
                return open_input(self._through(relay, request, end))
            except FFMPEG_ERRORS:
                if relay.refusal is not None:
                    raise relay.refusal from None
                if relay.redirected_to is None:
                    raise
            finally:
                relay.opened()
            request = replace(request, url=self._redirected(request.url, relay.redirected_to, address))
        raise SourceError(f"{self.shown}: redirects in a circle: check the camera's address")

    def _relay(self, url: str, address: str, end: float) -> Relay:
        host, port = host_and_port(url)
        limits, context = self._options.limits, None
        if lookup_scheme(url).ca:
            context = tls_context(self._options.ca or lookup_scheme(url).ca, self.shown)
        try:
            return Relay(address, port, end, limits=limits, shown=self.shown, tls=context, tls_name=host)
        except ssl.SSLCertVerificationError as error:
            raise refused(error, self.shown) from None
        except ssl.SSLError as error:
            raise no_tls(error, self.shown) from None
        except ConnectionRefusedError as error:
            closed = av.error.ConnectionRefusedError(errno.ECONNREFUSED, str(error))
            raise explain(closed, self.shown, self._options.open_timeout_s) from None
        except OSError as error:
            raise explain(error, self.shown, self._options.open_timeout_s) from None

    @staticmethod
    def _through(relay: Relay, request: OpenRequest, end: float) -> OpenRequest:
        url = rtsp_at(request.url, relay.host, relay.port)
        return replace(request, url=url, open_timeout_s=max(0.1, end - time.monotonic()))

    def _redirected(self, url: str, location: str, address: str) -> str:
        """Where to go on. Credentials go to no other address than the one they were meant for."""
        _, user, password = split_credentials(url)
        try:
            there = check_source_url(location)
            if scheme_of(there) not in ("rtsp", "rtsps"):
                raise ConfigError("no camera's address")
            same = resolve(*host_and_port(there), self._options.limits, self.shown) == address
        except ConfigError:
            raise SourceError(
                f"{self.shown}: redirects to {redact(location)!r}, which is no RTSP address: check the "
                "camera's address"
            ) from None
        if self._options.ca and self._options.ca != ANY and not lookup_scheme(there).ca:
            raise SourceError(
                f"{self.shown}: redirects to {redact(location)!r}, which is not encrypted, and source.ca "
                "asks for a checked certificate: check the camera's address"
            )
        clean = sendable(split_credentials(there)[0])
        return join_credentials(clean, user, password) if same else clean

    def _open_somehow(self, request: OpenRequest) -> InputContainer:
        """Over TCP, else over UDP, or over the one that is asked for; all within one deadline."""
        end = time.monotonic() + request.open_timeout_s
        order = self._order()
        for transport in order:
            self._transport = transport
            options = _ffmpeg_options(self._options, transport)
            try:
                return self._open_there(replace(request, options=options), end)
            except av.error.HTTPUnauthorizedError as error:
                self._refusal = explain(error, self.shown, self._options.open_timeout_s)
            except av.error.OSError as error:
                if error.errno != errno.EPROTONOSUPPORT:
                    raise
            if self._refusal is not None:  # out here no error of FFmpeg's, with its URL, hangs on it
                raise self._refused(self._refusal, (end - time.monotonic()) / 2)
        raise SourceError(f"{self.shown}: {self._not_offered(order)}")

    def _not_offered(self, order: tuple[str, ...]) -> str:
        if len(order) > 1:
            return "the camera offers its stream neither over TCP nor UDP (461): switch on unicast in it"
        advice = "use rtsp://" if scheme_of(self._clean) == "rtsps" else "set transport=auto"
        return f"the camera does not offer its stream over {order[0].upper()} (461): {advice}"

    def _order(self) -> tuple[str, ...]:
        if scheme_of(self._clean) == "rtsps":
            return ("tcp",)
        if self._options.transport != "auto":
            return (self._options.transport,)
        return ("udp", "tcp") if self._clean in _udp_only else ("tcp", "udp")

    def _refused(self, refusal: SourceError, left_s: float) -> SourceError:
        """What a 401 means: credentials that are wrong, or ones that were never sent."""
        asked = unsupported_auth(self._judged, min(_ASK_S, left_s)) if left_s > 0 else ""
        if not asked:
            return refusal
        plain = "Basic" if scheme_of(self._clean) == "rtsps" else "Basic over a network that you trust"
        return AuthUnknown(
            f"{self.shown}: asks for {asked}, which this version's FFmpeg does not know: switch the "
            f"camera's authentication to Digest MD5, or to {plain}"
        )

    def _failed(self, error: SourceError) -> SourceError:
        """Forgets what worked, and says what else may be meant by packets that do not come."""
        _udp_only.discard(self._clean)
        if self._refusal is not None and isinstance(error, SourceStalled):
            return self._refusal  # a refusal that was not told would be tried again too soon
        if self._transport == "udp" and isinstance(error, SourceStalled) and self._input.frames == 0:
            return SourceStalled(f"{error}; over UDP: a firewall on the way may hold its packets back")
        return error

    def _open(self) -> SourceInfo:
        return replace(super()._open(), transport=self._transport)

    def _follow(self) -> Decoded | Rested:
        seen = super()._follow()
        if self._transport == "udp" and self._options.transport == "auto":
            _udp_only.add(self._clean)
        return seen


def _ffmpeg_options(options: ReadOptions, transport: str) -> dict[str, str]:
    """Options of FFmpeg's RTSP demuxer (ffmpeg.org/ffmpeg-protocols.html#rtsp)."""
    return {
        "rtsp_transport": transport,
        "allowed_media_types": "video",  # no audio: less to carry, and FFmpeg need not align the two clocks
        # µs, of one wait on the socket; the default is none. Longer than our own deadlines, which say more.
        "timeout": str(min(_MAX_WAIT_US, round((options.open_timeout_s + options.read_timeout_s) * 1e6))),
        "analyzeduration": str(round(options.open_timeout_s * _ANALYZE_SHARE * 1e6)),
        "fpsprobesize": "0",  # else an open waits for 20 pictures, which then come in one late burst
        "protocol_whitelist": "rtsp,rtp,tcp" + (",udp" if transport == "udp" else ""),
        **({"buffer_size": str(_UDP_BUFFER)} if transport == "udp" else {}),
    }
