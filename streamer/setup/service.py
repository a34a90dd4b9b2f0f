"""Putting the daemon under systemd: the units, their user and its folders, from the files in `units/`.

Only these files are written, and each is replaced whole; what a site changes belongs into a drop-in
(`systemctl edit streamer`), which is never touched.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import streamer
from streamer.errors import StorageError, StreamerError
from streamer.ipc.atomic_write import write_atomically

HIDDEN = (
    "/home",
    "/root",
    "/run/user",
    "/tmp",
    "/var/tmp",
)  # from the service, by ProtectHome= and PrivateTmp=
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"  # where redis-server is found
TARGETS = {  # the name in units/ -> the place below the prefix
    "streamer.service": "etc/systemd/system/streamer.service",
    "streamer-site.service": "etc/systemd/system/streamer-site.service",
    "streamer.sysusers": "etc/sysusers.d/streamer.conf",
    "streamer.tmpfiles": "etc/tmpfiles.d/streamer.conf",
}


@dataclass(frozen=True, slots=True)
class UnitFile:
    """One file to write; `changed` says whether it is not there with this text already."""

    target: Path
    text: str

    @property
    def changed(self) -> bool:
        try:
            return self.target.read_text() != self.text
        except FileNotFoundError:
            return True
        except OSError as error:
            raise StorageError(f"{self.target}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation writes, and the commands that it runs then, in order."""

    files: tuple[UnitFile, ...]
    commands: tuple[tuple[str, ...], ...]


def plan(bin_dir: Path, prefix: Path = Path("/"), running: bool | None = None) -> Plan:
    """What installing for the `streamer` command in `bin_dir` means.

    `prefix` other than / fills another root (an image that is being built). `running`: whether systemd is
    this machine's init; None finds out.
    """
    folder = resources.files("streamer.setup") / "units"
    files = []
    for name, place in TARGETS.items():
        text = (folder / name).read_text(encoding="utf-8")
        files.append(
            UnitFile(prefix / place, _with_path(text, bin_dir) if name.endswith(".service") else text)
        )
    here = prefix == Path("/")
    root = () if here else (f"--root={prefix}",)
    commands: list[tuple[str, ...]] = [
        ("systemd-sysusers", *root, "streamer.conf"),
        ("systemd-tmpfiles", *root, "--create", "streamer.conf"),
    ]
    if here and (Path("/run/systemd/system").is_dir() if running is None else running):
        commands.append(("systemctl", "daemon-reload"))
    return Plan(tuple(files), tuple(commands))


def _with_path(unit: str, bin_dir: Path) -> str:
    quoted = str(bin_dir).replace("%", "%%")
    line = f'Environment="PATH={quoted}:{SYSTEM_PATH}"'
    return re.sub(r"^Environment=PATH=.*$", lambda _: line, unit, count=1, flags=re.MULTILINE)


def own_bin_dir() -> Path:
    """The folder of the `streamer` command of this environment. Raises StreamerError where there is none."""
    folder = Path(sys.prefix) / "bin"
    if not (folder / "streamer").exists():
        raise StreamerError(
            f"there is no {folder}/streamer: install the package into this environment with pip"
        )
    return folder


def check_reachable(bin_dir: Path) -> None:
    """Raise StreamerError if the service's user could not run the command in `bin_dir`.

    The unit hides /home, /root and /tmp from the daemon, and its user owns nothing: the command, the
    interpreter and the package must lie where everybody may read.
    """
    places = (bin_dir / "streamer", Path(sys.executable).resolve(), Path(streamer.__file__).resolve())
    for place in places:
        closed = _closed_part(place)
        if closed:
            raise StreamerError(
                f"the service's user cannot reach {place} ({closed}): install into a place of its own, "
                "`python3 -m venv /opt/streamer && /opt/streamer/bin/pip install .`, and run "
                "/opt/streamer/bin/streamer service install"
            )


def _closed_part(place: Path) -> str:
    for hidden in HIDDEN:
        if place.is_relative_to(hidden):
            return f"{hidden} is hidden from it"
    for part in (*reversed(place.parents), place):
        mode = 0o005 if part.is_dir() else 0o004
        if part.stat().st_mode & mode != mode:
            return f"{part} is closed to other users"
    return ""


def install(plan: Plan) -> list[Path]:
    """Write what changed and run the commands; return the files written.

    Raises StorageError when a file cannot be written, StreamerError when a command is missing or fails.
    """
    for command in plan.commands:
        if shutil.which(command[0]) is None:
            raise StreamerError(f"{command[0]} is not here: this system does not run systemd")
    written = [file.target for file in plan.files if file.changed]
    for file in plan.files:
        if file.target in written:
            _write(file)
    for command in plan.commands:
        _run(command)
    return written


def _write(file: UnitFile) -> None:
    try:
        file.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{file.target}: cannot be written: {error.strerror}") from error
    write_atomically(file.target, file.text, 0o644)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise StreamerError(f"`{' '.join(command)}` failed: {reason[-1]}")
