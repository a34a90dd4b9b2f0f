"""The delivery worker: batches from inference workers to the ledger, acknowledged, then to Redis.

Two threads, so that a Redis that hangs, lies or is away for a week delays neither a commit nor an
acknowledgement. This thread owns the bus and the ledger's one writing connection: all batches that wait are
committed together, then acknowledged. The projector (publisher.py) reads the ledger through a connection of
its own and writes to Redis; this thread notes in the ledger how far it came, once a second.

A batch that is not the sender's oldest, nor next to one that was taken, is left unacknowledged: something
before it was lost with a predecessor of this process and is sent again first. So a camera's events are
committed in the order of their numbers, and a repeat is known by its number.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from streamer.errors import RedisError
from streamer.events.cloudevents import rfc3339
from streamer.ipc import bus
from streamer.ipc.messages import (
    Ack,
    Batch,
    CameraStatus,
    DeliverAssignment,
    EventRecord,
    Hello,
    Message,
    Ready,
    Resume,
    ResumeRequest,
    Stop,
    WorkerStatus,
)
from streamer.ledger import Ledger, LedgerFull
from streamer.sinks.redis import RedisSink
from streamer.workers.deliver.publisher import Projector

log = logging.getLogger(__name__)

ENDPOINT = "deliver"
HELLO_EVERY_S = 0.5
STATUS_EVERY_S = 1.0
POLL_S = 0.1  # at most; anything that arrives ends it at once
DRAIN_S = 3.0  # how long close() lets the projector send what is committed


class DeliverWorker:
    """Implements workers.loop.Worker."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path) -> None:  # noqa: ARG002
        self.stopping = False
        self._name = name
        self._assignment: DeliverAssignment | None = None
        self._ledger: Ledger | None = None
        self._projector: Projector | None = None
        self._server: bus.Server | None = None
        self._taken: dict[str, int] = {}  # per sender the last batch that is in the ledger
        self._counts = dict.fromkeys(("batches", "events", "repeated", "conflicts", "missing"), 0)
        self._counts |= dict.fromkeys(("out_of_turn", "refused", "marks_refused"), 0)
        self._commit_ms: deque[float] = deque(maxlen=500)
        self._ledger_error = ""
        self._hello_s = self._status_s = 0.0
        self._bus = bus.Bus(runtime_dir)

    def open(self) -> None:
        self._supervisor = self._bus.connect("supervisor", self._name)

    def step(self) -> None:
        """Raise RedisError when the projector has died of something that it does not expect."""
        if self._projector is not None and not self._projector.alive:
            raise RedisError("the thread that writes to Redis has died: see the log above")
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
        """Take what has arrived, let Redis have it if that goes at once, and write the ledger back."""
        if self._ledger is not None:
            waiting = [(r.peer, r.message) for r in self._bus.poll(0) if isinstance(r.message, Batch)]
            self._take(waiting)
            self._stop_projector()
            self._ledger.close()
        self._bus.close()

    # ---- the supervisor

    def _obey(self, message: Message) -> None:
        if isinstance(message, DeliverAssignment):
            self._assign(message)
        elif isinstance(message, CameraStatus) and self._projector is not None:
            told = {**message.status, "updated": rfc3339(time.time_ns())}
            self._projector.show(message.camera, _state_fields(told))
        elif isinstance(message, Stop):
            self.stopping = True

    def _assign(self, new: DeliverAssignment) -> None:
        """Open the ledger, then serve. A changed Redis restarts the projector alone."""
        old, self._assignment = self._assignment, new
        if old is not None and old.rev == new.rev:
            self._supervisor.send(Ready(self._name, new.rev))
            return
        if self._ledger is None:
            self._ledger = Ledger(
                Path(new.ledger_path),
                new.node,
                max_bytes=new.ledger_max_bytes,
                retention_days=new.retention_days,
            )
        else:
            self._ledger.retention.set_limits(new.ledger_max_bytes, new.retention_days)
        if new.config_json:
            self._try_ledger(lambda ledger: ledger.record_config(new.config_rev, new.config_json))
        if old is None or (old.redis_url, old.stream_max_len) != (new.redis_url, new.stream_max_len):
            self._stop_projector()
            self._start_projector(new)
        if self._projector is not None and new.cameras is not None:
            self._projector.configure(new.cameras)
        if self._server is None:
            self._server = self._bus.serve(ENDPOINT)
        self._supervisor.send(Ready(self._name, new.rev))

    def _start_projector(self, assignment: DeliverAssignment) -> None:
        if not assignment.redis_url or self._ledger is None:
            return
        url, node, max_len = assignment.redis_url, assignment.node, assignment.stream_max_len
        try:
            sink = RedisSink(url, node, max_len)
        except RedisError as error:
            log.error("%s", error)
            return
        self._projector = Projector(self._ledger.path, lambda: sink, max_len)
        self._projector.start()

    def _stop_projector(self) -> None:
        if self._projector is None:
            return
        if not self._projector.stop(DRAIN_S):
            log.warning("Redis does not answer; what it lacks is sent after the next start")
        self._mark()
        self._projector = None

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
        except LedgerFull as error:
            self._counts["refused"] += 1
            self._note_ledger(str(error))
            if len(batches) > 1:
                self._take(batches[:1])  # all together found no room; one may
            return
        self._note_ledger("")
        self._commit_ms.append((time.perf_counter() - began_s) * 1000)
        self._acknowledge(taken)
        if self._projector is not None:
            self._projector.wake()
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
        if self._ledger is None or self._server is None:
            return  # asked again until it is answered
        self._server.send(peer, Resume(tuple(self._ledger.resume(camera) for camera in request.cameras)))

    # ---- once a while

    def _once_a_while(self) -> None:
        now_s = time.monotonic()
        if self._assignment is None and now_s >= self._hello_s:
            self._hello_s = now_s + HELLO_EVERY_S
            self._supervisor.send(Hello(self._name, os.getpid()))
        if self._ledger is not None and now_s >= self._status_s:
            self._status_s = now_s + STATUS_EVERY_S
            self._mark()
            self._ledger.tick()
            self._supervisor.send(WorkerStatus(self._name, self._status()))

    def _mark(self) -> None:
        """Without Redis all that is committed counts as delivered, so that it may be pruned."""
        if self._projector is not None:
            marks = self._projector.marks()
        elif self._ledger is not None and self._assignment is not None and not self._assignment.redis_url:
            marks = self._ledger.last_seqs()
        else:
            return
        self._try_ledger(lambda ledger: ledger.mark(marks))

    def _try_ledger(self, write: Any) -> None:
        """Run a write that may as well be done a second later."""
        try:
            write(self._ledger)
        except LedgerFull:
            self._counts["marks_refused"] += 1  # what is wrong is said where events are refused

    def _note_ledger(self, error: str) -> None:
        if error and not self._ledger_error:
            log.error("%s; counting goes on, and what it cannot take is offered again", error)
        elif self._ledger_error and not error:
            log.warning("the ledger takes events again")
        self._ledger_error = error

    def _status(self) -> dict[str, Any]:
        if self._ledger is None:
            return {}
        times_ms = sorted(self._commit_ms)
        ledger = self._ledger.status()
        ledger |= {"state": "full" if self._ledger_error else "ok", "last_error": self._ledger_error}
        if times_ms:
            ledger["commit_ms_p50"] = round(times_ms[len(times_ms) // 2], 3)
            ledger["commit_ms_p99"] = round(times_ms[len(times_ms) * 99 // 100], 3)
        redis: dict[str, Any] = {"state": "off"}
        if self._projector is not None:
            redis = self._projector.status()
        elif self._assignment is not None and self._assignment.redis_url:
            redis = {"state": "refused", "last_error": "redis.url is not understood"}
        return {"ledger": ledger, "redis": redis, "taken": dict(self._counts), "damaged": self._bus.damaged}


def _state_fields(status: dict[str, Any]) -> dict[str, str]:
    """The fields of a camera's state hash: numbers and words as they are, the rest as JSON."""
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in status.items()
    }


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> DeliverWorker:  # noqa: ARG001
    """What workers/main.py calls; this worker shares no memory with others."""
    return DeliverWorker(name, runtime_dir, state_dir)
