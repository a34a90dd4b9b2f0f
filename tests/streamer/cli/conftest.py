"""A configuration to run commands on, and a daemon's end of the control socket."""

from __future__ import annotations

import select
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamer.api.control_socket import ControlServer, Request
from streamer.cli.main import cli
from streamer.config.store import ConfigStore
from tests.streamer.cli.counted import Counted, count

Run = Callable[..., Result]


@pytest.fixture
def store(short_dir: Path) -> ConfigStore:
    """A configuration with folders of its own and no camera."""
    folder = short_dir / "config"
    folder.mkdir()
    text = f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n"
    (folder / "streamer.yaml").write_text(text)
    (short_dir / "run").mkdir(mode=0o700)
    return ConfigStore(folder)


@pytest.fixture
def run(store: ConfigStore) -> Run:
    """Run a command on that configuration, in this process."""

    def run_command(*args: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, ["--config", str(store.folder), *args], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run_command


class Daemon:
    """Answers on the control socket as a daemon would; keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Callable[[Request], None]] = {}
        self._server = ControlServer(path)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self) -> None:
        while not self._ended.is_set():
            select.select(self._server.filenos(), [], [], 0.05)
            for request in self._server.poll():
                self.asked.append((request.op, request.args))
                self.answers[request.op](request)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._server.close()


@pytest.fixture
def daemon(store: ConfigStore) -> Iterator[Daemon]:
    found = Daemon(store.load().control_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def counted() -> Iterator[Counted]:
    """What a daemon left that counted a clip to its end; the same for all tests of a module."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    folder = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    yield count(folder)
    shutil.rmtree(folder, ignore_errors=True)
