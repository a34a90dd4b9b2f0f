"""The consumers of docs/consumers.md, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.daemon import redis_server
from tests.conftest import missing_part
from tests.faults.delivery_rig import Rig
from tests.patience import patient

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir, cameras=("gate",))
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 5)
    rig.publish_state("gate")
    rig.settle()
    yield rig
    rig.close()


def snippet(repo: Path, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", (repo / "docs/consumers.md").read_text(), re.S)
    assert found
    return found[1]


def run_until(command: list[str], lines: int, output: Path, rig: Rig) -> list[str]:
    """Run `command` until it has printed that many lines, then kill it, at whatever it is doing."""
    with open(output, "w") as file:
        process = subprocess.Popen(command, stdout=file)
    try:
        rig.until(lambda: output.read_text().count("\n") >= lines, timeout_s=15)
    finally:
        process.kill()
        process.wait()
    return output.read_text().splitlines()


def test_the_python_consumer_goes_on_where_it_was_killed(rig: Rig, repo: Path, short_dir: Path) -> None:
    program = short_dir / "consumer.py"
    program.write_text(snippet(repo, "python"))
    socket = rig.runtime_dir / redis_server.SOCKET_NAME
    command = [sys.executable, str(program), str(socket), str(short_dir / "cursors.json")]
    first = run_until(command, 5, short_dir / "first", rig)
    assert len(first) == 5
    assert all(line.endswith("gate door in person") for line in first)
    rig.count("gate", 3)  # while nobody reads
    rig.settle()
    second = run_until(command, 3, short_dir / "second", rig)
    assert len(second) in (3, 8)  # killed before it saved its cursor: repeated, never lost
    assert not set(second[-3:]) & set(first)


def test_the_redis_cli_consumer_prints_events_and_totals(rig: Rig, repo: Path) -> None:
    if shutil.which("redis-cli") is None:
        missing_part("redis-cli (package redis-tools)")
    socket = str(rig.runtime_dir / redis_server.SOCKET_NAME)
    done = subprocess.run(
        ["sh", "-eu", "-c", snippet(repo, "sh")],
        env={**os.environ, "SOCKET": socket},
        capture_output=True,
        text=True,
        timeout=patient(20),
    )
    assert done.returncode == 0, done.stderr
    assert "NOPERM" not in done.stdout
    assert done.stdout.count('"specversion":"1.0"') == 1 + 5
    assert "line/door/in/1/person\n5\n" in done.stdout
