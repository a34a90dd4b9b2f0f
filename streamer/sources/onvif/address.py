"""onvif://HOST[:PORT][/PROFILE], onvifs:// over TLS: where a camera is asked, and for which profile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from streamer.errors import ConfigError
from streamer.logs import redact
from streamer.sources.urls import split_credentials

PORTS = {"onvif": 80, "onvifs": 443}
FORM = "onvif://HOST[:PORT][/PROFILE], or onvifs:// where it wants HTTPS"
DEVICE_PATH = "/onvif/device_service"  # ONVIF Core Specification, 5.2.1: of every device
_PARTS = re.compile(
    r"(?i)(onvifs?)://(\[[0-9a-f:.]+(?:%[\w.-]+)?\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?(?:/(.*))?"
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class OnvifAddress:
    """`profile`: its token or name; "" where the choice is ours. `secure`: over TLS. No credentials."""

    host: str  # without brackets; of a link-local one with its interface, fe80::1%eth0
    port: int
    profile: str = ""
    secure: bool = False

    def __str__(self) -> str:
        scheme = "onvifs" if self.secure else "onvif"
        port = "" if self.port == default_port(self) else f":{self.port}"
        profile = f"/{quote(self.profile, safe='')}" if self.profile else ""
        return f"{scheme}://{self.bracketed}{port}{profile}"

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def default_port(at: OnvifAddress) -> int:
    """Of its scheme."""
    return PORTS["onvifs" if at.secure else "onvif"]


def stand_in(at: OnvifAddress, ca: object) -> str:
    """An address as the device's stream may have it, by which the rest of a camera's settings is judged."""
    return f"{'rtsps' if ca else 'rtsp'}://{at.bracketed}/"


def is_onvif(url: str) -> bool:
    """Whether `url` names a device to ask, rather than a stream."""
    return url.strip().lower().startswith(tuple(f"{scheme}:" for scheme in PORTS))


def read_address(url: str) -> OnvifAddress:
    """What `url` says, without its credentials. Raise ConfigError."""
    clean = split_credentials(url.strip())[0]
    match = _PARTS.fullmatch(clean)
    scheme = match[1].lower() if match else ""
    port = int(match[3] or PORTS[scheme]) if match else 0
    if match is None or not 0 < port < 65536 or _UNPRINTABLE.search(unquote(clean)):
        raise ConfigError(f"{redact(url)}: a camera is asked by ONVIF at {FORM}")
    path = match[4] or ""
    profile = "" if f"/{path}" == DEVICE_PATH else unquote(path)
    return OnvifAddress(match[2].strip("[]"), port, profile, scheme == "onvifs")
