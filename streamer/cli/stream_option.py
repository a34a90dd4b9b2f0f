"""`--stream N` of the commands that read clips, and the line that says which of several videos is read."""

from __future__ import annotations

import click

from streamer.sources.base import SourceInfo
from streamer.sources.choosing import told

stream_option = click.option(
    "--stream",
    type=click.IntRange(0),
    metavar="N",
    help="Which stream of a clip with several videos, as ffprobe counts.  [default: as FFmpeg chooses]",
)


def say_which(clip: str, info: SourceInfo) -> None:
    """On standard error, where there are several."""
    which = told(info.stream, info.videos)
    if which:
        click.secho(f"note: {clip}: {which}; --stream N takes another", fg="yellow", err=True)
