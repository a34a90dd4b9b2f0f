"""What all tests share: real parts and where to find them, short temporary folders, the corpus.

A missing real part (redis-server, the RTSP server) is a skip on a developer's box and an error in CI. The
corpus of footage and weights is no part of the project: tests marked `corpus` skip where it is absent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

REPO = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("STREAMER_CORPUS") or REPO.parent / "shared" / "corpus")
IN_CI = bool(os.environ.get("CI"))

MAY_SKIP_IN_CI = (
    "needs root",
    "needs a GPU",
    "needs torch",
)  # how the reasons begin that are no missing part

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-gi lives
RTSP_PARTS = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GstRtspServer
"""


def missing_part(what: str) -> NoReturn:
    """Skip, or fail in CI; `what` names the part and how to get it."""
    if IN_CI:
        pytest.fail(f"missing in CI: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CORPUS.is_dir():
        return
    absent = pytest.mark.skip(reason=f"no corpus at {CORPUS} (set STREAMER_CORPUS)")
    for item in items:
        if item.get_closest_marker("corpus"):
            item.add_marker(absent)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI only a test of the corpus may skip; every other skip is a real part that is missing."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("corpus"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(MAY_SKIP_IN_CI):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} may not skip in CI: {reason}"
    return report


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of footage, weights and truth; its tests are marked `corpus`."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS} (set STREAMER_CORPUS)")
    return CORPUS


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """Path of a real redis-server."""
    return shutil.which("redis-server") or missing_part("redis-server (deploy/setup.sh installs it)")


@pytest.fixture(scope="session")
def ffmpeg_binary() -> str:
    """Path of ffmpeg, which makes the clips that tests damage or repeat."""
    return shutil.which("ffmpeg") or missing_part("ffmpeg (deploy/setup.sh --tests installs it)")


@pytest.fixture(scope="session")
def rtsp_python() -> str:
    """Path of a Python that can run a GStreamer RTSP server."""
    found = shutil.which(SYSTEM_PYTHON)
    if found is None or subprocess.run([found, "-c", RTSP_PARTS], capture_output=True).returncode != 0:
        missing_part("GStreamer's RTSP server for Python (deploy/setup.sh --tests installs it)")
    return found


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """An own folder with a short path: a UNIX socket's path holds 107 bytes, and tmp_path is often longer."""
    path = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)  # a process that was just killed may still lose a file


@pytest.fixture
def runtime_dir(short_dir: Path) -> Path:
    """A runtime folder (sockets, rings) as the daemon would make it: 0700."""
    path = short_dir / "run"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def state_dir(short_dir: Path) -> Path:
    """A state folder (ledger, models) as the daemon would make it: 0700."""
    path = short_dir / "state"
    path.mkdir(mode=0o700)
    return path
