"""What commands of `streamer model` share that look at clips: cameras by name, and progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.daemon import open_source
from streamer.config.store import ConfigStore
from streamer.models.sample_frames import clip_source
from streamer.sources.base import Source


def opener(store: ConfigStore) -> Callable[[str], Source]:
    """Opens a clip by its path, or a camera by its name."""
    cameras = {camera.name: camera for camera in store.load_partly()[0].cameras} if store.exists() else {}

    def open_clip(clip: str) -> Source:
        return open_source(store, cameras[clip]) if clip in cameras else clip_source(clip)

    return open_clip


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
