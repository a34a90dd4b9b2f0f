"""The answer to an HTTP Digest challenge (RFC 7616), MD5 or SHA-256, with qop=auth or none."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping

from streamer.sources.onvif.soap import Login

_FIELD = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_KNOWN = {"MD5": "md5", "SHA-256": "sha256"}


def digest_challenge(headers: Iterable[str]) -> dict[str, str] | None:
    """The fields of the first WWW-Authenticate header that asks for a Digest known here; None: there is none.

    Basic is never answered: it would hand the password to whoever listens.
    """
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        fields = {match[1].lower(): match[2] or match[3] or "" for match in _FIELD.finditer(rest)}
        offered = [word.strip() for word in fields.get("qop", "auth").split(",")]
        known = fields.get("algorithm", "MD5").upper() in _KNOWN and "auth" in offered
        if scheme.lower() == "digest" and known and "nonce" in fields:
            return fields
    return None


def authorization(challenge: Mapping[str, str], login: Login, path: str, count: int) -> str:
    """The header Authorization of a POST to `path` that answers `challenge` for the `count`-th time."""
    user, password = login.user, login.password
    algorithm = challenge.get("algorithm", "MD5").upper()
    realm, nonce, cnonce = challenge.get("realm", ""), challenge["nonce"], secrets.token_hex(16)
    inner, outer = _hashed(algorithm, f"{user}:{realm}:{password}"), _hashed(algorithm, f"POST:{path}")
    counted = "qop" in challenge
    middle = f"{nonce}:{count:08x}:{cnonce}:auth" if counted else nonce
    fields = {
        "username": user.replace("\\", "\\\\").replace('"', '\\"'),
        "realm": realm,
        "nonce": nonce,
        "uri": path,
        "response": _hashed(algorithm, f"{inner}:{middle}:{outer}"),
    }
    if "opaque" in challenge:
        fields["opaque"] = challenge["opaque"]
    text = ", ".join(f'{key}="{text}"' for key, text in fields.items()) + f", algorithm={algorithm}"
    text += f', qop=auth, nc={count:08x}, cnonce="{cnonce}"' if counted else ""
    return f"Digest {text}".encode().decode(
        "latin-1"
    )  # a name goes as UTF-8, and headers are sent as Latin-1


def _hashed(algorithm: str, text: str) -> str:
    return hashlib.new(_KNOWN[algorithm], text.encode(), usedforsecurity=False).hexdigest()
