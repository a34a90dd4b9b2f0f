"""`streamer occupancy`: a person says how many are inside, from now on."""

from __future__ import annotations

import getpass
import json
import os

import click

from streamer.api import control_socket as control
from streamer.cli.click_types import WholeCount
from streamer.cli.lenient_config import readable
from streamer.config.store import ConfigStore
from streamer.daemon.occupancy_setting import MAX_COUNT, check_occupancy
from streamer.errors import ConfigError

TIMEOUT_S = 10.0


@click.command()
@click.argument("camera")
@click.argument("occupancy")
@click.argument("count", type=WholeCount(0, MAX_COUNT))
@click.option("--reason", required=True, help="Why: one line, which the event carries.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def occupancy(
    store: ConfigStore, camera: str, occupancy: str, count: int, reason: str, as_json: bool
) -> None:
    """Set OCCUPANCY of CAMERA to COUNT from now on, as an event of its own.

    What was counted stays in the record. Needs the running daemon, which goes on from COUNT. A rule sets
    itself back each day with `reset_at` (docs/analytics.md).
    """
    if not reason.strip():
        raise click.BadParameter("say why in one line: it stands in the event", param_hint="--reason")
    config = readable(store)
    check_occupancy(config.known_camera(camera), occupancy)
    try:
        reason.encode()
    except UnicodeEncodeError as error:
        raise ConfigError("the reason is text in UTF-8: type it anew") from error
    by = os.environ.get("SUDO_USER") or getpass.getuser()
    request = {"camera": camera, "occupancy": occupancy, "count": count, "reason": reason, "by": by}
    made = control.call(config.control_path, "occupancy", request, TIMEOUT_S)
    done = f"{camera}: {occupancy} set to {count}, event {made['seq']}"
    click.echo(json.dumps({**made, **request}) if as_json else done)
