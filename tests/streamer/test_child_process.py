"""Children that end with their parent, and what is said of those that cannot be run."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.daemon import dies_with_parent
from streamer.daemon.child_process import Child
from tests.conftest import REPO
from tests.daemon import Daemon

# Says its own pid, and writes down the signal that ends it.
TELLS = """
import os, pathlib, signal, sys
def told(signum, _frame):
    pathlib.Path(sys.argv[1]).write_text(signal.Signals(signum).name)
    os._exit(0)
signal.signal(signal.SIGTERM, told)
print(os.getpid(), file=sys.stderr, flush=True)
signal.pause()
"""
PARENT = """
import signal, sys
from streamer.daemon.child_process import Child
child = Child("tells", [sys.executable, "-c", sys.argv[1], sys.argv[2]], signal.Signals[sys.argv[3]])
child.wait(60)
"""


def parent_and_child(told: Path, parting: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-c", PARENT, TELLS, str(told), parting]
    parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPO)
    assert parent.stderr is not None
    return parent, int(parent.stderr.readline())


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    assert process.stderr is not None
    process.stderr.close()


@pytest.fixture
def gone() -> Callable[[int], None]:
    return lambda pid: Daemon.wait_until_gone(pid, 20)


def test_a_child_does_not_outlive_a_parent_that_is_killed(
    tmp_path: Path, gone: Callable[[int], None]
) -> None:
    parent, child = parent_and_child(tmp_path / "told", "SIGKILL")
    kill(parent)
    gone(child)
    assert not (tmp_path / "told").exists()


def test_a_child_that_may_finish_is_asked_to_when_its_parent_is_killed(
    tmp_path: Path, gone: Callable[[int], None]
) -> None:
    parent, child = parent_and_child(tmp_path / "told", "SIGTERM")
    kill(parent)
    gone(child)
    assert (tmp_path / "told").read_text() == "SIGTERM"


def test_a_child_whose_parent_died_before_it_could_arrange_for_that_runs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "made"
    another = os.getppid()  # not the parent of what is started here
    command = [sys.executable, "-I", "-S", dies_with_parent.__file__, str(another), "9", "/bin/sh", "-c"]
    assert subprocess.run([*command, f": > {file}"]).returncode == 1
    assert not file.exists()


def test_a_command_that_is_not_there_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    child = Child("redis", ["/nowhere/redis-server"])
    assert child.wait(20)
    assert child.exit_code == dies_with_parent.NOT_RUN
    assert capfd.readouterr().err == "cannot run /nowhere/redis-server: No such file or directory\n"


def test_a_child_has_the_pid_the_group_and_the_signals_of_a_command_that_was_started_plainly() -> None:
    child = Child("sleeps", ["/bin/sleep", "60"])
    status = Path(f"/proc/{child.pid}/status")
    try:
        assert os.getpgid(child.pid) == child.pid
        while "sleep" not in status.read_text():
            os.sched_yield()
        ignored = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn"))
        assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0
    finally:
        child.kill()
        assert child.wait(10)


def test_nothing_runs_between_fork_and_exec_in_a_process_that_has_threads() -> None:
    for path in (REPO / "streamer").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if any(k.arg == "preexec_fn" for k in call.keywords)], path
