"""What all tests share: real parts and where to find them, short temporary folders, the corpus.

A missing real part (redis-server, the RTSP server) is a skip on a developer's box and an error in CI. The
corpus of footage and weights is no part of the project: tests marked `corpus` skip where it is absent, and so
do those marked `torch` or `cluster` where that extra is not installed.

`make test` runs files side by side (pytest-xdist), each file by one process, so that what a module's tests
share is made once.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from tests.mosquitto import mosquitto_path

pytest_plugins = ("tests.side_by_side",)

REPO = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("STREAMER_CORPUS") or REPO.parent / "shared" / "corpus")
IN_CI = bool(os.environ.get("CI"))
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_RAY = importlib.util.find_spec("ray") is not None
# A module that imports torch is skipped as a whole where there is none, and marked `torch` where there is.
TORCH_GUARD = re.compile(r'^(torch = )?pytest\.importorskip\("torch"', re.MULTILINE)
SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
PROCESS_BYTES = 1 << 30  # of memory, for a process of the tests with the daemon that it runs

MAY_SKIP_IN_CI = (
    "needs root",
    "needs a GPU",
    "needs torch",
    "needs ray",
    "needs kafka",
    "no docker client with compose",
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


def pytest_configure() -> None:
    _keep_bytecode()
    _take_signals()


def _keep_bytecode() -> None:
    """Images of containers often set PYTHONDONTWRITEBYTECODE. Each of the hundreds of processes that tests
    start would then compile all that it imports, which takes a second of the 1.7 that its start takes."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _take_signals() -> None:
    """What runs in the background may have been started with Ctrl-C or a hang-up ignored, and children would
    inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    modules = {item: item.getparent(pytest.Module).obj for item in items}
    needing = {module for module in set(modules.values()) if TORCH_GUARD.search(inspect.getsource(module))}
    for item in items:
        if modules[item] in needing:
            item.add_marker(pytest.mark.torch)
        if not HAS_TORCH and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="needs torch (make install EXTRAS=torch)"))
        if not HAS_RAY and item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason="needs ray (make install EXTRAS=cluster)"))
        if not CORPUS.is_dir() and item.get_closest_marker("corpus"):
            item.add_marker(pytest.mark.skip(reason=f"no corpus at {CORPUS} (set STREAMER_CORPUS)"))
    if SIDE_BY_SIDE:  # what takes long begins: begun last, it would keep the others waiting at the end
        marks = defaultdict(set)
        for item in items:
            marks[modules[item]] |= {mark.name for mark in item.iter_markers()}
        items.sort(key=lambda item: _turn(marks[modules[item]]))


def _turn(marks: set[str]) -> int:
    """When a file with these marks in it is begun: first what takes long, then what waits for processes."""
    return 0 if "slow" in marks else 1 if "integration" in marks else 2


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, since many tests wait; fewer where memory is short."""
    room = psutil.virtual_memory().available // PROCESS_BYTES
    return max(1, min(len(os.sched_getaffinity(0)) + 1, room))


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
def mosquitto_binary() -> str:
    """Path of a real MQTT broker; Debian keeps it where users do not look."""
    return mosquitto_path() or missing_part("mosquitto (deploy/setup.sh --tests installs it)")


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
