"""The configuration as commands take it that only look: one broken file does not stop them."""

from __future__ import annotations

import click

from streamer.config import Config
from streamer.config_store import ConfigStore


def readable(store: ConfigStore) -> Config:
    """What can be used of the configuration; what is wrong with the rest is said on standard error."""
    config, faults = store.load_readable()
    for fault in faults:
        click.secho(f"warning: {fault}", fg="yellow", err=True)
    return config
