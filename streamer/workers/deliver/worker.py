"""The delivery worker: batches from inference workers to the ledger, acknowledged, then to the sinks.

A thread for each sink beside this one, so that a sink that hangs, lies or is away for a week delays neither
a commit nor an acknowledgement nor another sink. This thread owns the bus and the ledger's one writing
connection: all batches that wait are committed together, then acknowledged. A publisher (publisher.py)
reads the ledger through a connection of its own and writes to its sink; this thread notes in the ledger how
far each came, once a second.

A batch that is not the sender's oldest, nor next to one that was taken, is left unacknowledged: something
before it was lost with a predecessor of this process and is sent again first. So a camera's events are
committed in the order of their numbers, and a repeat is known by its number.

A ledger that is full, fails or is locked by another program is tried again for as long as that lasts; the
senders keep what it has not taken. What is tried waits for a fraction of a second only, also where the
ledger cannot even be opened, so that this process stays alive and says what is wrong.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from streamer.errors import ConfigError, StreamerError
from streamer.events.cloudevents import rfc3339
from streamer.ipc import bus
from streamer.ipc.messages import (
    Ack,
    Batch,
    CameraStatus,
    DeliverAssignment,
    EventRecord,
    FrameTrace,
    Hello,
    Message,
    Ready,
    ReplayRequest,
    Resume,
    ResumeRequest,
    SinkAssignment,
    WorkerStatus,
)
from streamer.ledger import Ledger, LedgerFull, LedgerLocked, LedgerRefused
from streamer.sinks import open_sink
from streamer.sinks.base import KnowsTerms, ShowsRules, Sink, TakesCommands
from streamer.workers.deliver.commands import Commands
from streamer.workers.deliver.publisher import Publisher
from streamer.workers.deliver.replay import Replay
from streamer.workers.deliver.traces import Traces

log = logging.getLogger(__name__)

ENDPOINT = "deliver"
HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
POLL_S = 0.1  # at most; anything that arrives ends it at once
DRAIN_S = 3.0  # how long close() lets the publishers send what is committed


class DeliverWorker:
    """Implements workers.loop.Worker."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path) -> None:  # noqa: ARG002
        self.stopping = False
        self._name = name
        self._assignment: DeliverAssignment | None = None
        self._applied: DeliverAssignment | None = None  # to the ledger and the publishers
        self._recorded_rev = 0  # the configuration that the ledger keeps
        self._ledger: Ledger | None = None
        self._publishers: dict[str, Publisher] = {}  # by the sink's name
        self._sinks: dict[str, SinkAssignment] = {}  # those that were opened, or refused
        self._opened: dict[str, Sink] = {}  # by the sink's name
        self._commands = Commands(runtime_dir / "control.sock")
        self._sinks_refused: dict[str, str] = {}  # by name, why they cannot be opened
        self._server: bus.Server | None = None
        self._taken: dict[str, int] = {}  # per sender the last batch that is in the ledger
        self._counts = dict.fromkeys(("batches", "events", "repeated", "conflicts", "missing"), 0)
        self._counts |= dict.fromkeys(("out_of_turn", "refused", "marks_refused"), 0)
        self._commit_ms: deque[float] = deque(maxlen=500)
        self._refused: LedgerRefused | None = None  # why the ledger takes nothing
        self._traces: Traces | None = None
        self._warning = ""  # what a person should mend, in `streamer status`
        self._hello_s = self._status_s = 0.0
        self._bus = bus.Bus(runtime_dir)

    def open(self) -> None:
        self._supervisor = self._bus.connect("supervisor", self._name)

    def step(self) -> None:
        """Raise StreamerError for what ends this process: the ledger is damaged, or a publisher died of
        something that it does not expect.
        """
        for name, publisher in self._publishers.items():
            if not publisher.alive:
                text = f"the thread that writes to sink {name} has died: see the log above"
                raise publisher.ended_by or StreamerError(text)
        batches: list[tuple[str, Batch]] = []
        asked: list[tuple[str, ResumeRequest]] = []
        for received in self._bus.poll(POLL_S):
            message = received.message
            if isinstance(message, Batch):
                batches.append((received.peer, message))
            elif isinstance(message, ResumeRequest):
                asked.append((received.peer, message))
            else:
                self._obey(message)
        if batches:
            self._take(batches)
        for peer, request in asked:  # after the commit: what came before the question is part of the answer
            self._answer(peer, request)
        self._once_a_while()

    def close(self) -> None:
        """Take what has arrived, let the sinks have it if that goes at once, and write the ledger back."""
        if self._ledger is not None:
            waiting = [(r.peer, r.message) for r in self._bus.poll(0) if isinstance(r.message, Batch)]
            self._take(waiting)
            self._stop_publishers(list(self._publishers))
            self._ledger.close()
        if self._traces is not None:
            self._traces.close()
        self._commands.close()
        self._bus.close()

    # ---- the supervisor

    def _obey(self, message: Message) -> None:
        if isinstance(message, DeliverAssignment):
            self._assign(message)
        elif isinstance(message, CameraStatus):
            fields = _state_fields({**message.status, "updated": rfc3339(time.time_ns())})
            for publisher in self._publishers.values():
                publisher.show(message.camera, fields)
        elif isinstance(message, ReplayRequest):
            self._replay(message)
        elif isinstance(message, FrameTrace) and self._traces is not None:
            self._traces.add(message)

    def _replay(self, message: ReplayRequest) -> None:
        publisher = self._publishers.get(message.sink)
        if publisher is None:
            log.error("sink %s: is not open: nothing is sent again", message.sink)
            return
        asked = (message.number, message.cameras, message.since_ns, message.rebuild)
        publisher.replay(Replay(*asked))

    def _assign(self, new: DeliverAssignment) -> None:
        """Serve, whether the ledger can be opened now or not: what is sent to it waits with the senders."""
        old, self._assignment = self._assignment, new
        for sink in self._opened.values():
            _tell_terms(sink, new)
        if old is None or old.rev != new.rev:
            self._try(self._apply)
            self._trace_to(new.traces_to, new.node)
        if self._server is None:
            self._server = self._bus.serve(ENDPOINT)
        self._supervisor.send(Ready(self._name, new.rev))

    def _trace_to(self, endpoint: str, node: str) -> None:
        """Without the library a warning says what to install; nothing else waits for that."""
        if endpoint == (self._traces.endpoint if self._traces is not None else ""):
            return
        if self._traces is not None:
            self._traces.close()
        self._traces, self._warning = None, ""
        try:
            self._traces = Traces(endpoint, node) if endpoint else None
        except ConfigError as error:
            self._warning = str(error)
            log.error("%s", error)

    def _apply(self) -> None:
        """Open the ledger or set its limits. A changed sink restarts its own publisher alone.

        Raises LedgerRefused, and is tried again then; StorageError.
        """
        new, old = self._assignment, self._applied
        if new is None or new is old:
            return
        if self._ledger is None:
            self._ledger = Ledger(
                Path(new.ledger_path),
                new.node,
                max_bytes=new.ledger_max_bytes,
                retention_days=new.retention_days,
                tracks_days=new.tracks_days,
            )
            self._note(None)
        else:
            self._ledger.set_limits(new.ledger_max_bytes, new.retention_days, new.tracks_days)
        renamed = self._ledger.record_renames(new.renames)
        self._apply_sinks({sink.name: sink for sink in new.sinks}, new.node, self._ledger)
        if new.cameras is not None:
            for publisher in self._publishers.values():
                publisher.configure(new.cameras)
        if renamed:
            self._recheck()
        self._describe(new.config_json)
        self._applied = new

    def _describe(self, config_json: str) -> None:
        """Tell the sinks that want to know what the cameras count."""
        showing = [sink for sink in self._opened.values() if isinstance(sink, ShowsRules)]
        if not showing or not config_json:
            return
        from pipelines.camera_rules import CameraRules  # which most sinks need not load

        cameras = msgspec.json.decode(config_json).get("cameras", [])
        rules = {camera["name"]: CameraRules.model_validate(camera["rules"]) for camera in cameras}
        for sink in showing:
            sink.describe(rules)

    def _apply_sinks(self, sinks: dict[str, SinkAssignment], node: str, ledger: Ledger) -> None:
        """Raises LedgerRefused, and goes on from there when it is called again."""
        gone = [name for name, sink in self._sinks.items() if sinks.get(name) != sink]
        self._stop_publishers(gone)
        for name in gone:
            del self._sinks[name]
            self._sinks_refused.pop(name, None)
        ledger.replace_sinks(sinks)
        for name in [name for name in sinks if name not in self._sinks]:
            self._sinks[name] = sinks[name]
            self._start_publisher(sinks[name], node, ledger)

    def _start_publisher(self, assignment: SinkAssignment, node: str, ledger: Ledger) -> None:
        name = assignment.name
        if assignment.refused:
            log.error("%s", assignment.refused)
            self._sinks_refused[name] = assignment.refused
            return
        try:
            place = ledger.path.parent
            sink = open_sink(assignment.kind, assignment.settings, node, assignment.address, place)
        except StreamerError as error:
            log.error("sink %s: %s", name, error)
            self._sinks_refused[name] = str(error)
            return
        _tell_terms(sink, self._assignment)
        if isinstance(sink, TakesCommands):
            sink.obey_with(partial(self._commands.ask, name))
        self._opened[name] = sink
        self._publishers[name] = Publisher(ledger.path, name, sink)
        self._publishers[name].start()

    def _stop_publishers(self, names: list[str]) -> None:
        """All at the same time: several that do not answer are waited for as long as one."""
        stopped = {name: self._publishers[name] for name in names if name in self._publishers}
        if not stopped:
            return
        for publisher in stopped.values():
            publisher.begin_stop(DRAIN_S)
        end_s = time.monotonic() + DRAIN_S
        for name, publisher in stopped.items():
            if not publisher.join(max(0.0, end_s - time.monotonic())):
                log.warning("sink %s does not answer; what it lacks is sent after the next start", name)
        self._try(self._mark)
        for name in stopped:
            del self._publishers[name], self._opened[name]

    # ---- inference workers

    def _take(self, batches: list[tuple[str, Batch]]) -> None:
        """Commit all that are in turn in one transaction, then acknowledge them."""
        taken: dict[str, int] = {}
        records: list[EventRecord] = []
        for peer, batch in batches:
            last = taken.get(peer, self._taken.get(peer))
            follows = last is not None and batch.oldest <= batch.number <= last + 1
            if batch.oldest and batch.number != batch.oldest and not follows:
                self._counts["out_of_turn"] += 1
                continue
            taken[peer] = batch.number
            records.extend(batch.events)
        if not taken or self._ledger is None:
            return
        began_s = time.perf_counter()
        try:
            done = self._ledger.commit(records)
        except LedgerRefused as error:
            self._counts["refused"] += 1
            self._note(error)
            if isinstance(error, LedgerFull) and len(batches) > 1:
                self._take(batches[:1])  # all together found no room; one may
            return
        self._note(None)
        self._commit_ms.append((time.perf_counter() - began_s) * 1000)
        self._acknowledge(taken)
        for publisher in self._publishers.values():
            publisher.wake()
        self._counts["batches"] += len(batches)
        self._counts["events"] += done.stored
        self._counts["repeated"] += done.repeated
        self._counts["missing"] += done.missing
        if done.conflicts:
            self._counts["conflicts"] += done.conflicts
            log.error("%d events came with numbers that other events have: they are not kept", done.conflicts)

    def _acknowledge(self, taken: dict[str, int]) -> None:
        """A lost acknowledgement costs a repeat, which is known by its numbers."""
        self._taken.update(taken)
        for peer, number in taken.items():
            if self._server is not None:
                self._server.send(peer, Ack(number))

    def _answer(self, peer: str, request: ResumeRequest) -> None:
        """Asked again until it is answered."""
        if self._ledger is None or self._server is None:
            return
        try:
            answer = Resume(tuple(self._ledger.resume(camera) for camera in request.cameras))
        except LedgerRefused as error:
            self._note_lock(error)
            return
        self._server.send(peer, answer)

    # ---- once a while

    def _once_a_while(self) -> None:
        now_s = time.monotonic()
        if self._assignment is None and now_s >= self._hello_s:
            self._hello_s = now_s + HELLO_EVERY_S
            self._supervisor.send(Hello(self._name, os.getpid()))
        if self._assignment is not None and now_s >= self._status_s:
            self._status_s = now_s + STATUS_EVERY_S
            self._try(self._tend)
            self._supervisor.send(WorkerStatus(self._name, self._status()))

    def _tend(self) -> None:
        """What the ledger is due once a second. Raises LedgerRefused, StorageError."""
        self._apply()
        new, ledger = self._applied, self._ledger
        if new is None or ledger is None:
            return
        if isinstance(self._refused, LedgerLocked):  # where no event comes, nothing else would notice
            ledger.probe()
            self._note(None)
        if new.config_json and self._recorded_rev != new.config_rev:
            ledger.record_config(new.config_rev, new.config_json)
            self._recorded_rev = new.config_rev
        self._mark()
        if ledger.tick():
            self._recheck()

    def _recheck(self) -> None:
        """Running totals are others: have the sinks' put right."""
        for publisher in self._publishers.values():
            publisher.recheck()

    def _mark(self) -> None:
        """Not before the ledger was told of the sinks that there are: it keeps events for those it knows."""
        if self._ledger is not None and self._applied is not None:
            self._ledger.mark({name: p.positions() for name, p in self._publishers.items()})

    def _try(self, action: Callable[[], None]) -> None:
        """Run what may as well be done a second later."""
        try:
            action()
        except LedgerRefused as error:
            self._counts["marks_refused"] += 1
            if self._ledger is None:
                self._note(error)  # no event is taken, and nothing else would say why
            self._note_lock(error)

    def _note_lock(self, error: LedgerRefused) -> None:
        """A ledger that is full or fails is said where events are refused."""
        if isinstance(error, LedgerLocked):
            self._note(error)

    def _note(self, error: LedgerRefused | None) -> None:
        """Say it once, when it begins and when it is over."""
        if error is not None and (self._refused is None or self._refused.state != error.state):
            log.error("%s; counting goes on, and what it cannot take is offered again", error)
        elif error is None and self._refused is not None:
            log.warning("the ledger takes events again")
        self._refused = error

    def _status(self) -> dict[str, Any]:
        times_ms = sorted(self._commit_ms)
        ledger: dict[str, Any] = {}
        try:
            ledger = self._ledger.status() if self._ledger is not None else {}
        except LedgerRefused as error:
            self._note_lock(error)
        ledger |= {"state": "ok", "last_error": ""}
        if self._refused is not None:
            ledger |= {"state": self._refused.state, "last_error": str(self._refused)}
        if times_ms:
            ledger["commit_ms_p50"] = round(times_ms[len(times_ms) // 2], 3)
            ledger["commit_ms_p99"] = round(times_ms[len(times_ms) * 99 // 100], 3)
        sinks = self._assignment.sinks if self._assignment is not None else ()
        return {
            "ledger": ledger,
            "sinks": {sink.name: {"kind": sink.kind, **self._sink_status(sink.name)} for sink in sinks},
            "taken": dict(self._counts),
            "damaged": self._bus.damaged,
            "warning": self._warning,
        }

    def _sink_status(self, name: str) -> dict[str, Any]:
        if name in self._publishers:
            return self._publishers[name].status()
        if name in self._sinks_refused:
            return {"state": "refused", "last_error": self._sinks_refused[name]}
        return {"state": "connecting"}


def _tell_terms(sink: Sink, assignment: DeliverAssignment | None) -> None:
    if isinstance(sink, KnowsTerms) and assignment is not None:
        sink.know_terms(assignment.terms)


def _state_fields(status: dict[str, Any]) -> dict[str, str]:
    """The fields of a camera's state hash: numbers and words as they are, the rest as JSON."""
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in status.items()
    }


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> DeliverWorker:  # noqa: ARG001
    """What workers/main.py calls; this worker shares no memory with others."""
    return DeliverWorker(name, runtime_dir, state_dir)
