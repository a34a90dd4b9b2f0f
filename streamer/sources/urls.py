"""URLs of sources: what is allowed, where their credentials are, and how to print one without them.

A person types `rtsp://admin:p@ss:w/rd@10.0.0.7/live` and means it, though RFC 3986 asks for percent
encoding; split_credentials() copes with the raw form and with the encoded one. What cannot be told apart
(a password of digits followed by a raw `/`) is read as the RFC reads it: the user name and the password
may always be given apart from the URL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from streamer.errors import ConfigError
from streamer.ipc.choices import Transport
from streamer.logs import URL_START, redact
from streamer.sources import SOURCES, Scheme


def _listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


ALLOWED = f"allowed are {_listed([scheme.form for scheme in SOURCES.values()])}"
# FFmpeg keeps user:password, still percent-encoded, in a buffer of 128 bytes and cuts what is longer.
MAX_CREDENTIALS_BYTES = 127

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_DEVICE = re.compile(r"/dev/(video|v4l/)")
_IPV6 = r"\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]"  # %eth0: of which interface a link-local one is
_HOST = rf"(?:{_IPV6}|[^\s/?#@:\[\]]+)(?::\d{{1,5}})?"
_HOST_ONLY = re.compile(_HOST)
# A host that nobody takes for a part of a path: an address, a dotted name, localhost, or with a port.
_SURE_HOST = re.compile(
    rf"(?:{_IPV6}|localhost|[\w-]+(?:\.[\w-]+)+|[\w.-]+(?=:\d))(?::\d{{1,5}})?(?=[/?#]|$)"
)
_UNSENDABLE = re.compile(r"""[^\x21-\x7e]|["<>\\`]|%(?![0-9A-Fa-f]{2})""")
_SAFE = "!$&'()*+,;=-._~"  # sub-delims and unreserved of RFC 3986: need no encoding, which saves room


def scheme_of(url: str) -> str:
    """The lower-case scheme; "file" also for a bare path."""
    if _DEVICE.match(url):
        return "v4l2"
    if url.startswith(("/", "./", "../", "~")):
        return "file"
    match = _SCHEME.match(url)
    return match.group().lower() if match else "file"


def lookup_scheme(url: str) -> Scheme:
    """The entry of SOURCES for `url`. Raise ConfigError where there is none."""
    scheme = scheme_of(url)
    if scheme in ("onvif", "onvifs"):
        raise ConfigError(
            f"{redact(url)}: a camera keeps its rtsp:// address, for which `streamer camera add` and "
            "`camera test` ask an onvif:// one"
        )
    if scheme not in SOURCES:
        raise ConfigError(f"{redact(url)}: sources of scheme '{scheme}:' are not supported; {ALLOWED}")
    return SOURCES[scheme]


def is_generated(url: str) -> bool:
    """Whether `url` names a scene that is made here, such as synthetic:street."""
    scheme = SOURCES.get(scheme_of(url))
    return scheme is not None and scheme.generated


def _authority_end(rest: str) -> int:
    return min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))


def _userinfo_end(rest: str) -> int:
    """The position of the `@` that ends the credentials in `rest` (a URL after `://`), or -1."""
    end = _authority_end(rest)
    at = rest.rfind("@", 0, end)
    later = [i for i in range(end, len(rest)) if rest[i] == "@" and _SURE_HOST.match(rest, i + 1)]
    if at >= 0 and _HOST_ONLY.fullmatch(rest, at + 1, end):
        # user:p@a/b@10.0.0.7/live: the last @ of the path that a host surely follows. A query is left alone.
        query = min((i for i in (rest.find(c, end) for c in "?#") if i >= 0), default=len(rest))
        return max([at, *(i for i in later if i < query)])
    if _HOST_ONLY.fullmatch(rest, 0, end):
        return -1  # host or host:port, so there are no credentials
    return later[-1] if later else rest.rfind("@")


def split_credentials(url: str) -> tuple[str, str | None, str | None]:
    """(URL without credentials, user or None, password or None); both percent-decoded.

    Raw `@ : / ? # %` in a password are understood as far as they can be told from the rest.
    """
    start = URL_START.match(url)
    if start is None:
        return url, None, None
    rest = url[start.end() :]
    at = _userinfo_end(rest)
    if at < 0:
        return url, None, None
    user, colon, password = rest[:at].partition(":")
    clean = start.group() + rest[at + 1 :]
    return clean, unquote(user) or None, unquote(password) if colon else None


def join_credentials(
    url: str, user: str | None, password: str | None, max_bytes: int = MAX_CREDENTIALS_BYTES
) -> str:
    """`url` with `user` and `password` percent-encoded into it, in place of any it has.

    With both None the URL comes back without credentials. Raise ConfigError if they cannot be sent.
    """
    clean, _, _ = split_credentials(url)
    if user is None and password is None:
        return clean
    start = URL_START.match(clean)
    scheme = SOURCES.get(scheme_of(clean))
    if start is None or (scheme is not None and not scheme.credentials):
        able = _listed([f"{name}://" for name, scheme in SOURCES.items() if scheme.credentials])
        raise ConfigError(f"user and password belong to {able} URLs only: leave them out")
    if ":" in (user or ""):
        raise ConfigError("a user name cannot contain ':' (RFC 7617): check the user name")
    userinfo = quote(user or "", safe=_SAFE) + ":" + quote(password or "", safe=_SAFE)
    if len(userinfo) > max_bytes:
        raise ConfigError(
            f"user name and password take {len(userinfo)} bytes when percent-encoded, at most "
            f"{max_bytes} can be sent: choose a shorter password"
        )
    return start.group() + userinfo + "@" + clean[start.end() :]


