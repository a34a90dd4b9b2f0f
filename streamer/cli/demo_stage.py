"""A whole streamer for the length of a demo: its own folders, a daemon as a child, the real commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from streamer.api import control_socket as control
from streamer.config.store import ConfigStore
from streamer.daemon import redis_server
from streamer.errors import Exit, RedisError, RunningError, StreamerError
from streamer.models.store import ModelStore
from streamer.sinks.redis import Subscriber

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOG_TAIL = 12  # lines of the daemon's log that are shown when it fails
MAX_BASE_BYTES = 40  # sockets lie in the runtime folder, and a socket's path holds 107 bytes


class Stage:
    """A context manager: makes the folders, starts the daemon, and takes all down again."""

    def __init__(self, bucket_s: int, models: Path | None) -> None:
        """`models` is a model store of the user's to share, or None."""
        self.folder = Path(tempfile.mkdtemp(prefix="streamer-demo-", dir=_base()))
        self.config_dir = self.folder / "config"
        self._state = self.folder / "state"
        self._runtime = self.folder / "run"
        self._log = self.folder / "daemon.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None
        self.exit_code: int | None = None
        for made in (self.config_dir, self._state, self._runtime):
            made.mkdir(mode=0o700)
        self.models = self._state / "models"
        if models is not None:
            self.models.symlink_to(models)
        (self.config_dir / "streamer.yaml").write_text(
            f"display_name: demo\nstate_dir: {self._state}\nruntime_dir: {self._runtime}\n"
            f"counts:\n  bucket_s: {bucket_s}\n",
            encoding="utf-8",
        )

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            if self._log_file is not None:
                self._log_file.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "streamer.cli.main", "--config", str(self.config_dir), *arguments]

    def streamer(self, *arguments: str) -> str:
        """Run `streamer …` as a user would; returns what it printed. Raises StreamerError with its error."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            text = said[-1].removeprefix("error: ") if said else f"exit code {done.returncode}"
            error = StreamerError(text)
            error.exit_code = _exit_of(done.returncode)
            raise error
        return done.stdout

    def start(self) -> None:
        """Start the daemon and wait until it answers. Raises StreamerError with the end of its log."""
        self._log_file = self._log.open("wb")
        self._daemon = subprocess.Popen(
            self.command("run"),
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon
        )
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline_s:
            self.check()
            if self._answers():
                return
            time.sleep(0.1)
        raise StreamerError(f"the daemon was not ready within {READY_TIMEOUT_S:.0f} s: {self.log_tail()}")

    def _answers(self) -> bool:
        try:
            control.call(self._runtime / "control.sock", "ping", timeout_s=2.0)
        except RunningError:
            return False
        return redis_server.ping(self._runtime)

    def check(self) -> None:
        """Raises StreamerError when the daemon has ended by itself."""
        if self._daemon is not None and (code := self._daemon.poll()) is not None:
            raise StreamerError(f"the daemon ended with exit code {code}: {self.log_tail()}")

    def status(self, camera: str) -> dict[str, Any]:
        """The daemon's words about a camera."""
        found = control.call(self._runtime / "control.sock", "status", timeout_s=5.0)
        return next((dict(c) for c in found["cameras"] if c["name"] == camera), {})

    def events(self, camera: str) -> EventReader:
        return EventReader(redis_server.subscriber_url(self._runtime), camera)

    def stop(self) -> int | None:
        """SIGTERM, and wait; returns the exit code (None: there was no daemon), which `exit_code` keeps."""
        if self._daemon is None:
            return None
        if self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._daemon.pid, signal.SIGKILL)
                self._daemon.wait()
        self.exit_code = self._daemon.returncode
        return self.exit_code

    def log_tail(self) -> str:
        """The last lines of the daemon's log in one."""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
        return " | ".join(line.strip() for line in lines) or "it said nothing"


def _base() -> Path:
    """Where temporary files are wanted ($TMPDIR), unless that path is too long for sockets."""
    wanted = Path(tempfile.gettempdir())
    return wanted if len(bytes(wanted)) <= MAX_BASE_BYTES else Path("/tmp")


class EventReader:
    """Follows one camera's Redis stream from its beginning."""

    def __init__(self, url: str, camera: str) -> None:
        self._subscriber = Subscriber(url)
        self._camera = camera
        self._cursors: dict[str, str] = {}
        self.stream = ""

    def read(self, block_ms: int) -> list[str]:
        """The CloudEvents (JSON text) that have come; waits up to `block_ms` for the first."""
        if not self._cursors:
            self._find()
            if not self._cursors:
                time.sleep(block_ms / 1000)
                return []
        try:
            entries = self._subscriber.read(self._cursors, block_ms)
        except RedisError:
            return []  # it is loading, or gone for a moment: the daemon brings it back
        for key, entry_id, _ in entries:
            self._cursors[key] = entry_id
        return [body for _, _, body in entries]

    def _find(self) -> None:
        with contextlib.suppress(RedisError):
            for place in self._subscriber.cameras().values():
                if place["camera"] == self._camera:
                    self.stream = place["events"]
                    self._cursors = {place["events"]: "0-0"}

    def close(self) -> None:
        self._subscriber.close()


def user_models(store: ConfigStore) -> Path | None:
    """The folder of the user's own models, if there are any that this user may see."""
    try:
        state = (store.settings().state_dir if store.exists() else None) or store.default_state_dir()
        folder = state / "models"
        models = ModelStore(folder)
        return folder if models.names() or models.default_name() is not None else None
    except (StreamerError, OSError):
        return None  # a broken or private configuration of the user's is no reason to show nothing


def follow(reader: EventReader, until_s: float, stage: Stage) -> Iterator[list[str]]:
    """What comes on the stream, every quarter of a second at the latest, until monotonic `until_s`."""
    while (left_s := until_s - time.monotonic()) > 0:
        stage.check()
        yield reader.read(max(1, min(250, round(left_s * 1000))))


def _exit_of(code: int) -> Exit:
    return Exit(code) if code in {int(known) for known in Exit} else Exit.FAILED
