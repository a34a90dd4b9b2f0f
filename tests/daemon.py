"""A real daemon for tests: its own folders, its own Redis, real processes; ended by its pid."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis
import yaml

from streamer.api import control_socket as control
from streamer.config.schema import LEDGER_FILE
from streamer.daemon.redis_server import subscriber_url, writer_url
from streamer.daemon.shared_memory import SHARED_ROOT
from streamer.ledger import recovery
from tests.command_series import run_series
from tests.patience import patient

START_LIMIT_S = 40.0


class Daemon:
    """`streamer run` on folders below `base` (a short path: sockets live there)."""

    def __init__(self, base: Path, cameras: list[dict[str, Any]] | None = None, **settings: Any) -> None:
        self.base = base
        self.config_dir, self.state_dir, self.runtime_dir = base / "cfg", base / "state", base / "run"
        (self.config_dir / "cameras.d").mkdir(parents=True)
        document = {"state_dir": str(self.state_dir), "runtime_dir": str(self.runtime_dir), **settings}
        (self.config_dir / "streamer.yaml").write_text(yaml.safe_dump(document))
        for camera in cameras or []:
            self.write_camera(camera)
        self.log_path = base / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def write_camera(self, camera: Mapping[str, Any]) -> None:
        """Every frame of it is looked at where `camera` does not say how many are: tests reckon with that."""
        path = self.config_dir / "cameras.d" / f"{camera['name']}.yaml"
        source = {"fps": 0, **camera.get("source", {})}
        path.write_text(yaml.safe_dump({**camera, "source": source}))

    def start(self, wait: bool = True, env: Mapping[str, str] | None = None) -> Daemon:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run"), stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )
        if wait:
            self.wait_for(lambda s: self._serves(s), START_LIMIT_S, "the daemon to serve")
        return self

    @property
    def segments_dir(self) -> Path:
        """Its shared memory: other daemons have theirs beside it."""
        digest = hashlib.sha256(str(self.runtime_dir).encode()).hexdigest()[:12]
        return SHARED_ROOT / f"streamer-{digest}"

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "streamer.cli.main", "--config", str(self.config_dir), *args]

    def python(self, patch: str) -> None:
        """Let these statements run before the daemon begins, where a limit of minutes is to be short."""
        code = f"{patch}; from streamer.cli.main import main; main()"
        self.command = lambda *args: [  # type: ignore[method-assign]
            *(sys.executable, "-c", code, "--config", str(self.config_dir)),
            *args,
        ]

    def cli(self, *args: str, check: bool = True, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*args), capture_output=True, text=True, timeout=patient(60), **kwargs
        )
        if check and done.returncode:
            raise AssertionError(
                f"streamer {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def commands(self, *commands: tuple[str, ...], **kwargs: Any) -> list[subprocess.CompletedProcess[str]]:
        """What cli() gives of each, whatever it ends with, from one process (tests/command_series.py)."""
        return run_series(commands, before=("--config", str(self.config_dir)), **kwargs)

    def status(self) -> dict[str, Any]:
        return control.call(self.runtime_dir / "control.sock", "status", timeout_s=patient(5.0))

    def camera(self, name: str) -> dict[str, Any]:
        return next(c for c in self.status()["cameras"] if c["name"] == name)

    def worker(self, name: str) -> dict[str, Any]:
        return next(w for w in self.status()["workers"] if w["name"] == name)

    def wait_for(
        self, condition: Callable[[dict[str, Any]], Any], limit_s: float, what: str
    ) -> dict[str, Any]:
        """Poll the status until `condition` holds; fail with the log's end."""
        deadline_s = time.monotonic() + patient(limit_s)
        while time.monotonic() < deadline_s:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended ({self.process.returncode}):\n{self.log()}")
            try:
                status = self.status()
                if condition(status):
                    return status
            except (control.RunningError, control.ControlError, KeyError, StopIteration):
                pass
            time.sleep(0.05)
        raise AssertionError(f"waited {patient(limit_s):g} s for {what}:\n{self.log()}")

    def openings(self, camera: str) -> int:
        """How often its source was opened. `opens` and `epoch` also rise when a clip that loops begins again,
        which on a busy machine happens in any test."""
        return self.log_path.read_text(errors="replace").count(f"camera {camera}: connecting")

    def kill_worker(self, name: str, signum: signal.Signals = signal.SIGKILL) -> int:
        pid = self.worker(name)["pid"]
        if pid is not None:
            os.kill(pid, signum)
        return int(pid or 0)

    def redis(self) -> redis.Redis:
        """As a subscriber sees it."""
        return redis.Redis.from_url(subscriber_url(self.runtime_dir), decode_responses=True)

    def events(self, camera: str) -> list[dict[str, Any]]:
        """Every event on the camera's stream, oldest first, with its stream id as `_id`."""
        key = f"streamer:{{{self.status()['node']}/{camera}}}:events"
        with self.redis() as client:
            return [{**json.loads(f["event"]), "_id": i} for i, f in client.xrange(key)]

    def totals(self, camera: str) -> dict[str, str]:
        with self.redis() as client:
            return dict(client.hgetall(f"streamer:{{{self.status()['node']}/{camera}}}:totals"))

    def flush_redis(self) -> None:
        """Delete every key. (FLUSHALL itself is forbidden to our users; its effect on us is the same.)"""
        for key in self.redis_keys():
            with redis.Redis.from_url(writer_url(self.runtime_dir, self.state_dir)) as client:
                client.delete(key)

    def redis_keys(self) -> list[str]:
        with self.redis() as client:
            return [str(key) for key in client.scan_iter("streamer:*")]

    def wait_for_events(
        self, camera: str, wanted: Callable[[dict[str, Any]], bool], limit_s: float
    ) -> list[dict[str, Any]]:
        """The camera's events, once there is one that is `wanted`."""
        deadline_s = time.monotonic() + patient(limit_s)
        while time.monotonic() < deadline_s:
            events = self.events(camera)
            if any(wanted(e) for e in events):
                return events
            time.sleep(0.1)
        raise AssertionError(f"waited {patient(limit_s):g} s for an event of {camera}:\n{self.log()}")

    def settled_events(self, camera: str, limit_s: float = 20.0) -> list[dict[str, Any]]:
        """Its events, when every track that crossed has ended, and the totals are of all of them.

        For a camera that has ended. The status is no sign of it: delivery tells its place once a second.
        """
        events: list[dict[str, Any]] = []

        def is_settled(_status: dict[str, Any]) -> bool:
            totals = self.totals(camera)
            events[:] = self.events(camera)
            crossed, ended = (
                {(e["data"]["epoch"], e["data"]["track_id"]) for e in events if e["type"] == kind}
                for kind in ("streamer.line.crossed.v1", "streamer.track.ended.v1")
            )
            return bool(events) and crossed <= ended and totals.get("seq") == str(events[-1]["data"]["seq"])

        self.wait_for(is_settled, limit_s, f"the last events of {camera}")
        return events

    def stop(self, limit_s: float = 12.0) -> int:
        """SIGTERM; returns the exit code. What a daemon leaves behind is a sound ledger."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(patient(limit_s))
        ledger = self.state_dir / LEDGER_FILE
        if ledger.exists():
            assert recovery.fault(ledger) == ""
        return code

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(patient(5))

    @staticmethod
    def wait_until_gone(pid: int, limit_s: float) -> None:
        """Fail when the process `pid` still runs after the time."""
        deadline_s = time.monotonic() + patient(limit_s)
        while Path(f"/proc/{pid}").exists():
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return
            assert time.monotonic() < deadline_s, f"process {pid} is still there"
            time.sleep(0.05)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")[-6000:]

    @staticmethod
    def _serves(status: Mapping[str, Any]) -> bool:
        return all(w["state"] == "ready" for w in status["workers"] if w["role"] in ("infer", "deliver"))
