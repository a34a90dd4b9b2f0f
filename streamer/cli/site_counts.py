"""What `streamer counts --site` sums: each camera of a site as all its boxes together counted it."""

from __future__ import annotations

from contextlib import closing

import click

from streamer.api.counts.query import CountQuery
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import NS_PER_S, S_PER_MINUTE, Count
from streamer.ledger.quarters import QUARTER_NS
from streamer.sinks.redis_connection import connect, failures_for_people
from streamer.site.keys import REDIS
from streamer.site.merge import Merged
from streamer.site.settings import SiteFolder
from streamer.site.site_counts import camera_counts
from streamer.site.terms import cameras_of

MIN_SHOWN_S = 0.5  # of time that nobody confirmed


def counts_of_site(
    store: ConfigStore, config: Config, name: str, query: CountQuery
) -> tuple[list[Count], list[Coverage]]:
    """What the cameras of the site `name` ("": this box's) counted, and what was seen. What a person should
    know of it is said on standard error. Raises ConfigError, RedisError, StorageError."""
    site, url = _site_redis(store, config, name)
    with failures_for_people():
        redis = connect(url)
    counts: list[Count] = []
    buckets: list[Coverage] = []
    with closing(redis):
        for camera in _wanted(cameras_of(redis, site), query, site):
            found = camera_counts(redis, site, camera, query.since_s * NS_PER_S, _piece_ns(query))
            _say(camera, found)
            counts += found.counts
            buckets += found.buckets
    return counts, buckets


def _site_redis(store: ConfigStore, config: Config, name: str) -> tuple[str, str]:
    """(name of the site, URL of its Redis): this box's site, or where it is in none, its first Redis."""
    folder = SiteFolder(store.folder)
    if folder.exists() and name in ("", folder.settings().site):
        return folder.settings().site, folder.key(REDIS)
    if not name:
        raise ConfigError("this box is in no site: name one, as `streamer counts --site NAME`")
    sinks = [sink for sink in config.redis_sinks if sink.address]
    if not sinks:
        raise ConfigError(
            f"no Redis of site {name[:64]} is known here: add a sink of kind redis with its url"
        )
    return name, SecretStore(store).sink_address(sinks[0]).reveal()


def _wanted(cameras: list[str], query: CountQuery, site: str) -> list[str]:
    if not cameras:
        raise ConfigError(f"its Redis knows no camera of site {site[:64]!r}: check the name")
    unknown = sorted((query.cameras or frozenset()).difference(cameras))
    if unknown:
        raise ConfigError(f"site {site} has no camera {unknown[0][:64]!r}; known: {', '.join(cameras)}")
    return [camera for camera in cameras if query.cameras is None or camera in query.cameras]


def _piece_ns(query: CountQuery) -> int:
    """No row's period begins within a piece of so long."""
    return S_PER_MINUTE * NS_PER_S if "minute" in query.columns else QUARTER_NS


def _say(camera: str, found: Merged) -> None:
    if found.refused:
        text = "were counted by a box while another owned the camera, and are not in it"
        click.echo(f"{camera}: {found.refused} {text}", err=True)
    if not (found.counts or found.buckets or found.refused):
        text = "has come to the site's Redis in this time: does each box's daemon have it as a sink?"
        click.echo(f"{camera}: nothing of it {text}", err=True)
    if found.unowned_s >= MIN_SHOWN_S:
        text = "of it by a box that nobody confirmed any more, and that nobody took over from"
        click.echo(f"{camera}: {found.unowned_s:.0f} s {text}", err=True)
