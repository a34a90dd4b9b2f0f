"""A device that speaks ONVIF: its clock, its services, what it is, its profiles and where they are streamed.

Method: ONVIF Core Specification (GetSystemDateAndTime, GetServices, GetCapabilities, GetDeviceInformation),
Media Service Specification and Media2 Service Specification (GetProfiles, GetStreamUri). What needs no user
is asked without one; the password is sent when it is asked for, in the way that is asked for, and after two
refusals no more, since cameras lock out who tries often.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from streamer.errors import AuthFailed, NoSuchStream, SourceError, one_line
from streamer.sources.onvif.address import DEVICE_PATH, default_port
from streamer.sources.onvif.digest_auth import authorization, digest_challenge
from streamer.sources.onvif.exchange import HOW_ON, HttpAnswer, Line
from streamer.sources.onvif.hostile_xml import BadXml, first, value
from streamer.sources.onvif.profiles import MAX_SHOWN, Profile, read_profiles
from streamer.sources.onvif.soap import NAMESPACES, Login, SoapFault, body_of, envelope, text_of

_GET_SERVICES = "<tds:GetServices><tds:IncludeCapability>false</tds:IncludeCapability></tds:GetServices>"
_GET_CAPABILITIES = "<tds:GetCapabilities><tds:Category>Media</tds:Category></tds:GetCapabilities>"
_GET_PROFILES = {
    "tr2": "<tr2:GetProfiles><tr2:Type>VideoSource</tr2:Type><tr2:Type>VideoEncoder</tr2:Type>"
    "</tr2:GetProfiles>",
    "trt": "<trt:GetProfiles/>",
}
_GET_STREAM_URI = {
    "tr2": "<tr2:GetStreamUri><tr2:Protocol>RTSP</tr2:Protocol>"
    "<tr2:ProfileToken>{token}</tr2:ProfileToken></tr2:GetStreamUri>",
    "trt": "<trt:GetStreamUri><trt:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream>"
    "<tt:Transport><tt:Protocol>RTSP</tt:Protocol></tt:Transport></trt:StreamSetup>"
    "<trt:ProfileToken>{token}</trt:ProfileToken></trt:GetStreamUri>",
}
MAX_SERVICES = 64
CLOCK_NOTE_S = 30.0  # a camera's clock that is off by more is worth a word
_ACCOUNT = "give a user of the camera's ONVIF or Integration settings (--username, --password-stdin)"


@dataclass(frozen=True, slots=True)
class Information:
    maker: str
    model: str
    firmware: str
    serial: str


class Device:
    """The device at the end of `line`. Nothing is asked before a method is called; all raise SourceError."""

    def __init__(self, line: Line, login: Login | None) -> None:
        self._line, self._login = line, login
        self._clock_ahead_s: float | None = None
        self._scheme = ""  # in which the password is sent: "" (not yet), "http" or "token"
        self._challenge: Mapping[str, str] = {}
        self._signed_calls = 0  # with the nonce of the challenge
        self._media: dict[str, tuple[int, str]] | None = None  # port and path by "tr2" and "trt"

    def clock_ahead_s(self) -> float:
        """How far the device's clock is ahead of ours; 0 where it does not say."""
        if self._clock_ahead_s is None:
            self._clock_ahead_s = self._ask_clock()
        return self._clock_ahead_s

    def _ask_clock(self) -> float:
        try:
            answer = self._without_login(self._line.device.port, DEVICE_PATH, "<tds:GetSystemDateAndTime/>")
        except SoapFault:
            return 0.0  # some want a user even for this; then ours must do
        return _ahead_s(first(answer, "UTCDateTime"))

    def information(self) -> Information:
        """Who made it."""
        answer = self._call(*self._device, "<tds:GetDeviceInformation/>")
        maker, model, firmware, serial = (
            one_line(value(answer, key)[:MAX_SHOWN])
            for key in ("Manufacturer", "Model", "FirmwareVersion", "SerialNumber")
        )
        return Information(maker, model, firmware, serial)

    def profiles(self) -> list[Profile]:
        """Those with video, by Media 2 where the device offers it, since H.265 is told there alone."""
        refusal = "it offers no media service: this is no camera"
        for service, place in self._media_services().items():
            try:
                found = read_profiles(self._call(*place, _GET_PROFILES[service]))
            except NoSuchStream as error:
                refusal = str(error)
                continue
            if found:
                return found
            refusal = "no profile has video"
        raise NoSuchStream(f"{self._line.device}: {refusal}")

    def stream_uri(self, profile: Profile) -> str:
        """The URI that the device names for `profile`, as it stands."""
        refusal = ""
        for service, place in self._media_services().items():
            try:
                request = _GET_STREAM_URI[service].format(token=text_of(profile.token))
                uri = value(self._call(*place, request), "Uri")
            except NoSuchStream as error:
                refusal = str(error)
                continue
            if uri:
                return uri
        raise NoSuchStream(refusal or f"{self._line.device}: names no stream for profile {profile.token}")

    @property
    def _device(self) -> tuple[int, str]:
        return self._line.device.port, DEVICE_PATH

    def _media_services(self) -> dict[str, tuple[int, str]]:
        if self._media is None:
            self._media = self._ask_services() or self._ask_capabilities()
        return self._media

    def _ask_services(self) -> dict[str, tuple[int, str]]:
        try:
            answer = self._call(*self._device, _GET_SERVICES)
        except NoSuchStream:
            return {}  # devices of before 2012 know GetCapabilities alone
        services = list(answer.iter("Service"))[:MAX_SERVICES]
        told = [(value(service, "Namespace"), value(service, "XAddr")) for service in services]
        named = {name: xaddr for name, xaddr in told if xaddr}
        wanted = {service: named.get(NAMESPACES[service], "") for service in ("tr2", "trt")}
        return {service: self._place(xaddr) for service, xaddr in wanted.items() if xaddr}

    def _ask_capabilities(self) -> dict[str, tuple[int, str]]:
        xaddr = value(self._call(*self._device, _GET_CAPABILITIES), "Media", "XAddr")
        return {"trt": self._place(xaddr)} if xaddr else {}

    def _place(self, xaddr: str) -> tuple[int, str]:
        """Port and path of a service. The host stays ours: many name one that is theirs behind a router, and
        none is to lead a password elsewhere; its port counts where it is at our address and as encrypted.
        """
        device = self._line.device
        scheme = "https" if device.secure else "http"
        try:
            parts = urlsplit(xaddr)
            ours = parts.hostname in (device.host, self._line.address)
            port = (parts.port or default_port(device)) if ours and parts.scheme == scheme else device.port
        except ValueError:
            return device.port, DEVICE_PATH
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return port, path if path.startswith("/") and path.isascii() and path.isprintable() else DEVICE_PATH

    def _call(self, port: int, path: str, request: str) -> Element:
        """The body of the answer. A fault other than a refusal of the user raises NoSuchStream."""
        try:
            if not self._scheme:
                return self._first_call(port, path, request)
            return self._signed(port, path, request)
        except SoapFault as fault:
            if fault.unauthorized:
                raise self._refused() from None
            raise NoSuchStream(f"{self._line.device}: refuses: {one_line(str(fault))}") from None

    def _first_call(self, port: int, path: str, request: str) -> Element:
        """Without a user; where one is asked for, in the way that is asked for, and in the other one then."""
        try:
            return self._without_login(port, path, request)
        except SoapFault as fault:
            if not fault.unauthorized or self._login is None:
                raise
        schemes = ("http", "token") if self._challenge else ("token",)
        for scheme in schemes:
            self._scheme = scheme
            try:
                return self._signed(port, path, request)
            except SoapFault as fault:
                if not fault.unauthorized or scheme == schemes[-1]:
                    raise
        raise AssertionError("unreachable")

    def _without_login(self, port: int, path: str, request: str) -> Element:
        answer = self._line.post(port, path, envelope(request))
        if answer.status == 401:
            self._challenge = digest_challenge(answer.challenges) or {}
        return self._read(answer, port, path)

    def _signed(self, port: int, path: str, request: str) -> Element:
        login = self._login
        assert login is not None
        if self._scheme == "token":
            body = envelope(request, login, self.clock_ahead_s())
            return self._read(self._line.post(port, path, body), port, path)
        answer = self._digested(login, port, path, request)
        renewed = digest_challenge(answer.challenges) if answer.status == 401 else None
        if renewed is not None and renewed.get("stale", "").lower() == "true":
            self._challenge, self._signed_calls = renewed, 0  # the password was right, the nonce too old
            answer = self._digested(login, port, path, request)
        return self._read(answer, port, path)

    def _digested(self, login: Login, port: int, path: str, request: str) -> HttpAnswer:
        self._signed_calls += 1
        header = authorization(self._challenge, login, path, self._signed_calls)
        return self._line.post(port, path, envelope(request), header)

    def _read(self, answer: HttpAnswer, port: int, path: str) -> Element:
        device = self._line.device
        if answer.status in (401, 403):
            raise SoapFault("not authorized", unauthorized=True)
        if answer.status == 404:
            raise NoSuchStream(f"{device}: port {port} has no ONVIF at {one_line(path[:64])} (404): {HOW_ON}")
        try:
            body = body_of(answer.body)
        except BadXml as error:
            text = f"{device}: what it answers {one_line(str(error))}: is this an ONVIF camera?"
            raise SourceError(text) from None
        if answer.status != 200:
            raise NoSuchStream(f"{device}: answers with status {answer.status}")
        return body

    def _refused(self) -> SourceError:
        device = self._line.device
        if self._login is None:
            return AuthFailed(f"{device}: wants a user name and password: {_ACCOUNT}")
        ahead_s = 0.0
        with suppress(SourceError):
            ahead_s = self.clock_ahead_s()
        clock = f" (its clock is off by {abs(ahead_s):.0f} s)" if abs(ahead_s) > CLOCK_NOTE_S else ""
        return AuthFailed(f"{device}: refuses the user name or password{clock}: {_ACCOUNT}")


def _ahead_s(utc: Element | None) -> float:
    numbers = [value(utc, *key) for key in (("Date", "Year"), ("Date", "Month"), ("Date", "Day"))]
    numbers += [value(utc, "Time", key) for key in ("Hour", "Minute", "Second")]
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        theirs = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except (ValueError, OverflowError):
        return 0.0  # it does not say
    return (theirs - datetime.now(UTC)).total_seconds()
