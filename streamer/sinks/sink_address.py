"""The address of a sink with its secrets: credentials as a URL holds them, others behind a `#`.

Nothing behind a `#` is ever sent. A whole address never leaves the bus.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipelines.rules import AbsolutePath
from streamer.errors import ConfigError
from streamer.logs import redact
from streamer.sinks.base import SinkError, SinkSettings
from streamer.sources.urls import split_credentials

KEY_PASSWORD, SECRET = "key_password", "secret"


@dataclass(frozen=True)
class SinkAddress:
    """`url` holds no secret and may be shown."""

    url: str
    host: str
    port: int
    hosts: tuple[str, ...]  # all of them, HOST:PORT each; `host` and `port` are the first
    username: str | None
    password: str | None
    key_password: str
    secret: str


def with_secret(address: str, name: str, value: str | None) -> str:
    """`address` with one more secret behind its `#`."""
    if not value:
        return address
    return address + ("&" if "#" in address else "#") + urlencode({name: value})


def parse_address(address: str, ports: dict[str, int], several: bool = False) -> SinkAddress:
    """`ports`: the scheme's usual one, of each that is allowed; `several`: hosts with commas between.

    Raises ConfigError.
    """
    whole, _, fragment = address.partition("#")
    clean, username, password = split_credentials(whole)
    secrets = dict(parse_qsl(fragment))
    hosts = hosts_of(clean, ports)
    if not hosts or (len(hosts) > 1 and not several):
        forms = " or ".join(f"{scheme}://HOST" for scheme in ports)
        raise ConfigError(f"{redact(clean)[:80]}: is no address of this kind of sink: write {forms}")
    own = secrets.get(KEY_PASSWORD, ""), secrets.get(SECRET, "")
    shown = tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)
    return SinkAddress(clean, *hosts[0], shown, username, password, *own)


def hosts_of(clean: str, ports: dict[str, int]) -> list[tuple[str, int]]:
    """(host, port) of each in the URL; none where one of them is none."""
    try:
        parts = urlsplit(clean)
        each = [urlsplit(f"//{place}") for place in parts.netloc.split(",")]
        usual = ports[parts.scheme]  # another scheme is refused, whatever port is given
        hosts = [(place.hostname or "", place.port or usual) for place in each]
    except (ValueError, KeyError):
        return []
    return hosts if all(host for host, _ in hosts) else []


def check_sink_url(url: str, ports: dict[str, int], secrets_of: str, several: bool = False) -> str:
    """`url`, if a configuration may hold it. Raises ValueError."""
    if "#" in url:
        raise ValueError("holds a #: leave it out, nothing behind it is sent")
    if split_credentials(url)[1:] != (None, None):
        raise ValueError(
            "holds a user name or password: put them into secrets.yaml "
            f"(sinks: {{{secrets_of}: {{password: …}}}})"
        )
    try:
        parse_address(url, ports, several)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return url


class NetworkSettings(SinkSettings):
    """Of a sink that is reached over the network. `tls_ca` None: the system's."""

    usual_ports: ClassVar[dict[str, int]]  # by scheme
    several_hosts: ClassVar[bool] = False  # in its URL, with commas between

    url: str = Field(min_length=1, max_length=2048)
    tls_ca: AbsolutePath | None = None
    tls_cert: AbsolutePath | None = None
    tls_key: AbsolutePath | None = None

    @model_validator(mode="after")
    def _key_has_its_certificate(self) -> NetworkSettings:
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key: give tls_cert too, the certificate that it is the key of")
        return self

    @field_validator("url")
    @classmethod
    def _clean(cls, url: str, info: ValidationInfo) -> str:
        return check_sink_url(url, cls.usual_ports, str(info.data.get("name")), cls.several_hosts)

    @property
    def address(self) -> str:
        return self.url

    @property
    def rebuilds(self) -> bool:
        """All these have it: what was sent is sent again."""
        return True

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """(host, port) of each of the other side."""
        return hosts_of(self.address, self.usual_ports)

    def fault(self) -> str:
        """A file of TLS that this process may not read."""
        for path in (self.tls_ca, self.tls_cert, self.tls_key):
            try:
                if path is not None:
                    Path(path).open("rb").close()
            except OSError as error:
                return f"{path}: cannot be read: {error.strerror}: check its path and owner"
        return ""

    def completed(self, address: str, key_password: str | None) -> str:
        return with_secret(address, KEY_PASSWORD, key_password if self.tls_cert is not None else None)

    def tls_context(self, key_password: str) -> ssl.SSLContext:
        """One that checks who answers. Raises SinkError for files that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_cert is not None:
                # An empty password is an answer too: OpenSSL would ask the terminal for it, and wait.
                context.load_cert_chain(self.tls_cert, self.tls_key, password=key_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            text = " ".join(str(error).split())[:120]
            raise SinkError(
                "auth", f"tls_ca, tls_cert or tls_key cannot be used: {text}; mend them"
            ) from None
        return context


def tls_failure(error: OSError, whom: str) -> SinkError | None:
    """What a failed handshake means; None for another error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return SinkError(
            "auth", f"{whom}: its certificate is not trusted: {error.verify_message}; mend it, or tls_ca"
        )
    if isinstance(error, ssl.SSLError):
        reason = str(error.reason or "no TLS").replace("_", " ").lower()
        kind = "alert" in reason
        advice = "mend tls_cert and tls_key" if kind else "check the address, and whether it speaks TLS"
        return SinkError("auth" if kind else "down", f"{whom}: TLS fails: {reason}; {advice}")
    return None
