"""The processes of Ray on this box: started where they do not run, and ended by their own mark.

Ray's own `ray stop` ends every Ray of the machine. Here each process is started with MARK in its environment,
which its children inherit, and only what has this box's mark is ended.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from streamer.errors import SiteError, StorageError
from streamer.site.cluster import CAPACITY, in_resource
from streamer.site.cluster_environment import HEALTH
from streamer.site.settings import NODE_LABEL, SiteSettings

log = logging.getLogger(__name__)

MARK = "STREAMER_SITE_RAY"
MIN_OBJECT_STORE = 78_643_200  # bytes; the least that Ray takes. Nothing is ever put into it
FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 30.0  # between starts that fail
END_S = 5.0  # for processes to end before they are killed
CURRENT = "ray_current_cluster"  # the last head here; while a raylet waits for it, Ray takes it for running
RAYLET, GCS = "raylet", "gcs_server"  # the node itself; the head's table


class RayProcesses:
    """Of one box, with their files below `folder`. They outlive who started them: agents may be replaced."""

    def __init__(self, settings: SiteSettings, folder: Path, environment: Mapping[str, str]) -> None:
        self._settings, self._folder = settings, folder
        self._environment = {**environment, MARK: str(folder)}
        self._starting: subprocess.Popen[bytes] | None = None
        self._found: dict[str, psutil.Process] = {}  # by name
        self._pause_s, self._not_before_s = FIRST_PAUSE_S, 0.0
        self._is_table_trusted = True  # a head's table that lives while its node does not

    def keep(self, may_start: bool, drained: bool = False) -> None:
        """Start what does not run, without waiting for it; `drained`: without room for cameras. A start takes
        half a minute to fail where the head is away, so that `may_start` is false then.

        Raises SiteError where the last start failed.
        """
        if self._starting is not None:
            self._end_of_start()
        elif not self._runs() and may_start and time.monotonic() >= self._not_before_s:
            beside_head = self._settings.is_head and self._is_table_trusted and self._has(GCS)
            if not beside_head:
                self.stop()  # what is left of the last ones: a new head does not start beside an old one
            log.info("Ray starts on this box: that takes half a minute or so")
            self._starting = self._start(as_head=self._settings.is_head and not beside_head, drained=drained)

    def end_node(self) -> None:
        """End what makes this box a place for cameras; a head stays one. The next keep() starts it again."""
        for process in self._own():
            if _name(process) == RAYLET:
                with suppress(psutil.Error):
                    process.terminate()
        self._found.clear()

    def _has(self, name: str) -> bool:
        return any(_name(process) == name for process in self._own())

    def _runs(self) -> bool:
        """A raylet waits for a head that has died, for as long as it takes: there both are looked at."""
        wanted = (GCS, RAYLET) if self._settings.is_head else (RAYLET,)
        return all(self._is_up(name) for name in wanted)

    def _is_up(self, name: str) -> bool:
        if name not in self._found:
            found = [process for process in self._own() if _name(process) == name]
            self._found.update({name: found[0]} if found else {})
        with suppress(psutil.Error):
            if name in self._found and self._found[name].status() != psutil.STATUS_ZOMBIE:
                return True
        self._found.pop(name, None)
        return False

    def _end_of_start(self) -> None:
        assert self._starting is not None
        code = self._starting.poll()
        if code is None:
            return
        self._starting = None
        # A node cannot join a head whose own first node never came up: then the head starts anew too.
        self._is_table_trusted = code == 0
        if code == 0:
            log.info("Ray runs on this box")
            self._pause_s = FIRST_PAUSE_S
            return
        self._not_before_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        raise SiteError(f"Ray does not start on this box: {self._last_line()} (see {self._log})")

    def stop(self) -> None:
        """End all of this box's, and wait for it."""
        own = self._own()
        for process in own:
            with suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(own, END_S)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, END_S)
        self._found.clear()

    def _own(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if _mark(process) == str(self._folder)]

    # ---- a start

    @property
    def _log(self) -> Path:
        return self._folder / "start.log"

    def _start(self, as_head: bool, drained: bool) -> subprocess.Popen[bytes]:
        self._clear(keep_sessions=self._settings.is_head and not as_head)
        with self._log.open("wb") as log:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            environment = {**os.environ, **self._environment, **self._of_head()}
            return subprocess.Popen(
                self.command(as_head, drained), env=environment, start_new_session=True, **streams
            )

    def _clear(self, keep_sessions: bool) -> None:
        """Each start makes a folder of logs. Raises StorageError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for session in () if keep_sessions else self._folder.glob("session_*"):
                session.unlink() if session.is_symlink() else shutil.rmtree(session)
            if not keep_sessions:
                (self._folder / CURRENT).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._folder}: cannot be used: {error.strerror}") from error

    def command(self, as_head: bool, drained: bool = False) -> list[str]:
        """`ray start` for this box: no processors and no memory, since nothing of ours runs in Ray."""
        settings = self._settings
        capacity = 0 if drained else in_resource(settings.capacity)
        labels = {NODE_LABEL: settings.node, **settings.labels}
        options = {
            "--node-ip-address": settings.address,
            "--num-cpus": 0,
            "--num-gpus": 0,
            "--object-store-memory": MIN_OBJECT_STORE,
            "--resources": json.dumps({CAPACITY: capacity} if capacity else {}),
            "--labels": ",".join(f"{name}={value}" for name, value in labels.items()),
            "--temp-dir": self._folder,
            "--include-log-monitor": "false",
            "--min-worker-port": 0,
            "--max-worker-port": 0,
            **self._place(as_head),
        }
        given = [str(each) for option in options.items() for each in option]
        head = ["--head", "--no-monitor"] if as_head else []  # it scales clusters, and listens everywhere
        return [sys.executable, "-m", "ray.scripts.scripts", "start", *head, *given, "--disable-usage-stats"]

    def _place(self, as_head: bool) -> dict[str, object]:
        settings = self._settings
        ports = {"--node-manager-port": settings.ports, "--object-manager-port": settings.ports + 1}
        fixed: dict[str, object] = {**ports} if settings.ports else {}
        if not as_head:
            return {"--address": settings.head, **fixed}
        port = settings.head.rpartition(":")[2]
        return {
            "--port": port,
            "--include-dashboard": "false",
            "--system-config": json.dumps(HEALTH),
            **fixed,
        }

    def _of_head(self) -> dict[str, str]:
        """With a store the head finds its table again after a restart."""
        if not (self._settings.is_head and self._settings.store):
            return {}
        name = f"streamer-{self._settings.site}"
        return {"RAY_REDIS_ADDRESS": self._settings.store, "RAY_external_storage_namespace": name}

    def _last_line(self) -> str:
        with suppress(OSError):
            lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
            return lines[-1].strip()[:300] if lines else "it said nothing"
        return "its log cannot be read"


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):  # another user's, or gone
        return ""


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