def may_log_in(url: str) -> bool:
    """Whether a user name and a password can belong to the source at `url`."""
    scheme = SOURCES.get(scheme_of(url))
    return scheme is not None and scheme.credentials


def check_source_url(url: str) -> str:
    """`url` without surrounding blanks, if a source can be made of it. Raise ConfigError otherwise."""
    url = url.strip()
    if not url:
        raise ConfigError(f"the source URL is empty: {ALLOWED}")
    if any(ord(c) < 32 or ord(c) == 127 for c in url):
        raise ConfigError("the source URL contains a control character or line break: type it again")
    if lookup_scheme(url).network:
        _check_network_url(url, scheme_of(url))
    elif (
        lookup_scheme(url).local
        and (match := _SCHEME.match(url))
        and not url[match.end() :].startswith(":///")
    ):
        name = match.group()
        raise ConfigError(f"{redact(url)}: a {name} URL is {name}:/// and an absolute path; {ALLOWED}")
    elif scheme_of(url) == "v4l2" and not re.fullmatch(r"(v4l2:)?/dev/[^\s?#]+", url, re.IGNORECASE):
        raise ConfigError(f"{redact(url)}: a camera of this box is v4l2:/dev/ and the device; {ALLOWED}")
    return url


def _check_network_url(url: str, scheme: str) -> None:
    clean, _, _ = split_credentials(url)
    start = URL_START.match(clean)
    if start is None:
        raise ConfigError(f"{redact(url)}: after '{scheme}:' comes '//' and the host; {ALLOWED}")
    rest = clean[start.end() :]
    authority = rest[: _authority_end(rest)]
    if not _HOST_ONLY.fullmatch(authority):
        raise ConfigError(f"{redact(url)}: no host, or no valid port, after '{scheme}://'; {ALLOWED}")
    _, port = host_and_port(clean)
    if not 0 < port < 65536:
        raise ConfigError(f"{redact(url)}: port {port} does not exist, ports are 1 to 65535")


def check_choice(url: str, stream: int | None, transport: Transport, ca: str = "") -> None:
    """Raise ConfigError where the source cannot have such a stream, transport or authority."""
    name, scheme = scheme_of(url), lookup_scheme(url)
    if stream is not None and name == "v4l2":
        raise ConfigError(f"{url}: a device has no streams to choose from: leave stream out")
    if stream is not None and scheme.generated:
        raise ConfigError(f"{url}: a {name} scene has no streams to choose from: leave stream out")
    if transport == "udp" and scheme.network and not scheme.udp:
        able = _listed([f"{name}://" for name, scheme in SOURCES.items() if scheme.udp])
        raise ConfigError(f"{name} goes over TCP alone: leave transport out, or use {able}")
    if ca and not scheme.ca:
        able = _listed([f"{name}://" for name, scheme in SOURCES.items() if scheme.ca])
        raise ConfigError(f"{name} has no certificate to check: leave ca out, or use {able}")
    check_ca(ca)


def check_ca(ca: str) -> None:
    """Raise ConfigError for what names nobody who could vouch for a certificate (tls.py)."""
    if ca and ca not in ("any", "system") and not ca.startswith("/"):
        raise ConfigError(f"ca is 'any', 'system' or the whole path of a PEM file, not {ca[:64]!r}")


def sendable(url: str) -> str:
    """A network URL as it stands in a request: blanks and what else ends or breaks its line percent-encoded.

    What is percent-encoded already stays as it is, and so does what cameras are known to take raw.
    """
    start = URL_START.match(url)
    at = start.end() if start else 0
    at += _authority_end(url[at:])
    return url[:at] + _UNSENDABLE.sub(lambda match: quote(match.group(), safe=""), url[at:])


def target_of(url: str) -> str:
    """The path and query of a network URL, as a request names them; "/" where there is none."""
    start = URL_START.match(url)
    rest = url[start.end() if start else 0 :].partition("#")[0]
    target = rest[_authority_end(rest) :]
    return target if target.startswith("/") else f"/{target}"


def host_and_port(url: str) -> tuple[str, int]:
    """The host (without brackets) and port of a network URL; its scheme's port where none is given."""
    clean, _, _ = split_credentials(url)
    start = URL_START.match(clean)
    if start is None:
        raise ConfigError(f"{redact(url)}: not a URL with a host")
    rest = clean[start.end() :]
    authority = rest[: _authority_end(rest)]
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", authority)
    if match is None:
        raise ConfigError(f"{redact(url)}: no host, or no valid port")
    return match.group(1).strip("[]"), int(match.group(2) or lookup_scheme(url).port)


def with_host(url: str, address: str) -> str:
    """The network URL `url`, with its credentials and port, at `address` (an IPv6 one without brackets)."""
    clean, user, password = split_credentials(url)
    start = URL_START.match(clean)
    assert start is not None, "a network URL"
    rest = clean[start.end() :]
    end = _authority_end(rest)
    port = re.search(r":\d+$", re.sub(r"^\[[^\]]*\]", "", rest[:end]))
    host = f"[{address}]" if ":" in address else address
    moved = start.group() + host + (port.group() if port else "") + rest[end:]
    return join_credentials(moved, user, password)


def rtsp_at(url: str, host: str, port: int) -> str:
    """The network URL `url`, with its credentials and path, as rtsp:// at another host and port."""
    clean, user, password = split_credentials(url)
    start = URL_START.match(clean)
    assert start is not None, "a network URL"
    rest = clean[start.end() :]
    bracketed = f"[{host}]" if ":" in host else host
    return join_credentials(f"rtsp://{bracketed}:{port}{rest[_authority_end(rest) :]}", user, password)


def path_of(url: str) -> Path:
    """The path that a file URL or a bare path means."""
    match = re.match(r"(file|folder)://(?=/)", url)
    return Path(unquote(url[match.end() :]) if match else url).expanduser()
