"""The child processes of a daemon: kept running as the plan says, watched, restarted, stopped in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from streamer.daemon.child_process import Child, describe_exit
from streamer.daemon.oom_kills import OomKills
from streamer.daemon.process_spec import WorkerSpec
from streamer.daemon.topology import PROCESSES
from streamer.errors import StreamerError
from streamer.ipc.counters import MAX_WORKERS, FrameCounters
from streamer.ipc.messages import Message

log = logging.getLogger(__name__)

BEAT_LIMIT_S = 10.0  # without a heartbeat a worker counts as hung
START_LIMIT_S = 120.0  # until it is ready: a large ledger is checked, a model compiled
GOOD_LIFE_S = 3.0  # a worker that lived so long is started again at once, a shorter-lived one after a pause
SHORT_LIFE_S = 1.0  # below this the pauses double each time
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.25, 30.0
KILL_AFTER_S = 4.0  # a worker told to stop is killed after this

# Quarantine
DEATHS = 2  # of one capture worker within WINDOW_S, after which its cameras are separated
WINDOW_S = 600.0
TERM_S = 3600.0  # a camera's first term alone; each further one is twice as long
MAX_TERM_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class LastExit:
    """How a worker ended that should not have: `reason` in words, and the Unix time."""

    reason: str
    at_ns: int


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """One worker and what is known of it."""

    spec: WorkerSpec
    beat_index: int
    child: Child | None = None
    greeted: bool = False  # it has said Hello and takes assignments
    assignment: Message | None = None  # the last one sent
    holds: frozenset[str] = frozenset()  # the cameras in it, which it may still have
    ready_rev: int = -1
    restarts: int = 0
    short_lives: int = 0
    next_start_s: float = 0.0
    stop_by_s: float | None = None  # set: it is to go
    last_error: str = ""
    last_exit: LastExit | None = None  # kept over restarts
    status: dict[str, Any] = field(default_factory=dict)
    cpu: psutil.Process | None = None

    @property
    def state(self) -> str:
        if self.stop_by_s is not None:
            return "stopping"
        if self.child is None:
            return "waiting"
        if not self.spec.process.on_bus:  # it sends no messages: of Redis delivery says whether it answers
            lived_s = time.monotonic() - self.child.started_mono_s
            return "ready" if lived_s > SHORT_LIFE_S else "starting"
        return "ready" if self.ready_rev >= 0 else "starting"


class ProcessManager:
    """`command(spec, beat)` gives a worker's command line; deaths are reported by `reap`."""

    def __init__(self, counters: FrameCounters, command: Callable[[WorkerSpec, int], list[str]]) -> None:
        self.processes: dict[str, WorkerProcess] = {}
        self._counters = counters
        self._command = command
        self._planned: Mapping[str, WorkerSpec] = {}
        self._crowded = False  # and that has been said
        self._free_beats = list(range(MAX_WORKERS - 1, -1, -1))
        self._oom_kills = OomKills()

    def reconcile(self, planned: Mapping[str, WorkerSpec]) -> None:
        """Take over the plan: new workers are started by tick(), those no longer in it are stopped.

        One that is wanted again while it still stops gets a successor when it has ended.
        """
        self._planned = planned
        now_s = time.monotonic()
        for name, process in self.processes.items():
            if name not in planned and process.stop_by_s is None:
                self._let_go(process, now_s)
        for name, spec in planned.items():
            running = self.processes.get(name)
            if running is None:
                self._admit(name)
            elif running.stop_by_s is None or running.child is None:
                running.spec, running.stop_by_s = spec, None

    def tick(self) -> None:
        """Start what is due, kill what hangs."""
        now_s = time.monotonic()
        if len(self.processes) < len(self._planned):
            for name in [name for name in self._planned if name not in self.processes]:
                self._admit(name)
        order = {process.role: i for i, process in enumerate(PROCESSES)}
        for process in sorted(self.processes.values(), key=lambda p: order[p.spec.role]):
            if process.child is None:
                if process.stop_by_s is None and now_s >= process.next_start_s:
                    self._start(process)
                continue
            if process.stop_by_s is not None:
                if now_s > process.stop_by_s:
                    log.warning("%s did not stop in time: killed", process.spec.name)
                    process.child.kill()
            elif process.spec.process.on_bus and self._hangs(process):
                log.error("%s gives no sign of life: killed", process.spec.name)
                process.last_error = "no heartbeat"
                process.child.kill()

    def reap(self) -> list[WorkerProcess]:
        """The workers that have ended since the last call. One that is to go is forgotten."""
        ended = []
        for name, process in list(self.processes.items()):
            child = process.child
            if child is None:
                if process.stop_by_s is not None:
                    self._forget(name)
                continue
            code = child.exit_code
            if code is None:
                continue
            ended.append(process)
            lived_s = time.monotonic() - child.started_mono_s
            process.child, process.cpu, process.ready_rev = None, None, -1
            process.greeted, process.assignment, process.status = False, None, {}
            process.holds = frozenset()
            if process.stop_by_s is not None:
                # Only now may its heartbeat's place be another's: it wrote there until it ended.
                self._forget(name)
                if name in self._planned:
                    self._admit(name)
                continue
            why = process.last_error or self._oom_kills.explain(code) or describe_exit(code)
            process.last_error, process.last_exit = why, LastExit(why, time.time_ns())
            self._plan_restart(process, why, lived_s)
        return ended

    def held_by_others(self, spec: WorkerSpec) -> set[str]:
        """The cameras that other processes of its kind were last told to take, and may still have."""
        others = (p for p in self.processes.values() if p.spec.role == spec.role and p.spec.name != spec.name)
        return {camera for process in others for camera in process.holds}

    def stop_all(self, role: str) -> None:
        self._planned = {name: spec for name, spec in self._planned.items() if spec.role != role}
        now_s = time.monotonic()
        for process in self.processes.values():
            if process.spec.role == role and process.stop_by_s is None:
                self._let_go(process, now_s)

    def running(self, role: str) -> bool:
        return any(p.spec.role == role and p.child is not None for p in self.processes.values())

    def stop_in_order(self, turn: Callable[[], None], limit_s: float) -> None:
        """Stop kind after kind, the last of the table first: who makes something stops before who takes it.
        Calls `turn` meanwhile, and gives up after `limit_s`.
        """
        deadline_s = time.monotonic() + limit_s
        for role in (process.role for process in reversed(PROCESSES)):
            self.stop_all(role)
            while self.running(role) and time.monotonic() < deadline_s:
                turn()
                self.tick()

    def kill_all(self) -> None:
        """Whatever happened: no child is left behind."""
        for process in self.processes.values():
            if process.child is not None:
                process.child.kill()
                process.child.wait(1.0)

    def beat_age_s(self, process: WorkerProcess) -> float:
        return (time.monotonic_ns() - self._counters.last_beat_ns(process.beat_index)) / 1e9

    def _admit(self, name: str) -> None:
        """Make room for a worker that is wanted; where there is none, it waits until others have gone."""
        if self._free_beats:
            self.processes[name] = WorkerProcess(self._planned[name], self._free_beats.pop())
            self._crowded = False
        elif not self._crowded:
            self._crowded = True
            log.error("%s waits: a daemon runs %d workers at most", name, MAX_WORKERS)

    def _start(self, process: WorkerProcess) -> None:
        self._counters.beat(process.beat_index)
        try:
            command = self._command(process.spec, process.beat_index)
            child = Child(process.spec.name, command, process.spec.process.death_signal)
        except StreamerError as error:
            process.last_error = str(error)
            self._plan_restart(process, str(error), 0.0)
            return
        process.child = child
        process.cpu = psutil.Process(child.pid)

    def _hangs(self, process: WorkerProcess) -> bool:
        return self.beat_age_s(process) > (BEAT_LIMIT_S if process.ready_rev >= 0 else START_LIMIT_S)

    def _plan_restart(self, process: WorkerProcess, why: str, lived_s: float) -> None:
        process.restarts += 1
        process.short_lives = 0 if lived_s >= SHORT_LIFE_S else process.short_lives + 1
        pause_s = max(0.0, (GOOD_LIFE_S - lived_s) / 2)
        if process.short_lives:
            pause_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (process.short_lives - 1))
        process.next_start_s = time.monotonic() + pause_s
        log.warning("%s ended (%s), starts again in %.1f s", process.spec.name, why, pause_s)

    def _let_go(self, process: WorkerProcess, now_s: float) -> None:
        process.stop_by_s = now_s + KILL_AFTER_S
        if process.child is not None:
            process.child.terminate()

    def _forget(self, name: str) -> None:
        self._free_beats.append(self.processes.pop(name).beat_index)


# ---- quarantine


@dataclass(slots=True)
class _Record:
    """A camera's term, and how long it has lived without a death since it was separated or let go."""

    term_s: float
    lived_s: float = 0.0
    alone: bool = True

    def extend(self) -> None:
        self.term_s = min(2 * self.term_s, MAX_TERM_S)
        self.lived_s, self.alone = 0.0, True


class Quarantine:
    """Which cameras get a capture process of their own: those whose process keeps dying.

    A damaged stream can kill the process that decodes it, with all cameras in it. Who is at fault cannot be
    seen from outside, so all of them are separated; the one at fault then takes only itself along. A camera
    that has lived alone for its term without a death goes back to the others; what dies again stays longer.

    `cameras` are those that stand alone. Times are monotonic seconds, given by the caller.
    """

    def __init__(self) -> None:
        self._deaths_s: dict[str, list[float]] = {}
        self._records: dict[str, _Record] = {}
        self._now_s: float | None = None

    @property
    def cameras(self) -> frozenset[str]:
        return frozenset(name for name, record in self._records.items() if record.alone)

    def died(self, worker: str, cameras: tuple[str, ...], now_s: float) -> bool:
        """Note that a capture worker died by itself; True when its cameras are separated for that."""
        recent_s = [s for s in self._deaths_s.get(worker, []) if now_s - s < WINDOW_S] + [now_s]
        self._deaths_s[worker] = recent_s
        separate = len(recent_s) >= DEATHS and len(cameras) >= 2
        for name in cameras:
            record = self._records.get(name)
            if record is None and separate:
                self._records[name] = _Record(TERM_S)
            elif record is not None and (separate or record.alone):
                record.extend()
        return separate

    def release(self, captured: Collection[str], now_s: float) -> frozenset[str]:
        """The cameras that may go back to the others now; to be called about once a second.

        Time counts for the `captured`, whose process runs. One that has lived as long again among the others
        begins with the first term should it ever come back.
        """
        passed_s = now_s - self._now_s if self._now_s is not None else 0.0
        self._now_s = now_s
        free: set[str] = set()
        for name, record in list(self._records.items()):
            record.lived_s += passed_s if name in captured else 0.0
            if record.lived_s < record.term_s:
                continue
            if record.alone:
                record.lived_s, record.alone = 0.0, False
                free.add(name)
            else:
                del self._records[name]
        return frozenset(free)

    def forget(self, camera: str) -> None:
        """The camera is gone."""
        self._records.pop(camera, None)

    def left_s(self, camera: str) -> float | None:
        """How long the camera is still to stand alone; None: it does not."""
        record = self._records.get(camera)
        return max(0.0, record.term_s - record.lived_s) if record is not None and record.alone else None
