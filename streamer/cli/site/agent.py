"""`streamer site agent`: one a box, in the foreground; systemd runs it beside the daemon."""

from __future__ import annotations

import logging
import signal
import threading

import click

from streamer.cli.site.opening import command_line, open_site
from streamer.config.store import ConfigStore


@click.command()
@click.pass_obj
def agent(store: ConfigStore) -> None:
    """Keep this box's Ray running, and its daemon's cameras as the site has placed them.

    It ends at SIGTERM and leaves Ray and the cameras as they are, so that it can be replaced.
    """
    from streamer.site.agent_lock import as_only_agent
    from streamer.site.agent_process import AgentProcess

    logging.getLogger("streamer").setLevel(logging.INFO)
    site = open_site(store)
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    with as_only_agent(site.config.state_path, "one keeps a box"):
        AgentProcess(site, command_line(store, "site", "apply", "--published")).run(stop)
