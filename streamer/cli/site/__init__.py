"""`streamer site …`: a site of many boxes, whose cameras Ray places. Each command is imported when called."""

from __future__ import annotations

import click

from streamer.cli.lazy_group import Entry, LazyGroup

COMMANDS = {
    "init": Entry("streamer.cli.site.membership:init", "Make this box the head of a new site."),
    "invite": Entry("streamer.cli.site.membership:invite", "Write what another box joins with."),
    "join": Entry("streamer.cli.site.membership:join", "Let this box join a site."),
    "leave": Entry("streamer.cli.site.membership:leave", "Take this box out of its site."),
    "agent": Entry("streamer.cli.site.agent:agent", "Run this box's agent in the foreground."),
    "status": Entry("streamer.cli.site.status:status", "Show boxes and cameras, and why a camera waits."),
    "add": Entry("streamer.cli.site.cameras:add", "Add a camera to the site."),
    "remove": Entry("streamer.cli.site.cameras:remove", "Remove a camera from the site."),
    "place": Entry("streamer.cli.site.cameras:place", "Say where a camera may run."),
    "apply": Entry("streamer.cli.site.cameras:apply", "Make the site equal to the files in site.d."),
    "drain": Entry("streamer.cli.site.cameras:drain", "Empty a box, for work on it."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def site() -> None:
    """Several boxes that share their cameras: placed where there is room, taken over when a box dies."""
