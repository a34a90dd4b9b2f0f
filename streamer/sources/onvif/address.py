"""onvif://HOST[:PORT][/PROFILE]: where a camera is asked, and for which of its profiles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from streamer.errors import ConfigError
from streamer.logs import redact
from streamer.sources.urls import split_credentials

SCHEME = "onvif"
FORM = "onvif://HOST[:PORT][/PROFILE]"
PORT = 80
DEVICE_PATH = "/onvif/device_service"  # ONVIF Core Specification, 5.2.1: of every device
_PARTS = re.compile(r"(?i)onvif://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?(?:/(.*))?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class OnvifAddress:
    """`profile`: its token or name; "" where the choice is ours. No credentials."""

    host: str  # without brackets
    port: int = PORT
    profile: str = ""

    def __str__(self) -> str:
        port = "" if self.port == PORT else f":{self.port}"
        profile = f"/{quote(self.profile, safe='')}" if self.profile else ""
        return f"{SCHEME}://{self.bracketed}{port}{profile}"

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def is_onvif(url: str) -> bool:
    """Whether `url` names a device to ask, rather than a stream."""
    return url.strip().lower().startswith(f"{SCHEME}:")


def read_address(url: str) -> OnvifAddress:
    """What `url` says, without its credentials. Raise ConfigError."""
    clean = split_credentials(url.strip())[0]
    match = _PARTS.fullmatch(clean)
    port = int(match[2] or PORT) if match else 0
    if match is None or not 0 < port < 65536 or _UNPRINTABLE.search(unquote(clean)):
        raise ConfigError(f"{redact(url)}: a camera is asked by ONVIF at {FORM}")
    path = match[3] or ""
    return OnvifAddress(match[1].strip("[]"), port, "" if f"/{path}" == DEVICE_PATH else unquote(path))
