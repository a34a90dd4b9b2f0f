"""How a camera's certificate is checked, by what `source.ca` says.

`system`: by the authorities that this machine trusts. A path: by the authorities in that PEM file alone, or
by the camera's own certificate in it. `any`: not at all, since cameras have certificates of their own making;
whoever stands between then reads and writes along. Empty: as the kind of source has it (Scheme.ca).
"""

from __future__ import annotations

import ssl
from pathlib import Path

from streamer.errors import PortClosed, SourceError

ANY = "any"
SYSTEM = "system"


class CertificateRefused(SourceError):
    """Raised when a camera's certificate is not one that is trusted, or is not this host's."""


def tls_context(ca: str, shown: str) -> ssl.SSLContext:
    """Raise SourceError where the file of authorities cannot be used: without it nothing is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca == ANY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca == SYSTEM:
        context.load_default_certs()
        return context
    _trust(context, Path(ca), shown)
    return context


def _trust(context: ssl.SSLContext, path: Path, shown: str) -> None:
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the camera's own certificate is enough
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise SourceError(f"{shown}: source.ca: {path} holds no certificate in PEM form") from None
    except OSError as error:
        raise SourceError(f"{shown}: source.ca: {path} cannot be read ({error.strerror})") from None


def refused(error: ssl.SSLCertVerificationError, shown: str) -> CertificateRefused:
    """What it means for who owns the camera."""
    why = error.verify_message or "not verified"
    return CertificateRefused(
        f"{shown}: the certificate is not trusted ({why}): name its authority's PEM file, or its own "
        "certificate, in source.ca or by --ca (any goes without a check)"
    )


def no_tls(error: ssl.SSLError, shown: str) -> PortClosed:
    """What answers shakes no hands."""
    why = error.reason or "broken off"
    return PortClosed(f"{shown}: no TLS on this port ({why}): check scheme and port")
