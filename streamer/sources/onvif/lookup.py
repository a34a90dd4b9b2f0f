"""onvif:// or onvifs:// to rtsp://: ask a camera which of its profiles to read, and where it is streamed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from streamer.errors import ConfigError, NoSuchStream, SourceError, one_line
from streamer.logs import redact
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.onvif.address import OnvifAddress, is_onvif, read_address
from streamer.sources.onvif.device import CLOCK_NOTE_S, Device, Information
from streamer.sources.onvif.discovery import ask_endpoint
from streamer.sources.onvif.exchange import Line
from streamer.sources.onvif.profiles import WIDTH, Profile, choose
from streamer.sources.onvif.soap import Login
from streamer.sources.tls import SYSTEM, tls_context
from streamer.sources.urls import (
    check_ca,
    check_source_url,
    host_and_port,
    lookup_scheme,
    scheme_of,
    split_credentials,
    with_host,
)

MAX_LOOKUP_S = 15.0  # of all that is asked of one device
_STREAMS = ("rtsp", "rtsps")


@dataclass(frozen=True, slots=True)
class Found:
    """What a device said. `url` has no credentials; `endpoint` is its WS-Discovery address, "" where it told
    none; `ca` is for its stream, "" where that has no certificate to check; `notes` are worth reading.
    """

    url: str
    endpoint: str
    information: Information
    profile: Profile
    profiles: tuple[Profile, ...]
    clock_ahead_s: float
    ca: str = ""
    notes: list[str] = field(default_factory=list)


def open_device(
    device: OnvifAddress,
    login: Login | None,
    limits: SourceLimits,
    timeout_s: float = MAX_LOOKUP_S,
    ca: str = "",
) -> Device:
    """The device at an address, if `limits` allow it; its time begins now. `ca`: who vouches for it where it
    is asked over TLS (tls.py; empty: `system`). Raise SourceError."""
    context = tls_context(ca or SYSTEM, str(device)) if device.secure else None
    address = resolve(device.host, device.port, limits, str(device))
    return Device(Line(device, address, time.monotonic() + timeout_s, context), login)


def look_up(
    url: str,
    login: Login | None = None,
    limits: SourceLimits | None = None,
    width: int = WIDTH,
    ca: str = "",
) -> Found:
    """Ask the device at `url` (address.py: FORM; no credentials in it) where its stream is, for a picture
    that is analysed `width` pixels wide. Raise ConfigError for no such address, SourceError for the rest.
    """
    at = read_address(url)
    check_ca(ca)
    limits = limits or SourceLimits()
    device = open_device(at, login, limits, ca=ca)
    clock_ahead_s = device.clock_ahead_s()
    profiles = device.profiles()
    try:
        profile = choose(profiles, at.profile, width)
    except NoSuchStream as error:
        raise NoSuchStream(f"{at}: {error}") from None
    stream, notes = _stream_of(at, device.stream_uri(profile))
    notes += _told_of(profiles, profile, width) if not at.profile else []
    notes += _clock(clock_ahead_s)
    plain = not lookup_scheme(stream).ca
    if at.secure and plain:
        notes.append("the stream itself is not encrypted: ONVIF alone goes over HTTPS with this camera")
    endpoint = ask_endpoint(at.host, limits)
    kept_ca = "" if at.secure and plain else ca
    return Found(
        stream, endpoint, device.information(), profile, tuple(profiles), clock_ahead_s, kept_ca, notes
    )


def read_login(url: str, user: str | None, password: str | None) -> tuple[str, Login | None]:
    """`url` without credentials, and those that it holds; what is given apart from it wins."""
    clean, url_user, url_password = split_credentials(url)
    user = url_user if user is None else user
    password = url_password if password is None else password
    return clean, None if user is None and password is None else Login(user or "", password or "")


def _stream_of(at: OnvifAddress, uri: str) -> tuple[str, list[str]]:
    """The stream at the host that was asked, and what to say of it. A password was given for that host alone,
    and many cameras name an address that they have on another network.
    """
    clean = split_credentials(uri)[0]
    try:
        if is_onvif(clean) or scheme_of(check_source_url(clean)) not in _STREAMS:
            raise ConfigError("no RTSP")
        named, _ = host_and_port(clean)
        url = check_source_url(with_host(clean, at.host))
    except ConfigError:
        shown = one_line(redact(uri)[:120])
        raise SourceError(f"{at}: names no RTSP stream, but {shown!r}: give its rtsp:// address") from None
    if named == at.host:
        return url, []
    return url, [f"the camera says that its stream is at {one_line(named[:64])}; it is read at {at.host}"]


def _told_of(profiles: list[Profile], chosen: Profile, width: int) -> list[str]:
    others = [profile for profile in profiles if profile is not chosen]
    if not others:
        return ["the camera offers this profile alone: a substream is set up in its web page, under Video"]
    if chosen.width > 2 * width:
        return [
            f"no profile is nearer to {width} pixels: the substream's size is set in the camera's web page"
        ]
    return []


def _clock(ahead_s: float) -> list[str]:
    if abs(ahead_s) < CLOCK_NOTE_S:
        return []
    way = "ahead" if ahead_s > 0 else "behind"
    return [f"the camera's clock is {abs(ahead_s):.0f} s {way} of this box: set NTP in its web page"]
