"""The daemon's main process: keeps what runs equal to what the configuration says.

One thread, one loop: messages from workers, requests on the control socket, children that have ended. So
nothing here is locked, and nothing here may wait. It owns the shared memory and the numbers that name things,
decides nothing about pixels, and feeds systemd's watchdog from this very loop, so that a supervisor that
hangs is noticed.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from streamer.api.callers import Caller
from streamer.api.changes import AnyChange
from streamer.api.control_socket import ControlServer, Request
from streamer.config.schema import Config, ControlConfig
from streamer.config.store import ConfigStore
from streamer.daemon import redis_server
from streamer.daemon.active_config import ActiveConfig
from streamer.daemon.assigning import Assigning
from streamer.daemon.camera_terms import CameraTerms, TermArguments
from streamer.daemon.child_process import worker_command
from streamer.daemon.clip_orders import ClipArguments, ClipMessage
from streamer.daemon.confinement import confine
from streamer.daemon.corrections import CorrectionArguments
from streamer.daemon.guard import Guard
from streamer.daemon.identity import DaemonLock, node_id
from streamer.daemon.occupancy_setting import OccupancyArguments
from streamer.daemon.operations import OPERATIONS, Answer, Asked, Operation, serve
from streamer.daemon.process_manager import ProcessManager, Quarantine, WorkerProcess
from streamer.daemon.process_spec import Plan, WorkerSpec
from streamer.daemon.shared_memory import SharedState
from streamer.daemon.status import CameraNote, camera_status, daemon_status, misconfigured_status, well_formed
from streamer.daemon.systemd_notify import Notifier, Startup
from streamer.daemon.topology import NOTHING, plan
from streamer.daemon.worker_requests import WorkerRequests
from streamer.errors import ControlError, Exit, NotApplied, StorageError, StreamerError
from streamer.ipc.bus import Bus
from streamer.ipc.camera_requests import CorrectionMade, TracksNow
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.clip_messages import ClipAnswer
from streamer.ipc.messages import (
    AllocateRing,
    CameraStatus,
    CameraWarning,
    Hello,
    Message,
    Ready,
    RingRefused,
    Snapshot,
    SourceState,
    WorkerStatus,
)
from streamer.logs import choose_format, setup_daemon
from streamer.sources.kept_evidence import forget_other_evidence
from streamer.sources.kept_view import forget_other_views

log = logging.getLogger(__name__)

POLL_S = 0.1
STATUS_EVERY_S = 1.0
STOP_LIMIT_S = 9.5  # SIGTERM to exit, within systemd's and a person's ten seconds


class Supervisor:
    """`run()` is the daemon; everything else answers to its loop. `operations`: what it can be asked for."""

    def __init__(self, store: ConfigStore, operations: Mapping[str, Operation | str]) -> None:
        self._store = store
        self._operations = operations
        self._guard = Guard()
        self.stopping = False
        self._started_s = time.monotonic()
        self._cameras: dict[str, CameraNote] = {}
        self._quarantine = Quarantine()
        self.plan: Plan = NOTHING
        self._next_status_s = 0.0
        self._reload_requested = False

    def run(self) -> Exit:
        """Serve until told to stop. Raises StreamerError for what keeps the daemon from starting."""
        config = self._store.settings()
        state_dir, runtime_dir = config.state_path, config.runtime_path
        if config.private_redis is not None:
            redis_server.binary()  # better refused now than missed at every restart
        with DaemonLock(state_dir, runtime_dir), Notifier() as notifier:
            self._notifier = notifier
            self.node = node_id(state_dir)
            self.active = ActiveConfig(self._store)
            self.shared = SharedState(runtime_dir, state_dir)
            self.terms = CameraTerms(state_dir)
            self._manager = ProcessManager(self.shared.counters, self._command)
            self._startup = Startup(notifier, self._manager)
            self._bus = Bus(runtime_dir)
            try:
                self._serve(runtime_dir)
            finally:
                self._bus.close()
                self.shared.close()
        return Exit.OK

    def _serve(self, runtime_dir: Path) -> None:
        self._server = self._bus.serve("supervisor")
        self._assigning = Assigning(self, self._manager, self._server.send, self._guard)
        self._requests = WorkerRequests(self, self._server.send)
        control = self._control = ControlServer(runtime_dir / "control.sock")
        for fileno in control.filenos():
            self._bus.watch(fileno)
        self._take_signals()
        cameras, state_dir = len(self._config.cameras), self._config.state_path
        log.info("config_rev %d, %d cameras, state in %s", self.active.rev, cameras, state_dir)
        self._advise()
        try:
            self._apply(self._known())
            while not self.stopping:
                self._turn()
            self._notifier.stopping()
            log.info("stopping")
            self._manager.stop_in_order(self._turn, STOP_LIMIT_S)
        finally:
            self._manager.kill_all()
            for fileno in control.filenos():
                self._bus.unwatch(fileno)
            control.close()

    def _turn(self) -> None:
        """One turn of the loop: at most POLL_S plus what there is to do."""
        for received in self._bus.poll(POLL_S):
            with self._guard("message of a worker"):
                self._handle(received.peer, received.message)
        with self._guard("control socket"):
            for request in self._control.poll():
                with self._guard("request"):
                    self._answer(request)
        for process in self._manager.reap():
            with self._guard("end of a worker"):
                self._on_exit(process)
        if not self.stopping:
            with self._guard("start of workers"):
                self._manager.tick()
        if self._reload_requested:
            with self._guard("reload"):
                self._reload()
        now_s = time.monotonic()
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + STATUS_EVERY_S
            self._once_a_second(now_s)
        self._notifier.alive()

    # ---- configuration

    def _apply(self, before: set[str]) -> None:
        """Places the cameras in force, tells workers what changed for them, and lets go of those that were
        there before and are no more.
        """
        gone = before - self._known()
        for name in gone:
            self._cameras.pop(name, None)
            self._quarantine.forget(name)
        self._forget_terms(gone)
        self._replan()
        # After everyone has been told, so that nobody is told to use a ring or a row that is no more.
        for name in before - self.plan.capture_of.keys():
            self.shared.release_ring(name)
        for name in gone:
            self.shared.forget(name)
        self._forget_views()

    def _replan(self, freed: frozenset[str] = frozenset()) -> None:
        misconfigured = self.active.misconfigured
        self.plan = plan(self._config, self.plan, self._quarantine.cameras, misconfigured, freed)
        self._manager.reconcile(self.plan.workers)
        self._assigning.tell_all()

    @property
    def control(self) -> ControlConfig:
        return self._config.control

    def change(self, change: AnyChange, caller: Caller | None = None) -> int:
        """Validate, write and apply; returns the new revision. Raises StreamerError: nothing has changed, but
        for NotApplied.
        """
        before = self._known()
        self.active.change(change, caller)
        try:
            self._apply(before)
            if failed := self._assigning.failed:
                raise ControlError(f"{', '.join(failed)} could not be told: see the log")
        except StreamerError as error:
            raise NotApplied(error) from error
        by = f" by {caller.name}" if caller is not None else ""
        log.info("config_rev %d: %s%s", self.active.rev, getattr(change, "op", ""), by)
        return self.active.rev

    def _reload(self) -> None:
        self._reload_requested = False
        before = self._known()
        if self.active.reload():
            self._advise()
            self._apply(before)

    def _forget_terms(self, gone: set[str]) -> None:
        """What is added under the name of a camera that was removed belongs to the box."""
        try:
            self.terms.forget(gone)
        except StorageError as error:
            log.error("the term of a camera that was removed is still its name's: %s", error)

    def _forget_views(self) -> None:
        """Of cameras that are no more, also those whose files were removed by hand or while no daemon ran."""
        try:
            forget_other_views(self._config.state_path, self._known())
            forget_other_evidence(self._config.state_path, self._known())
        except StorageError as error:
            log.warning("what was learnt of a camera that was removed is still there: %s", error)

    def _advise(self) -> None:
        for line in self._config.advice:
            log.warning("%s", line)

    def _known(self) -> set[str]:
        """The cameras that there are, also those whose files cannot be used."""
        return {camera.name for camera in self._config.cameras} | self.active.misconfigured.keys()

    @property
    def _config(self) -> Config:
        return self.active.config

    # ---- workers

    def _command(self, spec: WorkerSpec, beat: int) -> list[str]:
        config, run = self._config, spec.process.run
        if not isinstance(run, str):
            return run(config)
        return worker_command(
            run, spec.name, config.runtime_path, config.state_path, self.shared.folder, beat
        )

    def _on_exit(self, process: WorkerProcess) -> None:
        """A worker has ended: take back what it held, and tell whoever waited for that."""
        spec = process.spec
        if spec.process.on_exit is not None:
            spec.process.on_exit(spec, self)
        if self.stopping:
            return
        if spec.process.exclusive and self._manager.processes.get(spec.name) is process:
            self._consider_quarantine(spec)
        self._assigning.after_exit()

    def _consider_quarantine(self, spec: WorkerSpec) -> None:
        if self._quarantine.died(spec.name, spec.cameras, time.monotonic()):
            log.warning("%s keeps dying: each of its cameras gets a process of its own", spec.name)
            self._replan()

    def _end_quarantine(self, now_s: float) -> None:
        """Cameras that have lived alone for their term go back to the others."""
        processes = self._manager.processes.values()
        capturing = [p for p in processes if p.spec.process.exclusive and p.ready_rev >= 0]
        freed = self._quarantine.release({name for p in capturing for name in p.spec.cameras}, now_s)
        if freed:
            log.info("out of quarantine: %s", ", ".join(sorted(freed)))
            self._replan(freed)
        for camera in self._config.cameras:
            self._note(camera.name).quarantine_s = self._quarantine.left_s(camera.name)

    # ---- messages

    def _handle(self, worker: str, message: Message) -> None:
        process = self._manager.processes.get(worker)
        if process is None:
            return
        if isinstance(message, Hello):
            if process.child is not None and message.pid == process.child.pid:
                self._assigning.greeted(process)
        elif isinstance(message, Ready):
            process.ready_rev = message.rev
            process.last_error = ""
        elif isinstance(message, WorkerStatus):
            process.status = well_formed(message.status)
        elif isinstance(message, SourceState):
            if self._captures(process, message.camera):
                self._note(message.camera).state = message
        elif isinstance(message, AllocateRing):
            if self._captures(process, message.camera):
                self._allocate_ring(worker, message)
        elif isinstance(message, CameraWarning):
            if message.camera in self.plan.capture_of:
                self._note(message.camera).warning = message.text
        elif isinstance(message, Snapshot | CorrectionMade | TracksNow | ClipAnswer):
            self._requests.arrived(message)
        elif isinstance(message, ClipMessage):
            self._requests.hand_on(message)

    def _captures(self, process: WorkerProcess, camera: str) -> bool:
        """Whether the camera is this worker's. One that is to go, or has lost the camera, may not know yet:
        a ring that it got would be nobody's to remove."""
        return process.stop_by_s is None and self.plan.capture_of.get(camera) == process.spec.name

    def _allocate_ring(self, worker: str, message: AllocateRing) -> None:
        note = self._note(message.camera)
        try:
            ring = self.shared.allocate_ring(
                message.camera, self._config.capture.slots, message.width, message.height, message.opening
            )
        except StorageError as error:
            if note.warning != str(error):  # it is asked for again and again
                note.warning = str(error)
                log.error("camera %s: %s", message.camera, error)
            self._server.send(worker, RingRefused(message.camera, message.opening, str(error)))
            return
        note.warning = ""
        note.opens += 1
        self._server.send(worker, ring)

    # ---- what lines of the table use (process_spec.Site)

    def send_to_capture(self, camera: str, message: Message) -> bool:
        """False: nothing captures the camera, or its process is away."""
        worker = self.plan.capture_of.get(camera)
        return worker is not None and self._server.send(worker, message)

    def state_unknown(self, camera: str) -> None:
        self._note(camera).state = None

    def _note(self, camera: str) -> CameraNote:
        return self._cameras.setdefault(camera, CameraNote(term=self.terms.of(camera)))

    # ---- what it can be asked for (operations.Daemon)

    def _answer(self, request: Request) -> None:
        if self.stopping:
            request.fail(ControlError("the daemon is stopping: nothing was changed"))
        else:
            serve(self._operations, self, request)

    def take_snapshot(self, camera: str, width: int, answer: Answer) -> None:
        self._requests.take_snapshot(camera, width, answer)

    def correct(self, arguments: CorrectionArguments, uid: int | None, answer: Answer) -> None:
        self._requests.correct(arguments, uid, answer)

    def set_occupancy(self, arguments: OccupancyArguments, uid: int | None, answer: Answer) -> None:
        self._requests.set_occupancy(arguments, uid, answer)

    def clip(self, arguments: ClipArguments, asked: Asked) -> None:
        self._requests.clip(arguments, asked)

    def tracks_now(self, camera: str, answer: Answer) -> None:
        self._requests.tracks_now(camera, answer)

    def take_term(self, arguments: TermArguments, caller: Caller) -> CameraTerm:
        camera, before = arguments.camera, self.terms.of(arguments.camera)
        term = self.terms.take(arguments)
        if camera in self._cameras:
            self._cameras[camera].term = term
        self._assigning.tell_all()
        if term != before:
            owned = "owned" if term.owned else "unowned"
            log.info("camera %s: term %d of %s, %s, by %s", camera, term.term, term.site, owned, caller.name)
        return term

    def replay(self, sink: str, cameras: tuple[str, ...], since_ns: int, rebuild: bool) -> int:
        return self._requests.replay(sink, cameras, since_ns, rebuild)

    # ---- status

    def status(self) -> dict[str, Any]:
        """What `streamer status --json` prints."""
        return daemon_status(
            config=self._config,
            node=self.node,
            rev=self.active.rev,
            uptime_s=time.monotonic() - self._started_s,
            plan=self.plan,
            manager=self._manager,
            shared=self.shared,
            notes={name: self._note(name) for name in self._known()},
            misconfigured=self.active.misconfigured,
            warnings=[*self.active.warnings, *filter(None, [self._guard.warning(), self.terms.warning])],
        )

    def _once_a_second(self, now_s: float) -> None:
        with self._guard("requests"):
            self._requests.expire(now_s)
        with self._guard("quarantine"):
            self._end_quarantine(now_s)
        with self._guard("reload"):
            self._reload_requested = self._reload_requested or self.active.healed()
        if self._assigning.unfinished:
            self._assigning.tell_all()
        for camera in self._config.cameras:
            with self._guard("status of a camera"):
                row = camera_status(camera, self.plan, self._manager, self.shared, self._note(camera.name))
                self._server.send("deliver", CameraStatus(camera.name, row))
        for name, fault in self.active.misconfigured.items():
            with self._guard("status of a camera"):
                row = misconfigured_status(name, fault, self.shared, self._note(name))
                self._server.send("deliver", CameraStatus(name, row))
        with self._guard("start"):
            self._startup.tick(len(self._config.cameras))

    def _take_signals(self) -> None:
        def stop(_signum: int, _frame: FrameType | None) -> None:
            self.stopping = True

        def reload(_signum: int, _frame: FrameType | None) -> None:
            self._reload_requested = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)


def run(store: ConfigStore) -> int:
    """The daemon in the foreground; returns its exit code. Raises StreamerError when it cannot start."""
    setup_daemon("supervisor")
    choose_format(store.settings().logging.format)
    setup_daemon("supervisor")
    confine()
    return int(Supervisor(store, OPERATIONS).run())
