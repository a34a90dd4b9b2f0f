"""Times as people write them on the command line, and read them there."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click

from streamer.api import moments
from streamer.errors import ConfigError


def unix_s(text: str, zone: ZoneInfo, option: str = "--since") -> int:
    """Unix seconds of 30m, 7d, all (0) or a time. Raise click.BadParameter for anything else."""
    try:
        return moments.unix_s(text, zone)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
