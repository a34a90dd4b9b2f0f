"""Which way of authentication a camera asks for, where FFmpeg's answer was refused.

FFmpeg knows Basic and, of Digest (RFC 7616), MD5 and MD5-sess (libavformat/httpauth.c); asked for anything
else it sends no credentials at all, and the refusal reads as if they were wrong. Of several Digest headers
it takes the last, and Digest before Basic.
"""

from __future__ import annotations

import re
import socket
import ssl
import time

from streamer.sources.urls import host_and_port, scheme_of

MAX_HEADER_BYTES = 65536  # of an answer's header
KNOWN_ALGORITHMS = ("", "MD5", "MD5-SESS")
_SCHEME = re.compile(r"www-authenticate:\s*([A-Za-z0-9-]+)\s*(.*)", re.IGNORECASE)
_ALGORITHM = re.compile(r'\balgorithm\s*=\s*"?([A-Za-z0-9-]+)', re.IGNORECASE)


def unsupported_auth(url: str, timeout_s: float) -> str:
    """What the camera asks for, where FFmpeg does not know it, such as "Digest SHA-256"; else "".

    `url` holds no credentials, and none are sent: this is no attempt that would lock anybody out.
    """
    try:
        return _unsupported_in(_ask(url, time.monotonic() + timeout_s))
    except (OSError, UnicodeError):
        return ""  # then the refusal itself is all that is known


def _unsupported_in(header: str) -> str:
    """Of the lines of an answer 401."""
    status, *lines = header.split("\r\n")
    if " 401" not in status:
        return ""
    asked = [(m[1].lower(), m[2]) for line in lines if (m := _SCHEME.match(line))]
    digests = [rest for scheme, rest in asked if scheme == "digest"]
    if digests:
        match = _ALGORITHM.search(digests[-1])
        algorithm = match[1] if match else ""
        return "" if algorithm.upper() in KNOWN_ALGORITHMS else f"Digest {algorithm[:40]}"
    if any(scheme == "basic" for scheme, _ in asked):
        return ""
    schemes = {scheme[:40].capitalize() for scheme, _ in asked}
    return "authentication of the kind " + ", ".join(sorted(schemes)) if schemes else ""


def _ask(url: str, end: float) -> str:
    """The head of the answer to a DESCRIBE without credentials. Raise OSError."""
    with socket.create_connection(host_and_port(url), timeout=max(0.05, end - time.monotonic())) as plain:
        if scheme_of(url) == "rtsps":
            with unchecked_tls().wrap_socket(plain, server_hostname=host_and_port(url)[0]) as wrapped:
                return _exchange(wrapped, url, end)
        return _exchange(plain, url, end)


def unchecked_tls() -> ssl.SSLContext:
    """As FFmpeg connects: cameras have certificates of their own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _exchange(connection: socket.socket, url: str, end: float) -> str:
    request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    connection.settimeout(max(0.05, end - time.monotonic()))
    connection.sendall(request.encode("ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < MAX_HEADER_BYTES:
        connection.settimeout(max(0.05, end - time.monotonic()))
        part = connection.recv(4096)
        if not part or time.monotonic() >= end:
            break
        answer += part
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1")
