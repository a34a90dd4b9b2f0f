"""Signatures of webhooks, as Standard Webhooks has them (https://www.standardwebhooks.com, spec 1.0.0).

HMAC-SHA256 over `ID.TIMESTAMP.BODY`, in Base64 behind `v1,`. While a secret is replaced there are two, and a
signature by each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from streamer.errors import ConfigError

PREFIX = "whsec_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64


def signing_keys(text: str) -> list[bytes]:
    """The keys in `text`: one secret `whsec_BASE64`, or several with blanks between. Raises ConfigError."""
    return [_key(secret) for secret in text.split()]


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ConfigError(
            f"signing_secret: is no {PREFIX} with {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in Base64: "
            f'make one with: echo "{PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def signature_headers(keys: list[bytes], ident: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers; without a key the two that need none."""
    content = f"{ident}.{at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    headers = {"webhook-id": ident, "webhook-timestamp": str(at_s)}
    if signatures:
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers
