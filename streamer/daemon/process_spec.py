"""What a process of the daemon is: a line of the table in topology.py, and one running instance of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamer.config.schema import Config
from streamer.daemon.active_config import ActiveConfig
from streamer.daemon.camera_terms import CameraTerms
from streamer.daemon.shared_memory import SharedState
from streamer.ipc.messages import Message

Program = Callable[[Config], list[str]]  # the command line of a program that is none of ours


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One process that is to run: its name, its line of the table, and the cameras it does it for."""

    name: str
    process: Process
    cameras: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        return self.process.role


@dataclass(frozen=True, slots=True)
class Plan:
    """Every worker by name, and where each enabled camera is captured and inferred.

    `announced_by`: of the cameras whose files cannot be used, which inference worker emits their state. They
    are assigned to nobody, but their events are numbered by one worker, which has them also once their files
    are mended.
    """

    workers: Mapping[str, WorkerSpec]
    capture_of: Mapping[str, str]
    infer_of: Mapping[str, str]
    announced_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """Which enabled camera has which process, by name, in the order of the configuration."""

    config: Config
    capture_of: Mapping[str, str]
    infer_of: Mapping[str, str]


class Site(Protocol):
    """What a line of the table may use of the daemon: to say what a process is told, and what follows when
    one has ended. The supervisor is one.
    """

    active: ActiveConfig
    plan: Plan
    shared: SharedState
    node: str
    terms: CameraTerms
    stopping: bool

    def send_to_capture(self, camera: str, message: Message) -> bool:
        """To the process that captures the camera; False: there is none, or it is away."""

    def state_unknown(self, camera: str) -> None:
        """What was last said of the camera's source is no longer so."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the table.

    `name`           of the process; with `{i}` there are several, numbered
    `run`            "module:function" of a Python worker (workers/main.py); or, of a program that is none of
                     ours and knows no bus, what gives its command line
    `instances`      which there are now: their numbers, and the cameras of each
    `assignment`     what a worker is told when it has said Hello, and whenever that changes; None: nothing
    `on_exit`        what follows when one has ended, whatever the reason, before it is started again
    `awaited`        the daemon's start is over (systemd's READY=1) when all that are awaited are ready
    `exclusive`      a camera is one process's at a time: no other is told of it before that one has let go.
                     Where one keeps dying, each of its cameras gets a process of its own (quarantine)
    `death_signal`   what it gets from the kernel when the supervisor is killed
    """

    name: str
    run: str | Program
    instances: Callable[[Placement], Mapping[int, tuple[str, ...]]]
    assignment: Callable[[WorkerSpec, Site], Message] | None = None
    on_exit: Callable[[WorkerSpec, Site], None] | None = None
    awaited: bool = False
    exclusive: bool = False
    death_signal: signal.Signals = signal.SIGKILL

    @property
    def role(self) -> str:
        return self.name.removesuffix("-{i}")

    @property
    def on_bus(self) -> bool:
        """Whether it is one of ours: beats, says Hello, and is told what to do."""
        return isinstance(self.run, str)
