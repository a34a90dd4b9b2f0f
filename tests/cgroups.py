"""A control group of the kernel around processes of a test, of cgroup version 1 or 2. Needs root."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import patient

ROOT = Path("/sys/fs/cgroup")
_LIMIT = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}


@contextlib.contextmanager
def control_group(controller: str) -> Iterator[Path]:
    """A new group, without a limit; skips where it cannot be made. At the end who is in it moves out."""
    version_1 = (ROOT / controller).is_dir()
    folder = (ROOT / controller if version_1 else ROOT) / f"streamer-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("needs root that may make control groups")
    try:
        if not (folder / _LIMIT[controller][not version_1]).exists():
            pytest.skip(f"needs root that may make control groups of {controller}")
        yield folder
    finally:
        _remove(folder)


def limit(folder: Path, controller: str, value: int | str) -> None:
    names = [name for name in _LIMIT[controller] if (folder / name).exists()]
    (folder / names[0]).write_text(f"{value}\n")


def take(folder: Path, pid: int) -> None:
    (folder / "cgroup.procs").write_text(f"{pid}\n")


def _remove(folder: Path) -> None:
    deadline_s = time.monotonic() + patient(5)
    while True:
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (folder.parent / "cgroup.procs").write_text(pid)
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
        else:
            return
