"""Which ONVIF cameras are on the networks at hand: WS-Discovery (April 2005) by UDP, ONVIF Core chapter 7.

Anybody on the network may answer, with anything. So a device is where its answer came from, whatever it says;
of a device that has answered nothing more is read than a name, and there are MAX_DEVICES at most.
"""

from __future__ import annotations

import selectors
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

import psutil

from streamer.errors import ConfigError, SourceError, one_line
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.onvif.address import PORTS, OnvifAddress
from streamer.sources.onvif.hostile_xml import BadXml, parse, value
from streamer.sources.onvif.profiles import MAX_SHOWN

GROUP, PORT = "239.255.255.250", 3702
SECONDS = 4.0
REPEAT_S = 0.5  # UDP loses: each probe goes out again after it, once
ENDPOINT_S = 2.0  # for the one device that is asked by itself
MAX_DEVICES = 256
MAX_DATAGRAM = 16 << 10
_BY_IPV4 = "cameras are looked for by IPv4; one with IPv6 alone is asked by its address, onvif://[ADDRESS]"
_ONVIF_SCOPE = "onvif://www.onvif.org/"
_VIDEO = (
    '<d:Types xmlns:n="http://www.onvif.org/ver10/network/wsdl">'
    "n:NetworkVideoTransmitter</d:Types>"  # ONVIF Core 7.3.2
)
_PROBE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><s:Header>'
    "<a:MessageID>uuid:{id}</a:MessageID><a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>"
    "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>"
    "</s:Header><s:Body><d:Probe>{types}</d:Probe></s:Body></s:Envelope>"
)


@dataclass(frozen=True, slots=True)
class Announced:
    """What a device says of itself. `endpoint` stays the same when its address changes."""

    at: OnvifAddress
    endpoint: str
    name: str
    hardware: str
    location: str


def interfaces(wanted: Sequence[str] = ()) -> dict[str, str]:
    """IPv4 addresses by the name of their interface: the `wanted` ones, else all that are up, but loopback.

    Raise ConfigError for one that there is not.
    """
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = {
        name: next((entry.address for entry in entries if entry.family == socket.AF_INET), "")
        for name, entries in psutil.net_if_addrs().items()
        if name in up
    }
    found = {name: address for name, address in found.items() if address}
    for name in wanted:
        if name not in found:
            there = ", ".join(found)
            raise ConfigError(
                f"--interface {name[:32]!r}: with an IPv4 address there are {there}: {_BY_IPV4}"
            )
    return {
        name: address
        for name, address in found.items()
        if name in wanted or (not wanted and not address.startswith("127."))
    }


def discover(on: Mapping[str, str], seconds: float = SECONDS, port: int = PORT) -> list[Announced]:
    """Who answers within `seconds` on the interfaces `on` (addresses by name), by address. Raise SourceError
    where nothing can be sent on any of them.
    """
    probes = {str(uuid.uuid4()): types for types in (_VIDEO, "")}  # some answer only to one that asks for all
    end = time.monotonic() + seconds
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        sockets = _opened(stack, selector, on, probes, port)
        found: dict[tuple[OnvifAddress, str], Announced] = {}
        again = time.monotonic() + REPEAT_S
        while (now := time.monotonic()) < end and len(found) < MAX_DEVICES:
            if now >= again:
                again = end
                for probing in sockets:
                    _send(probing, probes, port)
            for device in _heard(selector, min(again, end) - now, probes):
                found.setdefault((device.at, device.endpoint), device)
    return sorted(found.values(), key=lambda device: _in_order(device.at))


def ask_endpoint(host: str, limits: SourceLimits, port: int = PORT, seconds: float = ENDPOINT_S) -> str:
    """The endpoint reference of the device at `host`, which is asked by itself; "" where it does not tell."""
    probe_id = str(uuid.uuid4())
    try:
        address = resolve(host, port, limits, host)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((address, port))  # answers of others are not let in
            asking.settimeout(seconds)
            asking.send(_probe(probe_id, ""))
            told = read_match(asking.recv(MAX_DATAGRAM), address, [probe_id])
    except (OSError, SourceError):
        return ""
    return told.endpoint if told else ""


