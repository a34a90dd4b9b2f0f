"""What a source may reach: the folders its files may lie in, and the networks its cameras may be in.

A camera's URL can be written by people who may change cameras and nothing else, and it is opened by a daemon
that may read and reach more than they. So a name is resolved here and its address judged at every open, and
it is that address that is connected to (a name that answers otherwise a moment later, DNS rebinding, gains
nothing); a file is judged by where it really lies.

Link-local addresses are refused unless they are named: there the clouds keep their metadata, with credentials
in it. The same holds for the metadata addresses that are not link-local.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from socket import SOCK_STREAM, getaddrinfo, inet_aton, inet_ntoa
from typing import Any

from streamer.errors import SourceError, SourceRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESERVED: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local, RFC 3927; metadata of AWS, Azure, Google, OpenStack, …
            "fe80::/10",  # link-local, RFC 4291
            "fd00:ec2::/32",  # metadata of AWS over IPv6
            "fd20:ce::254/128",  # of Google
            "100.100.100.200/32",  # of Alibaba
            "192.0.0.192/32",  # of Oracle
            "168.63.129.16/32",  # of Azure: its host
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
HOW_NETWORKS = "name its network in sources.networks of streamer.yaml if that is meant"
HOW_FILES = "name its folder in sources.files of streamer.yaml if that is meant"


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """`files`: the folders that files may lie in, absolute; None: any. `networks`: those that cameras may be
    in, as CIDR; None: any. An address of RESERVED needs a network of its own, one that lies in RESERVED.
    """

    files: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None

    def allows(self, address: str) -> bool:
        """Whether a camera may be at this address."""
        wanted = plain_address(address)
        named = None if self.networks is None else [ip_network(text) for text in self.networks]
        if any(wanted in reserved for reserved in RESERVED):
            return any(wanted in network for network in named or () if _is_reserved(network))
        return named is None or any(wanted in network for network in named)

    def check_file(self, path: Path) -> Path:
        """Where the file really lies. Raise SourceError if it may not lie there."""
        found = Path(os.path.realpath(path))
        if self.files is not None and not lies_in(found, self.files):
            raise SourceRefused(f"{path}: files of cameras may not lie there: {HOW_FILES}")
        return found


def lies_in(path: Path, folders: Sequence[str]) -> bool:
    """Whether `path`, resolved, is one of `folders` or below it."""
    return any(path.is_relative_to(os.path.realpath(folder)) for folder in folders)


def resolve(host: str, port: int, limits: SourceLimits, shown: str) -> str:
    """The address of `host` to connect to: the first that is allowed. Raise SourceError if there is none."""
    try:
        found = getaddrinfo(host, port, type=SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceError(f"{shown}: no host of the name {host}: check it, or use its address") from None
    addresses = [_scoped(entry[4]) for entry in found]
    allowed = next((address for address in addresses if limits.allows(address)), None)
    if allowed is None:
        raise _not_allowed(addresses[0], host, shown)
    return allowed


def _scoped(place: tuple[Any, ...]) -> str:
    """The address of a socket's; a link-local one of IPv6 with the number of its interface (RFC 4007)."""
    host = str(place[0])
    return f"{host}%{place[3]}" if len(place) == 4 and place[3] and "%" not in host else host


def _not_allowed(address: str, host: str, shown: str) -> SourceError:
    which = address if address == host else f"{address}, which {host} stands for,"
    why = "a link-local or metadata address" if _in_reserved(address) else "in none of the allowed networks"
    return SourceRefused(f"{shown}: {which} is {why}: {HOW_NETWORKS}")


def written_address(host: str) -> str | None:
    """The address that `host` is as it stands, also as a number or in octal, as connect() reads it; None:
    a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return inet_ntoa(inet_aton(host))
    except (OSError, UnicodeError):
        return None


def plain_address(text: str) -> Address:
    """The address that is meant: an IPv4 one may be written as IPv6 (mapped, 6to4, NAT64)."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _in_reserved(text: str) -> bool:
    address = plain_address(text)
    return any(address in network for network in RESERVED)


def _is_reserved(network: Network) -> bool:
    return any(
        network.version == reserved.version
        and network.network_address in reserved
        and network.prefixlen >= reserved.prefixlen
        for reserved in RESERVED
    )
