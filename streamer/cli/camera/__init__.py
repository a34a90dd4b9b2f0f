"""`streamer camera`: its table of commands."""

from __future__ import annotations

import click

from streamer.cli.lazy_group import Entry, LazyGroup

CHANGE, SHOW, STREAM, REALIGN, DISCOVER = (
    f"streamer.cli.camera.{module}" for module in ("change", "show", "stream", "realign", "discover")
)
COMMANDS = {
    "list": Entry(f"{SHOW}:list_", "List the cameras, with their states where a daemon runs."),
    "show": Entry(f"{SHOW}:show", "Show all settings of a camera; never its password."),
    "discover": Entry(f"{DISCOVER}:discover_", "Look for ONVIF cameras on the local network."),
    "test": Entry(f"{STREAM}:test", "Open a camera and say what it sends, and what to mend."),
    "snapshot": Entry(f"{STREAM}:snapshot", "Write the camera's next picture to a file."),
    "add": Entry(f"{CHANGE}:add", "Probe a camera and add it: an address, a file, or a scene."),
    "set": Entry(f"{CHANGE}:set_", "Change settings of a camera."),
    "realign": Entry(f"{REALIGN}:realign", "Take lines along to where a moved camera's view lies."),
    "rename": Entry(f"{CHANGE}:rename", "Give a camera another name."),
    "enable": Entry(f"{CHANGE}:enable", "Switch a camera on."),
    "disable": Entry(f"{CHANGE}:disable", "Switch a camera off, and keep its settings and counts."),
    "remove": Entry(f"{CHANGE}:remove", "Remove a camera, its rules and its credentials."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def camera() -> None:
    """Add, look at, test, change and remove cameras."""
