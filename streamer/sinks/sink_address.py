"""The address of a sink with its secrets: credentials as a URL holds them, others behind a `#`.

Nothing behind a `#` is ever sent. A whole address never leaves the bus.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import model_validator

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
    username: str | None
    password: str | None
    key_password: str
    secret: str


def with_secret(address: str, name: str, value: str | None) -> str:
    """`address` with one more secret behind its `#`."""
    if not value:
        return address
    return address + ("&" if "#" in address else "#") + urlencode({name: value})


def parse_address(address: str, ports: dict[str, int]) -> SinkAddress:
    """`ports`: the scheme's usual one, of each that is allowed. Raises ConfigError."""
    whole, _, fragment = address.partition("#")
    clean, username, password = split_credentials(whole)
    secrets = dict(parse_qsl(fragment))
    try:
        parts = urlsplit(clean)
        port = parts.port or ports[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname:
        forms = " or ".join(f"{scheme}://HOST" for scheme in ports)
        raise ConfigError(f"{redact(clean)[:80]}: is no address of this kind of sink: write {forms}")
    own = secrets.get(KEY_PASSWORD, ""), secrets.get(SECRET, "")
    return SinkAddress(clean, parts.hostname, port, username, password, *own)


def check_sink_url(url: str, ports: dict[str, int], secrets_of: str) -> str:
    """`url`, if a configuration may hold it. Raises ValueError."""
    if "#" in url:
        raise ValueError("holds a #: leave it out, nothing behind it is sent")
    if split_credentials(url)[1:] != (None, None):
        raise ValueError(
            "holds a user name or password: put them into secrets.yaml "
            f"(sinks: {{{secrets_of}: {{password: …}}}})"
        )
    try:
        parse_address(url, ports)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return url


class TlsSettings(SinkSettings):
    """Of a sink that is reached over the network. `tls_ca` None: the system's."""

    tls_ca: AbsolutePath | None = None
    tls_cert: AbsolutePath | None = None
    tls_key: AbsolutePath | None = None

    @model_validator(mode="after")
    def _key_has_its_certificate(self) -> TlsSettings:
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key: give tls_cert too, the certificate that it is the key of")
        return self

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
