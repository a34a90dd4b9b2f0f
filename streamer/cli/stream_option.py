"""`--stream N` of the commands that read clips, and what is said of the clip: the stream, a missing end."""

from __future__ import annotations

import click

from streamer.sources.base import SourceInfo
from streamer.sources.stream_selection import selection_note

stream_option = click.option(
    "--stream",
    type=click.IntRange(0),
    metavar="N",
    help="Which stream of a clip with several videos, as ffprobe counts.  [default: as FFmpeg chooses]",
)


MISSING = 0.1  # of the time that a clip says it lasts


def say_if_short(clip: str, info: SourceInfo, covered_s: float) -> None:
    """Where a clip states its length but not its number of pictures, by which a truncated one is refused."""
    stated_s = info.duration_s
    if info.frames is None and stated_s is not None and covered_s < (1 - MISSING) * stated_s:
        click.secho(
            f"note: {clip} says that it lasts {stated_s:.1f} s, and its pictures cover {covered_s:.1f} s: "
            "it may be cut short",
            fg="yellow",
            err=True,
        )


def say_which(clip: str, info: SourceInfo) -> None:
    """On standard error, where there are several."""
    which = selection_note(info.stream, info.videos)
    if which:
        click.secho(f"note: {clip}: {which}; --stream N takes another", fg="yellow", err=True)
