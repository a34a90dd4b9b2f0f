"""`streamer init`: write a commented configuration, and never over one that is there."""

from __future__ import annotations

import os
from importlib import resources

import click

from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import write_atomically

NEXT = """\
next:
  streamer camera add NAME URL     rtsp://…, http://…, rtmp://…, a device, file or folder
  streamer run                     the daemon, here; `streamer service install` puts it under systemd
  streamer token add ME --role admin --link   a link to its page, once api.listen in the file is set"""


@click.command()
@click.pass_obj
def init(store: ConfigStore) -> None:
    """Write a commented streamer.yaml with the defaults, and a folder for the cameras."""
    if os.path.lexists(store.file):
        raise ConfigError(f"{store.file} exists and is left as it is: edit it, or remove it first")
    try:
        store.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        store.cameras_dir.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{store.folder}: cannot be made: {error.strerror}") from error
    write_atomically(store.file, template(), 0o640)
    click.echo(f"wrote {store.file}")
    click.echo(NEXT)


def template() -> str:
    """The file's text: every key with its default, commented out but for the first."""
    return (resources.files("streamer.cli") / "streamer.yaml").read_text(encoding="utf-8")
