"""Replacing files whole: all of a set or none, and never half a file, also over a power loss.

It lies here since other processes read what one writes: a file is as it was or as it is to be.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from streamer.errors import StorageError


class Write(NamedTuple):
    """`path` gets `text` with `mode`; text None takes the file away."""

    path: Path
    text: str | None
    mode: int = 0o640


@contextlib.contextmanager
def locked_folder(folder: Path, mode: int) -> Iterator[None]:
    """One change of the files in `folder` at a time, also of two programs at once; it is made where it is not
    there. The folder is locked, since the files in it are replaced, and with a file its lock would go. Raises
    StorageError.
    """
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_atomically(path: Path, text: str, mode: int) -> None:
    """Replace one file. Raises StorageError, which says whether it is as it was."""
    write_together([Write(path, text, mode)])


def write_together(writes: Iterable[Write]) -> None:
    """Replace several files: what can fail (room, rights) is done for all before the first is replaced.

    A file made by root in another user's folder is given to that user, whose daemon must read it.
    Raises StorageError, which says that all are as they were, or which are not.
    """
    all_writes = list(writes)
    ready: dict[Path, Path] = {}
    changed: list[str] = []
    try:
        for write in all_writes:
            if write.text is not None:
                ready[write.path] = _prepare(write.path, write.text, write.mode)
        for path, temporary in ready.items():
            os.replace(temporary, path)
            changed.append(str(path))
        for write in all_writes:
            if write.text is None:
                write.path.unlink(missing_ok=True)
                changed.append(str(write.path))
        for folder in {write.path.parent for write in all_writes}:
            sync_folder(folder)
    except OSError as error:
        place = error.filename or ", ".join(str(write.path) for write in all_writes)
        done = f"only {', '.join(changed)} changed" if changed else "nothing was changed"
        raise StorageError(f"{place}: cannot be written: {error.strerror}; {done}") from error
    finally:
        for temporary in ready.values():
            temporary.unlink(missing_ok=True)


def _prepare(path: Path, text: str, mode: int) -> Path:
    """The text on disk beside `path`, complete, under another name."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return Path(name)


def write_whole(handle: int, data: bytes | bytearray, at: int = 0) -> None:
    """All of `data` at the offset `at`: one write may take only a part. Raises OSError, ENOSPC too."""
    done = 0
    with memoryview(data) as view:
        while done < len(view):
            with view[done:] as rest:
                done += os.pwrite(handle, rest, at + done)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` last over a power loss (fsync(2) on the directory)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name when the block ends well, and goes when not.

    Raises StorageError where it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
