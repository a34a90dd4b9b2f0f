"""Where a command writes: refused at once where it could not be at the end, or would be over what is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from streamer.errors import ConfigError, StorageError
from streamer.sources.urls import path_of

What = str | Path | None  # a path, a clip's URL or a model; None and what is no file is passed over


def check_outputs(outputs: Iterable[Path | None], read: Iterable[What]) -> None:
    """Raises ConfigError or StorageError for a file that cannot be written, or must not."""
    paths = [path for path in outputs if path is not None]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs have one name: give each its own")
    files = [file for what in read if what is not None for file in _files(what)]
    for path in paths:
        if path.exists() and any(path.samefile(file) for file in files):
            raise ConfigError(f"{path}: is read here, and would be lost: give the output another name")
        if path.is_dir():
            raise StorageError(f"{path}: is a folder: give a file")
        if not path.parent.is_dir():
            raise StorageError(f"{path}: there is no folder {path.parent}: make it first")


def check_folder(folder: Path | None, read: Iterable[What]) -> None:
    """Likewise of a folder of files: it must not be, or lie in, one that is read."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder}: is a file: give a folder")
    for other in (path_of(str(what)) for what in read if what is not None):
        if other.is_dir() and folder.resolve().is_relative_to(other.resolve()):
            raise ConfigError(f"{folder}: lies in {other}, which is read here: give a folder elsewhere")


def _files(what: str | Path) -> list[Path]:
    """The files that are read; of a model its sidecar too."""
    path = path_of(str(what))
    if not path.name:  # "." or "/": a folder
        return []
    return [file for file in (path, path.with_suffix(".yaml")) if file.is_file()]
