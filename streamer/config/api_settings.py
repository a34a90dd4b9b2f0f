"""The section `api` of streamer.yaml: whether HTTP is served, where, and under which names."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from pydantic import Field, field_validator, model_validator

from pipelines.rules import AbsolutePath, Strict
from streamer.errors import ConfigError

MAX_SOCKET_PATH = 107  # bytes of a UNIX socket path that the kernel takes
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_FORM = "write 127.0.0.1:8380, [::1]:8380, or the whole path of a UNIX socket, which begins with /"


class Listen(NamedTuple):
    """Where to listen: at `host` and `port` (0: one that is free), or at the UNIX socket `path`."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def local(self) -> bool:
        """Whether nobody outside this machine reaches it."""
        return bool(self.path) or ip_address(self.host).is_loopback

    @property
    def everywhere(self) -> bool:
        """Whether it is at every address of the machine."""
        return not self.path and ip_address(self.host).is_unspecified


def parse_listen(text: str) -> Listen:
    """Raise ValueError, which shows the form."""
    if text.startswith("/"):
        if len(text.encode()) > MAX_SOCKET_PATH:
            raise ValueError(f"a socket's path holds {MAX_SOCKET_PATH} bytes: choose a shorter one")
        return Listen(path=text)
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{text[:64]!r} has no port (1 to 65535): {_FORM}")
    return Listen(str(_address(host)), int(port))


def _address(host: str) -> IPv4Address | IPv6Address:
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else "127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ValueError(f"{host[:64]!r} is no address of this machine: {_FORM}") from error
    if (address.version == 6) != bracketed:
        raise ValueError(f"{host[:64]!r}: {_FORM}")
    return address


class ApiConfig(Strict):
    """`listen` None: nothing is served. `hosts`: the names under which it may be asked, beside the address
    itself and, where it is local, localhost."""

    listen: str | None = Field(default=None, max_length=255)
    hosts: tuple[str, ...] = Field(default=(), max_length=64)
    tls_cert: AbsolutePath | None = None
    tls_key: AbsolutePath | None = None
    behind_proxy: bool = False

    @field_validator("listen")
    @classmethod
    def _can_be_read(cls, text: str | None) -> str | None:
        if text is not None:
            parse_listen(text)
        return text

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _is_host(host):
                raise ValueError(
                    f"{host[:64]!r} is no name or address such as box.example.org: give it without a port"
                )
        return tuple(host.lower() for host in hosts)

    @model_validator(mode="after")
    def _is_safe(self) -> ApiConfig:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both, or neither")
        if self.listen is None:
            return self
        where = parse_listen(self.listen)
        if where.path and self.tls_cert is not None:
            raise ValueError("tls_cert is for a port: a UNIX socket needs none")
        if not (where.local or self.tls_cert or self.behind_proxy):
            raise ValueError(
                f"{self.listen} is reached from other machines, which would send tokens in clear text: set "
                "tls_cert and tls_key, or behind_proxy: true where a proxy before it has TLS"
            )
        if where.everywhere and not self.hosts:
            raise ValueError(
                f"hosts: say under which names {self.listen} is asked, such as [box.example.org]"
            )
        return self

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What may stand in the header Host, without a port."""
        if self.listen is None:
            return frozenset(self.hosts)
        where = parse_listen(self.listen)
        own = LOCAL_NAMES if where.local else () if where.everywhere else (where.host,)
        return frozenset((*self.hosts, *own))


def page_address(settings: ApiConfig) -> str:
    """Where a browser finds the page, without a slash at the end. Raise ConfigError where there is none."""
    if settings.listen is None:
        raise ConfigError("the page is off: set api.listen in streamer.yaml (docs/page.md)")
    where = parse_listen(settings.listen)
    if settings.behind_proxy and settings.hosts:
        return f"https://{settings.hosts[0]}"
    if where.path:
        raise ConfigError(f"api.listen is the UNIX socket {where.path}: a browser needs a port, or a proxy")
    if where.port == 0:
        raise ConfigError("api.listen has port 0, another one at each start: give it one, such as 8380")
    named = where.everywhere or bool(settings.tls_cert and settings.hosts)
    host = settings.hosts[0] if named else where.host
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{shown}:{where.port}"


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
        return True
    except ValueError:
        return len(text) <= 253 and _HOST_NAME.fullmatch(text) is not None
