"""A kind of process that only a test has: it says Hello, is told what to do, and leaves when asked to."""

from __future__ import annotations

import os
from pathlib import Path

from streamer.daemon.process_spec import Site, WorkerSpec
from streamer.ipc.bus import Bus
from streamer.ipc.messages import CaptureAssignment, Hello, Ready, WorkerStatus


class ToyWorker:
    """Writes what happens to it, a line each, to a file of its name in the state folder."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path) -> None:
        self.stopping = False
        self._name, self._runtime_dir, self._notes = name, runtime_dir, state_dir / name

    def open(self) -> None:
        self._bus = Bus(self._runtime_dir)
        self._supervisor = self._bus.connect("supervisor", self._name)
        self._supervisor.send(Hello(self._name, os.getpid()))

    def step(self) -> None:
        for received in self._bus.poll(0.1):
            if isinstance(received.message, CaptureAssignment):
                self._note(f"told {received.message.rev}")
                self._supervisor.send(Ready(self._name, received.message.rev))
                self._supervisor.send(WorkerStatus(self._name, {"plays": True}))

    def close(self) -> None:
        self._note("stopped")
        self._bus.close()

    def _note(self, text: str) -> None:
        with self._notes.open("a") as notes:
            notes.write(text + "\n")


def create(name: str, runtime_dir: Path, state_dir: Path, _shared_dir: Path) -> ToyWorker:
    return ToyWorker(name, runtime_dir, state_dir)


def assignment(_spec: WorkerSpec, site: Site) -> CaptureAssignment:
    return CaptureAssignment(site.active.rev, ())
