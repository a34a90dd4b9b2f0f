"""`streamer service`: run the daemon under systemd."""

from __future__ import annotations

import os
from pathlib import Path

import click

from streamer.errors import StreamerError
from streamer.setup import service as installing

NEXT = """\
next:
  streamer init                        write /etc/streamer/streamer.yaml, if you have none
  systemctl enable --now streamer      start it, now and at every boot
  systemctl status streamer            and see it; journalctl -u streamer shows its log
  adduser NAME streamer                who may use `streamer camera add` and read the events without sudo"""


@click.group()
def service() -> None:
    """Run the daemon as a systemd service."""


@service.command()
@click.option(
    "--prefix",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/"),
    help="Install into this root instead of /, for an image that is being built.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be written and run; change nothing.")
def install(prefix: Path, dry_run: bool) -> None:
    """Write the units, make their user and folders, and say what to do next.

    The service runs the `streamer` of the environment this command belongs to. It is not started or enabled;
    streamer-site, the agent of a site, is one for boxes that are in a site.
    """
    prefix = prefix.absolute()
    bin_dir = installing.own_bin_dir()
    wanted = installing.plan(bin_dir, prefix)
    if dry_run:
        _show(wanted)
        return
    if os.geteuid() != 0:
        raise StreamerError("only root may install a service: use sudo, or --dry-run to see what it would do")
    installing.check_reachable(bin_dir)
    written = installing.install(wanted)
    for file in wanted.files:
        click.echo(f"{'wrote' if file.target in written else 'unchanged'}  {file.target}")
    for command in wanted.commands:
        click.echo(f"ran        {' '.join(command)}")
    click.echo(NEXT)


def _show(wanted: installing.Plan) -> None:
    for file in wanted.files:
        click.echo(f"# would {'write' if file.changed else 'leave unchanged'} {file.target}")
        click.echo(file.text)
    for command in wanted.commands:
        click.echo(f"# would run {' '.join(command)}")
