"""What commands of `streamer model` share that look at clips: cameras by name, and progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.camera_picture import open_source
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.models.sample_frames import clip_source
from streamer.sources.base import Source


def opener(store: ConfigStore, stream: int | None = None) -> Callable[[str], Source]:
    """Opens a clip by its path, or a camera by its name; `stream` is that of the clips."""
    cameras = {camera.name: camera for camera in store.load_partly()[0].cameras} if store.exists() else {}

    def open_clip(clip: str) -> Source:
        if clip not in cameras:
            return clip_source(clip, stream)
        refuse_of_camera(clip, stream)
        return open_source(store, cameras[clip])

    return open_clip


def refuse_of_camera(name: str, stream: int | None) -> None:
    """Raises ConfigError: which stream a camera's source is read from stands in its file."""
    if stream is not None:
        raise ConfigError(
            f"--stream is for clips, {name} is a camera: `streamer camera set {name} stream={stream}`"
        )


@contextlib.contextmanager
def steps() -> Iterator[Callable[[str, int | None], Callable[[int], None]]]:
    """A bar for each part of the work; none where nobody looks."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def step(what: str, total: int | None) -> Callable[[int], None]:
            task = bar.add_task(what, total=total)
            return lambda n: bar.advance(task, n)

        yield step
