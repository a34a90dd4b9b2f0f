"""One child process: start, ask to stop, kill. It never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from streamer.daemon.confinement import without_secrets
from streamer.errors import CapacityError

# One heap for all camera threads: with glibc's default each thread keeps megabytes of its own.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
_DIES_WITH_PARENT = str(Path(__file__).with_name("dies_with_parent.py"))


def worker_command(
    program: str, name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path, beat: int
) -> list[str]:
    """The command line of the Python worker that `program` ("module:function") makes. No secret is ever part
    of it."""
    paths = [str(runtime_dir), str(state_dir), str(shared_dir)]
    return [sys.executable, "-m", "streamer.workers.main", program, name, *paths, str(beat)]


class Child:
    """A started process, with what a person may ask about it."""

    def __init__(self, name: str, command: Sequence[str], parting: signal.Signals = signal.SIGKILL) -> None:
        """Start it; `parting` is what it gets when this process, or the thread that calls this, dies first.

        Raises CapacityError when the system gives no process or descriptor for it.
        """
        self.name = name
        self.started_mono_s = time.monotonic()
        arranged = [sys.executable, "-I", "-S", _DIES_WITH_PARENT, str(os.getpid()), str(int(parting))]
        try:
            self._popen = subprocess.Popen(
                [*arranged, *command],
                stdin=subprocess.DEVNULL,
                stdout=2,  # a child that talks talks to our log
                env={**without_secrets(os.environ), **ENVIRONMENT},
                process_group=0,  # a Ctrl-C at the terminal is the supervisor's to handle
            )
        except OSError as error:
            raise CapacityError(f"cannot start {name}: {error.strerror}") from error
        self.pid = self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def terminate(self) -> None:
        if self.exit_code is None:
            self._popen.terminate()

    def kill(self) -> None:
        if self.exit_code is None:
            self._popen.kill()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it has ended within the time."""
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def describe_exit(code: int) -> str:
    """An exit code as a person would say it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
