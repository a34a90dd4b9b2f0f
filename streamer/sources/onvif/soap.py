"""SOAP 1.2 as ONVIF speaks it: the envelope of a request, and what an answer holds.

The password goes as a digest with a nonce and a time alone (OASIS Web Services Security, UsernameToken
Profile 1.1); a camera refuses a time that is not its own, so `clock_ahead_s` is added to ours.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from streamer.sources.onvif.hostile_xml import first, parse, value

NAMESPACES = {
    "tds": "http://www.onvif.org/ver10/device/wsdl",
    "trt": "http://www.onvif.org/ver10/media/wsdl",
    "tr2": "http://www.onvif.org/ver20/media/wsdl",
    "tt": "http://www.onvif.org/ver10/schema",
}
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    + " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    + ">{header}<s:Body>{body}</s:Body></s:Envelope>"
)
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_SECURITY = (
    '<s:Header><w:Security s:mustUnderstand="1" xmlns:w="{wss}-wssecurity-secext-1.0.xsd">'
    "<w:UsernameToken><w:Username>{user}</w:Username>"
    '<w:Password Type="{wss}-username-token-profile-1.0#PasswordDigest">{digest}</w:Password>'
    '<w:Nonce EncodingType="{wss}-soap-message-security-1.0#Base64Binary">{nonce}</w:Nonce>'
    '<u:Created xmlns:u="{wss}-wssecurity-utility-1.0.xsd">{created}</u:Created>'
    "</w:UsernameToken></w:Security></s:Header>"
)


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and password; neither is shown."""

    user: str
    password: str = field(repr=False)


class SoapFault(Exception):
    """Raised where the device refuses. `unauthorized`: for want of a right user and password."""

    def __init__(self, text: str, unauthorized: bool) -> None:
        super().__init__(text)
        self.unauthorized = unauthorized


def envelope(body: str, login: Login | None = None, clock_ahead_s: float = 0.0) -> bytes:
    """The request of `body`, with a UsernameToken where there is a `login`."""
    header = "" if login is None else _security(login, clock_ahead_s)
    return _ENVELOPE.format(header=header, body=body).encode()


def text_of(value: str) -> str:
    """`value` as it stands in XML."""
    return escape(value, {'"': "&quot;"})


def _security(login: Login, clock_ahead_s: float) -> str:
    nonce = secrets.token_bytes(16)
    now = datetime.now(UTC) + timedelta(seconds=clock_ahead_s)
    created = now.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return _SECURITY.format(
        wss=_WSS,
        user=text_of(login.user),
        digest=password_digest(nonce, created, login.password),
        nonce=base64.b64encode(nonce).decode(),
        created=created,
    )


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """Base64(SHA-1(nonce + created + password)), of the UsernameToken Profile."""
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def body_of(raw: bytes) -> Element:
    """The body of an answer. Raise BadXml, or SoapFault."""
    root = parse(raw)
    fault = first(root, "Fault")
    if fault is not None:
        raise _fault(fault)
    body = first(root, "Body")
    return root if body is None else body


def _fault(fault: Element) -> SoapFault:
    codes = [(code.text or "").rpartition(":")[2].strip() for code in fault.iter("Value")]
    reason = value(fault, "Reason", "Text") or value(fault, "faultstring") or ", ".join(codes)
    old = value(fault, "faultcode").rpartition(":")[2]
    refused = {"NotAuthorized", "FailedAuthentication", "InvalidSecurity", "Unauthorized"}
    said = {*codes, old}
    unauthorized = bool(said & refused) or "not authorized" in reason.lower()
    return SoapFault(reason[:120] or "an unnamed fault", unauthorized)
