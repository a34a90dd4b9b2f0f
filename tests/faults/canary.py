"""A canary for every credential, and where it is looked for: what fault 36 is told by."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import psutil

from tests.daemon import Daemon

# In a form that a URL must encode: both forms are looked for.
CANARY = "c@nary/42"
FORMS = ("c@nary", "c%40nary", "nary/42", "nary%2F42")


def hits(where: str, text: str) -> list[str]:
    return [f"{where}: {form}" for form in FORMS if form in text]


def processes(daemon: Daemon) -> list[psutil.Process]:
    """The supervisor first."""
    assert daemon.process is not None
    root = psutil.Process(daemon.process.pid)
    return [root, *root.children(recursive=True)]


def command_lines(daemon: Daemon) -> str:
    return "\n".join(" ".join(process.cmdline()) for process in processes(daemon))


def environments_of_children(daemon: Daemon) -> str:
    """The supervisor's own is what it was started with, and for its user and root alone to read."""
    return "\n".join(Path(f"/proc/{p.pid}/environ").read_text() for p in processes(daemon)[1:])


def core_limits(daemon: Daemon) -> set[tuple[int, int]]:
    return {resource.prlimit(process.pid, resource.RLIMIT_CORE) for process in processes(daemon)}


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def pair() -> dict[str, str]:
    return {"username": CANARY, "password": CANARY}


def state(status: dict[str, object], name: str) -> object:
    cameras = status["cameras"]
    assert isinstance(cameras, list)
    return next((c["state"] for c in cameras if c["name"] == name), None)