def _probe(probe_id: str, types: str) -> bytes:
    return _PROBE.format(id=probe_id, types=types).encode()


def _opened(
    stack: ExitStack,
    selector: selectors.BaseSelector,
    on: Mapping[str, str],
    probes: Mapping[str, str],
    port: int,
) -> list[socket.socket]:
    sockets, refusals = [], []
    for name, address in on.items():
        probing = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        try:
            probing.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            probing.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            probing.bind((address, 0))
            probing.setblocking(False)
            _send(probing, probes, port)
        except OSError as error:
            refusals.append(f"{name} ({error.strerror})")
            continue
        selector.register(probing, selectors.EVENT_READ)
        sockets.append(probing)
    if not sockets:
        where = ", ".join(refusals) or f"no interface is up: name one with --interface; {_BY_IPV4}"
        raise SourceError(f"no camera can be looked for on {where}")
    return sockets


def _send(probing: socket.socket, probes: Mapping[str, str], port: int) -> None:
    for probe_id, types in probes.items():
        probing.sendto(_probe(probe_id, types), (GROUP, port))


def _heard(
    selector: selectors.BaseSelector, timeout_s: float, probes: Mapping[str, str]
) -> Iterator[Announced]:
    for key, _ in selector.select(max(0.0, timeout_s)):
        probing = key.fileobj
        assert isinstance(probing, socket.socket)
        try:
            raw, (address, *_) = probing.recvfrom(MAX_DATAGRAM)
        except OSError:
            continue  # a checksum that was wrong, an ICMP error: nobody's answer
        device = read_match(raw, address, list(probes))
        if device is not None:
            yield device


def read_match(raw: bytes, address: str, probe_ids: Sequence[str]) -> Announced | None:
    """What the datagram `raw` from `address` announces; None for what is no ONVIF device's answer to one of
    our probes.
    """
    try:
        root = parse(raw)
    except BadXml:
        return None
    relates = value(root, "RelatesTo").lower()
    match = next(root.iter("ProbeMatch"), None)
    if match is None or not any(probe_id in relates for probe_id in probe_ids):
        return None
    scopes = value(match, "Scopes").split()
    if "NetworkVideoTransmitter" not in value(match, "Types") and not _onvif(scopes):
        return None
    return Announced(
        _place(match, address),
        one_line(value(match, "EndpointReference", "Address").lower()[:128]),
        *(_scope(scopes, key) for key in ("name", "hardware", "location")),
    )


def _onvif(scopes: Sequence[str]) -> bool:
    return any(scope.startswith(_ONVIF_SCOPE) for scope in scopes)


def _place(match: Element, address: str) -> OnvifAddress:
    """Where it answered from, by the scheme and port that it names there: HTTPS where that is all."""
    named: dict[str, int | None] = {}
    for xaddr in value(match, "XAddrs").split():
        try:
            parts = urlsplit(xaddr)
            if parts.hostname == address:
                named.setdefault(parts.scheme, parts.port)
        except ValueError:
            continue  # no address: the next one
    if "https" in named and "http" not in named:
        return OnvifAddress(address, named["https"] or PORTS["onvifs"], secure=True)
    return OnvifAddress(address, named.get("http") or PORTS["onvif"])


def _scope(scopes: Sequence[str], key: str) -> str:
    start = f"{_ONVIF_SCOPE}{key}/"
    text = next((scope[len(start) :] for scope in scopes if scope.startswith(start)), "")
    return one_line(unquote(text)[:MAX_SHOWN])


def _in_order(at: OnvifAddress) -> tuple[bytes, int]:
    return socket.inet_aton(at.host), at.port
