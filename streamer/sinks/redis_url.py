"""Where a Redis is, as its URL says: one server, the primary of a Sentinel service, or a Cluster.

    redis://HOST:PORT/DB                            unix:///PATH
    redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB  the hosts are the sentinels'
    redis+cluster://HOST:PORT,HOST:PORT              some of the Cluster's nodes; they name the others

With `rediss` for `redis` all of them, also the sentinels, are spoken to over TLS. Valkey has the same URLs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from streamer.sinks.sink_address import hosts_of, with_secret
from streamer.sources.urls import split_credentials

Topology = Literal["server", "sentinel", "cluster"]

_PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_TOPOLOGIES: dict[str, Topology] = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_SENTINEL_USER, _SENTINEL_PASSWORD = "sentinel_username", "sentinel_password"


@dataclass(frozen=True)
class RedisUrl:
    """`hosts` are (host, port), none for a socket's path; `server_url` is what one server's would be."""

    topology: Topology
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    service: str
    server_url: str
    sentinel_username: str | None = None
    sentinel_password: str | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """HOST:PORT of each, for people."""
        return tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)


def parse_redis_url(url: str) -> RedisUrl:
    """Raises ValueError, with what to write and without what was written, which may hold a secret."""
    address, _, fragment = url.partition("#")
    scheme = address.partition("://")[0]
    if scheme not in _TOPOLOGIES or "://" not in address:
        raise ValueError(
            "a Redis URL begins with redis://, rediss:// or unix://, or with redis+sentinel://, "
            "redis+cluster:// and their rediss+…"
        )
    topology = _TOPOLOGIES[scheme]
    clean, username, password = split_credentials(address)
    if topology == "server":
        named = hosts_of(clean, {scheme: _PORTS[topology]}) or [("localhost", _PORTS[topology])]
        hosts = () if scheme == "unix" else tuple(named)
        return RedisUrl(topology, scheme == "rediss", hosts, "", url)
    if not (found := tuple(hosts_of(clean, {scheme: _PORTS[topology]}))):
        raise ValueError(
            f"{scheme}:// is followed by hosts with commas between: {scheme}://HOST:PORT,HOST:PORT"
        )
    service, database = _path(scheme, topology, urlsplit(clean).path)
    server = _server_url(scheme, found[0], database, urlsplit(address).query, (username, password))
    secrets = dict(parse_qsl(fragment))
    logins = secrets.get(_SENTINEL_USER), secrets.get(_SENTINEL_PASSWORD)
    return RedisUrl(topology, scheme.startswith("rediss"), found, service, server, *logins)


def _path(scheme: str, topology: Topology, path: str) -> tuple[str, str]:
    """(service, database) of `/SERVICE/DB`, or of a Cluster's, which has neither."""
    parts = [unquote(part) for part in path.strip("/").split("/") if part]
    if topology == "cluster":
        if parts not in ([], ["0"]):
            raise ValueError(
                f"a Cluster has the database 0 alone: leave out what follows the hosts of {scheme}://"
            )
        return "", "0"
    if not 1 <= len(parts) <= 2 or not (parts[1:] or ["0"])[0].isdecimal():
        raise ValueError(
            f"{scheme}:// names the service that the sentinels watch: {scheme}://HOST:PORT,HOST:PORT/SERVICE/0"
        )
    return parts[0], (parts[1:] or ["0"])[0]


def _server_url(
    scheme: str, host: tuple[str, int], database: str, query: str, login: tuple[str | None, str | None]
) -> str:
    name, port = host
    place = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    user, password = (quote(text or "", safe="") for text in login)
    at = f"{user}:{password}@" if any(text is not None for text in login) else ""
    tail = f"?{query}" if query else ""
    return f"{scheme.partition('+')[0]}://{at}{place}/{database}{tail}"


def check_redis_url(url: str) -> str:
    """`url`, if a configuration may hold it. Raises ValueError."""
    if not url:
        return url
    place = parse_redis_url(url)
    if place.topology != "server" and "#" in url:
        raise ValueError("holds a #: leave it out, nothing behind it is sent")
    if split_credentials(url)[2] is not None:
        raise ValueError("holds a password: put it into secrets.yaml (redis: {password: …}) instead")
    if unsafe := unchecked_tls(url):
        raise ValueError(f"{unsafe} leaves it open who answers: name the server's CA in tls_ca instead")
    return url


def unchecked_tls(url: str) -> str:
    """What of the URL's query would have any certificate taken for the server's."""
    for name, value in parse_qsl(urlsplit(url).query):
        unchecked = name == "ssl_cert_reqs" and value.lower() not in ("required", "2")
        if unchecked or (name == "ssl_check_hostname" and value.lower() not in ("true", "1", "yes")):
            return f"{name}={value[:20]}"
    return ""


def is_tls(url: str) -> bool:
    return url.startswith(("rediss://", "rediss+"))


def with_query(url: str, values: dict[str, str]) -> str:
    """`url` with these in its query, before a `#`."""
    address, hash_sign, fragment = url.partition("#")
    joint = "&" if urlsplit(address).query else "?"
    return address + (joint + urlencode(values) if values else "") + hash_sign + fragment


def with_sentinel_login(url: str, username: str | None, password: str | None) -> str:
    """`url` with what the sentinels themselves ask for. Raises ValueError where it has no sentinels."""
    if not _TOPOLOGIES.get(url.partition("://")[0]) == "sentinel":
        raise ValueError(
            "sentinel_username and sentinel_password belong to a redis+sentinel:// url: leave them out"
        )
    return with_secret(with_secret(url, _SENTINEL_USER, username), _SENTINEL_PASSWORD, password)
