"""Which ONVIF cameras are on the networks at hand: WS-Discovery (April 2005) by UDP, ONVIF Core chapter 7.

By IPv6 a camera answers from an address of the kind that it was asked from, so that it is asked from a wider
one and from the link-local one; of a device that answers from both, the link-local one is left out.

Anybody on the network may answer, with anything. So a device is where its answer came from, whatever it says;
of a device that has answered nothing more is read than a name, and there are MAX_DEVICES at most.
"""

from __future__ import annotations

import selectors
import socket
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

import psutil

from streamer.errors import ConfigError, SourceError, one_line
from streamer.sources.limits import SourceLimits, resolve, written_address
from streamer.sources.onvif.address import PORTS, OnvifAddress
from streamer.sources.onvif.hostile_xml import BadXml, parse, value
from streamer.sources.onvif.profiles import MAX_SHOWN

GROUP, GROUP6, PORT = "239.255.255.250", "ff02::c", 3702
SECONDS = 4.0
REPEAT_S = 0.5  # UDP loses: each probe goes out again after it, once
ENDPOINT_S = 2.0  # for the one device that is asked by itself
MAX_DEVICES = 256
MAX_DATAGRAM = 16 << 10
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


def interfaces(wanted: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """The addresses to ask from by the name of their interface: of IPv4, of IPv6, and link-local; of the
    `wanted` ones, else of all that are up, but loopback. Raise ConfigError for one that there is not.
    """
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = {
        name: _one_of_each_kind(
            [entry.address for entry in entries if entry.family in (socket.AF_INET, socket.AF_INET6)]
        )
        for name, entries in psutil.net_if_addrs().items()
        if name in up
    }
    found = {name: addresses for name, addresses in found.items() if addresses}
    for name in wanted:
        if name not in found:
            there = ", ".join(found)
            raise ConfigError(f"--interface {name[:32]!r}: with an address there are {there}")
    return {
        name: addresses
        for name, addresses in found.items()
        if name in wanted or (not wanted and not ip_address(addresses[0]).is_loopback)
    }


def _one_of_each_kind(addresses: Sequence[str]) -> tuple[str, ...]:
    kinds: dict[tuple[int, bool], str] = {}
    for text in addresses:
        address = ip_address(text)
        kinds.setdefault((address.version, address.version == 6 and address.is_link_local), text)
    return tuple(kinds[kind] for kind in sorted(kinds))


def discover(on: Mapping[str, Sequence[str]], seconds: float = SECONDS, port: int = PORT) -> list[Announced]:
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
                    with suppress(OSError):  # the network went away meanwhile
                        _send(probing, probes, port)
            for device in _heard(selector, min(again, end) - now, probes):
                found.setdefault((device.at, device.endpoint), device)
    return sorted(_reachable(found.values()), key=lambda device: _in_order(device.at))


def _reachable(found: Collection[Announced]) -> Iterator[Announced]:
    wider = {device.endpoint for device in found if not _is_link_local(device.at.host)}
    for device in found:
        if device.endpoint not in wider or not _is_link_local(device.at.host):
            yield device


def _is_link_local(host: str) -> bool:
    address = ip_address(host)
    return address.version == 6 and address.is_link_local


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
    on: Mapping[str, Sequence[str]],
    probes: Mapping[str, str],
    port: int,
) -> list[socket.socket]:
    sockets, refusals = [], []
    for name, address in ((name, address) for name, addresses in on.items() for address in addresses):
        try:
            probing = stack.enter_context(_bound(name, address))
            _send(probing, probes, port)
        except OSError as error:
            refusals.append(f"{name} ({address}: {error.strerror})")
            continue
        selector.register(probing, selectors.EVENT_READ)
        sockets.append(probing)
    if not sockets:
        where = ", ".join(refusals) or "no interface is up: name one with --interface"
        raise SourceError(f"no camera can be looked for on {where}")
    return sockets


def _bound(name: str, address: str) -> socket.socket:
    """Its multicasts go out on the interface, and no router passes them on. Raise OSError."""
    six = ":" in address
    probing = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if six:
            index = socket.if_nametoindex(name)
            probing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            probing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            probing.bind((address.partition("%")[0], 0, 0, index if _is_link_local(address) else 0))
        else:
            probing.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            probing.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            probing.bind((address, 0))
        probing.setblocking(False)
    except OSError:
        probing.close()
        raise
    return probing


def _send(probing: socket.socket, probes: Mapping[str, str], port: int) -> None:
    group = GROUP6 if probing.family == socket.AF_INET6 else GROUP
    for probe_id, types in probes.items():
        probing.sendto(_probe(probe_id, types), (group, port))


def _heard(
    selector: selectors.BaseSelector, timeout_s: float, probes: Mapping[str, str]
) -> Iterator[Announced]:
    for key, _ in selector.select(max(0.0, timeout_s)):
        probing = key.fileobj
        assert isinstance(probing, socket.socket)
        try:
            raw, sender = probing.recvfrom(MAX_DATAGRAM)
            address = _with_interface(sender)
        except OSError:
            continue  # a checksum that was wrong, an ICMP error: nobody's answer
        device = read_match(raw, address, list(probes))
        if device is not None:
            yield device


def _with_interface(sender: tuple[Any, ...]) -> str:
    """The sender's address; a link-local one means something with its interface alone (RFC 4007)."""
    host = str(sender[0])
    if len(sender) < 4 or not sender[3] or "%" in host:
        return host
    return f"{host}%{socket.if_indextoname(sender[3])}"


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
    here = address.partition("%")[0]
    named: dict[str, int | None] = {}
    for xaddr in value(match, "XAddrs").split():
        try:
            parts = urlsplit(xaddr)
            if written_address((parts.hostname or "").partition("%")[0]) == here:
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


def _in_order(at: OnvifAddress) -> tuple[int, bytes, int]:
    address = ip_address(at.host)
    return address.version, address.packed, at.port
