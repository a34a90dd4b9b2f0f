"""The configuration as commands take it that only look: one broken file does not stop them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError


def readable(store: ConfigStore) -> Config:
    """What can be used of the configuration; what is wrong with the rest is said on standard error."""
    config, faults = store.load_readable()
    warn_of(faults)
    return config


def present(store: ConfigStore) -> Config:
    """As readable(), where there must be a configuration. Raises ConfigError."""
    if not store.exists():
        raise store.missing()
    return readable(store)


def warn_of(faults: Iterable[ConfigError | str]) -> None:
    for fault in faults:
        click.secho(f"warning: {fault}", fg="yellow", err=True)
