"""The audits that cameras' files keep, and what is said of them on the command line."""

from __future__ import annotations

from collections.abc import Iterable

import click

from pipelines.count.scene_error import AuditedCount
from streamer.api.counts.audits import audits_that_hold
from streamer.config.schema import Config


def audits_in_use(config: Config, cameras: Iterable[str]) -> dict[str, AuditedCount]:
    """Of those of the cameras that have one that holds; a line on standard error says of each whether."""
    found, lines = audits_that_hold(config, cameras)
    for line in lines:
        click.echo(line, err=True)
    return found
