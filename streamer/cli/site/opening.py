"""How the commands of `streamer site` open the site of this box, and read LABEL=VALUE."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from streamer.cli.lenient_config import readable
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.site.opened import OpenSite
from streamer.site.site_redis import SiteRedis


def configuration(store: ConfigStore) -> Config:
    """The daemon's; its defaults where there is no streamer.yaml yet."""
    return readable(store) if store.exists() or store.named else Config()


def open_site(store: ConfigStore) -> OpenSite:
    """Raises ConfigError where this box is in no site."""
    return OpenSite(store.folder, configuration(store))


def owners(redis: SiteRedis, cameras: Iterable[str]) -> dict[str, str]:
    """By camera the name of the box that had its last term. Raises RedisError."""
    terms = {camera: redis.last_term(camera) for camera in cameras}
    return {camera: term.name for camera, term in terms.items() if term is not None}


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """LABEL=VALUE as a mapping. Raises ConfigError."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text[:64]!r}: write LABEL=VALUE, as gpu=yes")
        found[name] = value
    return found


def command_line(store: ConfigStore, *arguments: str) -> list[str]:
    """This command again, in a process of its own."""
    return [sys.executable, "-m", "streamer.cli.main", "--config", str(store.folder), *arguments]
