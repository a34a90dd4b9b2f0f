"""The scripts of a fresh machine: which Python is taken, and what is named as missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = ("sh", "dirname", "id", "cat", "python3")  # all that the checks themselves use


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the bare tools: no redis-server, no ffmpeg, no apt-get, no sudo."""
    for tool in TOOLS:
        found = sys.executable if tool == "python3" else shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    return tmp_path


def call(repo: Path, path: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), **environ}
    return subprocess.run(
        [repo / command[0], *command[1:]], env=env, capture_output=True, text=True, check=False
    )


def test_nothing_is_missing_where_the_tests_can_run(repo: Path, redis_binary: str, rtsp_python: str) -> None:
    del redis_binary, rtsp_python
    done = call(repo, Path(os.environ["PATH"]), "deploy/setup.sh", "--tests", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_program_is_named_with_the_package_and_the_command(repo: Path, bare_path: Path) -> None:
    done = call(repo, bare_path, "deploy/setup.sh", "--check")
    assert done.returncode == 1
    assert "redis-server" in done.stderr
    assert "sudo apt-get install" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_it_may_not_install_it_goes_on_without_redis_and_says_so(repo: Path, bare_path: Path) -> None:
    done = call(repo, bare_path, "deploy/setup.sh")
    assert done.returncode == 0
    assert "warning: missing on this system: redis-server" in done.stderr


def test_the_parts_of_the_tests_are_named_only_when_asked_for(repo: Path, bare_path: Path) -> None:
    assert "ffmpeg" not in call(repo, bare_path, "deploy/setup.sh", "--check").stderr
    assert "ffmpeg" in call(repo, bare_path, "deploy/setup.sh", "--tests", "--check").stderr


def old_python(folder: Path) -> None:
    """A python3 that answers every version check as Python 3.9 would."""
    script = folder / "python3"
    script.unlink()
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)


def test_a_python_too_old_is_passed_over_for_a_newer_one(repo: Path, bare_path: Path) -> None:
    old_python(bare_path)
    (bare_path / "python3.12").symlink_to(sys.executable)
    done = call(repo, bare_path, "deploy/find-python.sh")
    assert done.stdout.strip() == str(bare_path / "python3.12")


def test_without_a_python_that_fits_the_packages_to_install_are_named(repo: Path, bare_path: Path) -> None:
    old_python(bare_path)
    done = call(repo, bare_path, "deploy/find-python.sh")
    assert done.returncode == 1
    assert "python3-venv" in done.stderr


def test_a_named_python_is_the_only_candidate(repo: Path, bare_path: Path) -> None:
    assert (
        call(repo, bare_path, "deploy/find-python.sh", PYTHON=sys.executable).stdout.strip() == sys.executable
    )
    refused = call(repo, bare_path, "deploy/find-python.sh", PYTHON="/no/such/python")
    assert refused.returncode == 1
    assert "/no/such/python" in refused.stderr
