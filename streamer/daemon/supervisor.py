"""The daemon's main process: keeps what runs equal to what the configuration says.

One thread, one loop: messages from workers, requests on the control socket, children that have ended. It
owns the shared memory and the numbers that name things, decides nothing about pixels, and feeds systemd's
watchdog from this very loop, so that a supervisor that hangs is noticed.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from streamer.api.change_schema import AnyChange
from streamer.api.control_socket import ControlServer, Request
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.daemon import redis_server
from streamer.daemon.active_config import InForce
from streamer.daemon.assignments import capture_assignment, deliver_assignment, infer_assignment
from streamer.daemon.child_process import worker_command
from streamer.daemon.guard import Guard
from streamer.daemon.identity import DaemonLock, node_id
from streamer.daemon.operations import OPERATIONS, Answer, Operation, serve
from streamer.daemon.process_manager import Fleet, Member
from streamer.daemon.quarantine import Quarantine
from streamer.daemon.shared_memory import SharedState
from streamer.daemon.snapshots import Pictures
from streamer.daemon.startup import Startup
from streamer.daemon.status import CameraNote, camera_status, daemon_status, misconfigured_status, well_formed
from streamer.daemon.systemd_notify import Notifier
from streamer.daemon.topology import NOTHING, Plan, WorkerSpec, plan
from streamer.errors import (
    ConfigError,
    ControlError,
    Exit,
    NotApplied,
    SourceError,
    StorageError,
    StreamerError,
)
from streamer.ipc.bus import Bus
from streamer.ipc.messages import (
    CameraStatus,
    Hello,
    Message,
    OpenRing,
    Picture,
    Ready,
    Reclaim,
    RingRefused,
    SourceState,
    TakePicture,
    Trouble,
    WorkerStatus,
)
from streamer.logs import setup_daemon
from streamer.sinks.redis import RedisSettings

log = logging.getLogger(__name__)

POLL_S = 0.1
STATUS_EVERY_S = 1.0
STOP_LIMIT_S = 9.5  # SIGTERM to exit, within systemd's and a person's ten seconds


class Supervisor:
    """`run()` is the daemon; everything else answers to its loop. `operations`: what it can be asked for."""

    def __init__(self, store: ConfigStore, operations: Mapping[str, Operation]) -> None:
        self._store = store
        self._operations = operations
        self._guard = Guard()
        self._stopping = False
        self._started_s = time.monotonic()
        self._cameras: dict[str, CameraNote] = {}
        self._pictures = Pictures()
        self._quarantine = Quarantine()
        self._plan: Plan = NOTHING
        self._next_status_s = 0.0
        self._reload_wanted = False
        self._unassigned: set[str] = set()  # workers that could not be told what to do
        self._assign_again = False  # something could not be sent, or had to wait for another process

    def run(self) -> Exit:
        """Serve until told to stop. Raises StreamerError for what keeps the daemon from starting."""
        config = self._store.settings()
        state_dir, runtime_dir = config.state_path, config.runtime_path
        if config.private_redis is not None:
            redis_server.binary()  # better refused now than missed at every restart
        with DaemonLock(state_dir, runtime_dir), Notifier() as notifier:
            self._notifier = notifier
            self._node = node_id(state_dir)
            self._force = InForce(self._store)
            self._shared = SharedState(runtime_dir, state_dir)
            self._fleet = Fleet(self._shared.books, self._command)
            self._startup = Startup(notifier, self._fleet)
            self._bus = Bus(runtime_dir)
            try:
                self._serve(runtime_dir)
            finally:
                self._bus.close()
                self._shared.close()
        return Exit.OK

    def _serve(self, runtime_dir: Path) -> None:
        self._server = self._bus.serve("supervisor")
        control = self._control = ControlServer(runtime_dir / "control.sock")
        for fileno in control.filenos():
            self._bus.watch(fileno)
        self._take_signals()
        cameras, state_dir = len(self._config.cameras), self._config.state_path
        log.info("config_rev %d, %d cameras, state in %s", self._force.rev, cameras, state_dir)
        self._advise()
        try:
            self._apply(self._known())
            while not self._stopping:
                self._turn()
            self._notifier.stopping()
            log.info("stopping")
            self._fleet.stop_in_order(self._turn, STOP_LIMIT_S)
        finally:
            self._fleet.kill_all()
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
        for member in self._fleet.reap():
            with self._guard("end of a worker"):
                self._bury(member)
        if not self._stopping:
            with self._guard("start of workers"):
                self._fleet.tick()
        if self._reload_wanted:
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
        self._replan()
        for name in before - self._plan.capture_of.keys():
            self._shared.release(name)
        for name in gone:
            self._shared.forget(name)

    def _replan(self, freed: frozenset[str] = frozenset()) -> None:
        misconfigured = self._force.misconfigured
        self._plan = plan(self._config, self._plan, self._quarantine.cameras, misconfigured, freed)
        self._fleet.reconcile(self._plan.workers)
        self._assign_all()

    def change(self, wanted: AnyChange) -> int:
        """Validate, write and apply; returns the new revision. Raises StreamerError: nothing has changed, but
        for NotApplied.
        """
        before = self._known()
        self._force.change(wanted)
        try:
            self._apply(before)
            if self._unassigned:
                raise ControlError(f"{', '.join(sorted(self._unassigned))} could not be told: see the log")
        except StreamerError as error:
            raise NotApplied(error) from error
        log.info("config_rev %d: %s", self._force.rev, getattr(wanted, "op", ""))
        return self._force.rev

    def _reload(self) -> None:
        self._reload_wanted = False
        before = self._known()
        if self._force.reload():
            self._advise()
            self._apply(before)

    def _advise(self) -> None:
        for line in self._config.advice:
            log.warning("%s", line)

    def _known(self) -> set[str]:
        """The cameras that there are, also those whose files cannot be used."""
        return {camera.name for camera in self._config.cameras} | self._force.misconfigured.keys()

    @property
    def _config(self) -> Config:
        return self._force.config

    # ---- workers

    def _command(self, spec: WorkerSpec, beat: int) -> list[str]:
        config = self._config
        if spec.role == "redis":
            private = config.private_redis or RedisSettings(kind="redis", name="redis")
            return redis_server.command(config.runtime_path, config.state_path, private.max_memory_mb)
        folders = (config.runtime_path, config.state_path, self._shared.folder)
        return worker_command(spec.role, spec.name, *folders, beat)

    def _assign_all(self) -> None:
        self._assign_again = False
        for name in self._plan.workers:
            self._try_to_assign(name)

    def _try_to_assign(self, name: str) -> None:
        """What fails for one worker holds up no other, and is tried again every second."""
        self._unassigned.add(name)
        with self._guard("assignment of a worker"):
            self._assign(name)
            self._unassigned.discard(name)

    def _assign(self, name: str) -> None:
        """Send a worker its assignment, if it is there and it is news to it; again if it did not go out."""
        member = self._fleet.members.get(name)
        if member is None or member.child is None or not member.greeted or member.stop_by_s is not None:
            return
        message = self._assignment(self._plan.workers[name])
        if message != member.assignment:
            if self._server.send(name, message):
                member.assignment = message
            else:
                self._assign_again = True

    def _assignment(self, spec: WorkerSpec) -> Message:
        if spec.role == "capture":
            held = self._fleet.held_by_others(spec.name).intersection(spec.cameras)
            if held:  # until that process has let go: two would write one row of the books
                spec = replace(spec, cameras=tuple(c for c in spec.cameras if c not in held))
                self._assign_again = True
            return capture_assignment(spec, self._config, self._plan, self._shared, self._force.secrets)
        if spec.role == "infer":
            return infer_assignment(
                spec, self._force.rev, self._config, self._shared, self._force.misconfigured
            )
        return deliver_assignment(self._force.rev, self._config, self._node, self._force.secrets)

    def _bury(self, member: Member) -> None:
        """A worker has ended: close its books and take back what it held."""
        spec = member.spec
        if spec.role == "capture":
            books = self._shared.books
            for camera in filter(self._shared.knows, spec.cameras):
                row = self._shared.row(camera)
                books.bury_capture(row)
                if books.reclaimed(row) < self._shared.last_reclaim(camera):
                    books.bury_handed(row)  # its reader died too, and it had not been told
                self._note(camera).state = None
            if self._fleet.members.get(spec.name) is member and not self._stopping:
                self._consider_quarantine(spec)
            if self._assign_again and not self._stopping:
                self._assign_all()
        elif spec.role == "infer" and not self._stopping:
            for camera in spec.cameras:
                generation = self._shared.reclaim(camera)
                self._send_camera(camera, Reclaim(camera, generation))

    def _consider_quarantine(self, spec: WorkerSpec) -> None:
        if self._quarantine.died(spec.name, spec.cameras, time.monotonic()):
            log.warning("%s keeps dying: each of its cameras gets a process of its own", spec.name)
            self._replan()

    def _end_quarantine(self, now_s: float) -> None:
        """Cameras that have lived alone for their term go back to the others."""
        capturing = [m for m in self._fleet.members.values() if m.spec.role == "capture" and m.ready_rev >= 0]
        freed = self._quarantine.release({name for m in capturing for name in m.spec.cameras}, now_s)
        if freed:
            log.info("out of quarantine: %s", ", ".join(sorted(freed)))
            self._replan(freed)
        for camera in self._config.cameras:
            self._note(camera.name).quarantine_s = self._quarantine.left_s(camera.name)

    # ---- messages

    def _handle(self, worker: str, message: Message) -> None:
        member = self._fleet.members.get(worker)
        if member is None:
            return
        if isinstance(message, Hello):
            if member.child is not None and message.pid == member.child.pid:
                member.greeted, member.assignment = True, None
                self._try_to_assign(worker)
        elif isinstance(message, Ready):
            member.ready_rev = message.rev
            member.last_error = ""
        elif isinstance(message, WorkerStatus):
            member.status = well_formed(message.status)
        elif isinstance(message, SourceState):
            if self._captures(member, message.camera):
                self._note(message.camera).state = message
        elif isinstance(message, OpenRing):
            if self._captures(member, message.camera):
                self._grant(worker, message)
        elif isinstance(message, Trouble):
            if message.camera in self._plan.capture_of:
                self._note(message.camera).trouble = message.text
        elif isinstance(message, Picture):
            self._pictures.arrived(message)

    def _captures(self, member: Member, camera: str) -> bool:
        """Whether the camera is this worker's. One that is to go, or has lost the camera, may not know yet:
        a ring that it got would be nobody's to remove."""
        return member.stop_by_s is None and self._plan.capture_of.get(camera) == member.spec.name

    def _grant(self, worker: str, message: OpenRing) -> None:
        note = self._note(message.camera)
        try:
            grant = self._shared.grant(
                message.camera, self._config.capture.slots, message.width, message.height, message.opening
            )
        except StorageError as error:
            if note.trouble != str(error):  # it is asked for again and again
                note.trouble = str(error)
                log.error("camera %s: %s", message.camera, error)
            self._server.send(worker, RingRefused(message.camera, message.opening, str(error)))
            return
        note.trouble = ""
        note.opens += 1
        self._server.send(worker, grant)

    def _send_camera(self, camera: str, message: Message) -> bool:
        worker = self._plan.capture_of.get(camera)
        return worker is not None and self._server.send(worker, message)

    def _note(self, camera: str) -> CameraNote:
        return self._cameras.setdefault(camera, CameraNote())

    # ---- what it can be asked for (operations.Daemon)

    def _answer(self, request: Request) -> None:
        if self._stopping:
            request.fail(ControlError("the daemon is stopping: nothing was changed"))
        else:
            serve(self._operations, self, request)

    def take_picture(self, camera: str, width: int, answer: Answer) -> None:
        """Answer with the camera's next picture, when it comes. Raises ConfigError."""
        if camera in self._force.misconfigured:
            raise ConfigError(f"camera {camera} is misconfigured: {self._force.misconfigured[camera].why}")
        self._config.known_camera(camera)
        number = self._pictures.expect(answer, time.monotonic())
        if not self._send_camera(camera, TakePicture(number, camera, width)):
            self._pictures.give_up(number, SourceError(f"camera {camera} is not captured: enable it first"))

    # ---- status

    def status(self) -> dict[str, Any]:
        """What `streamer status --json` prints."""
        return daemon_status(
            config=self._config,
            node=self._node,
            rev=self._force.rev,
            uptime_s=time.monotonic() - self._started_s,
            plan=self._plan,
            fleet=self._fleet,
            shared=self._shared,
            notes=self._cameras,
            misconfigured=self._force.misconfigured,
            warnings=[*self._force.warnings, *filter(None, [self._guard.warning()])],
        )

    def _once_a_second(self, now_s: float) -> None:
        with self._guard("pictures"):
            self._pictures.expire(now_s)
        with self._guard("quarantine"):
            self._end_quarantine(now_s)
        with self._guard("reload"):
            self._reload_wanted = self._reload_wanted or self._force.healed()
        self._unassigned &= self._plan.workers.keys()
        if self._assign_again or self._unassigned:
            self._assign_all()
        for camera in self._config.cameras:
            with self._guard("status of a camera"):
                row = camera_status(camera, self._plan, self._fleet, self._shared, self._note(camera.name))
                self._server.send("deliver", CameraStatus(camera.name, row))
        for name, fault in self._force.misconfigured.items():
            with self._guard("status of a camera"):
                row = misconfigured_status(name, fault, self._plan, self._shared)
                self._server.send("deliver", CameraStatus(name, row))
        with self._guard("start"):
            self._startup.tick(len(self._config.cameras))

    def _take_signals(self) -> None:
        def stop(_signum: int, _frame: FrameType | None) -> None:
            self._stopping = True

        def reload(_signum: int, _frame: FrameType | None) -> None:
            self._reload_wanted = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)


def run(store: ConfigStore) -> int:
    """The daemon in the foreground; returns its exit code. Raises StreamerError when it cannot start."""
    setup_daemon("supervisor")
    return int(Supervisor(store, OPERATIONS).run())
