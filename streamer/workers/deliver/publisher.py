"""The thread that brings the ledger to one sink. It never holds up the commits, nor another sink's thread,
however its sink behaves.

It has a read-only connection of its own and waits until it is woken or a second has passed. Each camera has
a cursor, up to which the sink has its events. The cursor is asked of the sink itself, at first and after
every failure; each write states it, and once a second it is compared. So whatever the sink has lost
(FLUSHALL, a failover to an older copy, the last second of an append-only file) is noticed and sent again
with the same ids. The ledger's cursors (ledger/cursors.py) follow these and are written by the ledger's own
thread.

Cameras that the sink tells of and that are not configured are told as removed: looked at with every new set
of cameras and whenever the sink was lost, so that a camera that was removed while this process or the sink
was away does not stay live there.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamer.errors import StorageError
from streamer.events.cloudevents import EventId, StoredEvent, rfc3339
from streamer.ledger import LedgerDamaged, LedgerReader, LedgerRefused, recovery
from streamer.sinks.base import ONE_CAMERA, PAUSES_S, Behind, Gathers, Reports, Sink, SinkError
from streamer.workers.deliver.replay import Replay, Replays

log = logging.getLogger(__name__)

BATCH = 200  # events a write
ROUND_S = 1.0  # how often states are published and cursors compared
MAX_ASKED_PAUSE_S = 3600.0  # of what the other side may ask for
RECONCILE_S = 600.0  # how often cameras that are not configured are looked for, where nothing asks for it


class _Failure:
    """A pause that doubles with each failure in a row, with jitter."""

    def __init__(self, sink: str) -> None:
        self.sink = sink
        self.in_row = 0
        self.until_s = 0.0
        self.kind = ""
        self.text = ""

    def note(self, error: SinkError, now_s: float) -> None:
        first_s, longest_s = PAUSES_S[error.kind]
        pause_s = min(longest_s, first_s * 2 ** min(self.in_row, 16))
        asked_s = min(error.pause_s, MAX_ASKED_PAUSE_S)
        if not self.in_row or error.kind != self.kind:
            log.warning("sink %s: %s", self.sink, error)
        self.in_row += 1
        self.until_s = now_s + max(pause_s * random.uniform(0.75, 1.0), asked_s * random.uniform(1.0, 1.1))
        self.kind, self.text = error.kind, str(error)

    def clear(self) -> None:
        self.in_row, self.until_s, self.kind, self.text = 0, 0.0, "", ""


class Cursor:
    """Where the sink stands with one camera."""

    def __init__(self, sink: str) -> None:
        self.known = False
        self.at: EventId | None = None  # what the sink has
        self.read_after: EventId | None = None  # where to read on in the ledger: at `at` or later
        self.delivered = 0  # the camera's seq up to which nothing is left to send
        self.replay_after: int | None = None  # asked for again: all that has a higher seq
        self.failure = _Failure(sink)


class Publisher:
    """Owns its thread and the sink `name`. wake(), show(), positions() and status() are for other threads."""

    def __init__(self, ledger_path: Path, name: str, sink: Sink) -> None:
        self._ledger_path = ledger_path
        self._name = name
        self._sink = sink
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = False
        self._cursors: dict[str, Cursor] = {}
        self._states: dict[str, dict[str, str]] = {}
        self._configured: frozenset[str] | None = None  # None: not known yet
        self._reconcile_s = 0.0  # when the sink's cameras are held against the configured ones next
        self._failure = _Failure(name)
        self._replays = Replays()
        self._written = 0
        self._resyncs = 0
        self._write_ms: deque[float] = deque(maxlen=500)
        self._visible_ms: deque[float] = deque(maxlen=500)  # from wake() to written
        self._woken_at_s: float | None = None
        self.ended_by: StorageError | None = None  # why the thread ended, where it is the ledger
        self._stop_by_s = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"publish-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the ledger."""
        if self._woken_at_s is None:
            self._woken_at_s = time.perf_counter()
        self._woken.set()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def show(self, camera: str, fields: Mapping[str, str]) -> None:
        """Publish these fields of the camera's state with the next round, if it is configured."""
        with self._lock:
            if self._configured is None or camera in self._configured:
                self._states[camera] = dict(fields)

    def configure(self, cameras: Iterable[str]) -> None:
        """These are all the cameras there are; what the sink has of others is told as removed."""
        with self._lock:
            if self._configured != (configured := frozenset(cameras)):
                self._configured = configured
                self._states = {name: state for name, state in self._states.items() if name in configured}
                self._reconcile_s = 0.0

    def recheck(self) -> None:
        """Running totals went from the ledger: bring the sink's in line."""
        with self._lock:
            for cursor in self._cursors.values():
                cursor.known = False

    def replay(self, replay: Replay) -> None:
        """Send again what is asked for; status() says when that is done."""
        self._replays.ask(replay)
        self._woken.set()

    def positions(self) -> dict[str, int]:
        """Per camera the sequence number up to which the sink has everything."""
        with self._lock:
            return {name: cursor.delivered for name, cursor in self._cursors.items() if cursor.known}

    def status(self) -> dict[str, Any]:
        """Plain JSON: state is "up", "connecting" or the kind of failure."""
        with self._lock:
            blocked = {n: p.failure.text for n, p in self._cursors.items() if p.failure.in_row}
            up = "up" if self._cursors or self._written else "connecting"
            own = self._sink.report() if isinstance(self._sink, Reports) else {}
            return {
                **own,
                "state": self._failure.kind or up,
                "last_error": self._failure.text,
                "failures_in_row": self._failure.in_row,
                "written": self._written,
                "resyncs": self._resyncs,
                "blocked": blocked,
                "replay": self._replays.status(),
                "write_ms_p50": _median(self._write_ms),
                "visible_ms_p50": _median(self._visible_ms),
            }

    def begin_stop(self, timeout_s: float) -> None:
        """Let the thread send what there is, as long as that works at once, and end."""
        self._stop_by_s = time.monotonic() + timeout_s * 0.8
        self._stopping = True
        self._woken.set()

    def stop(self, timeout_s: float) -> bool:
        """As begin_stop(); wait for the end and return whether it came in time."""
        self.begin_stop(timeout_s)
        return self.join(timeout_s)

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- the thread

    def _run(self) -> None:
        sink = self._sink
        reader: LedgerReader | None = None
        next_round_s = 0.0
        while True:
            stopping = self._stopping  # what was committed before stop() is still sent
            self._woken.clear()
            if time.monotonic() >= self._failure.until_s:
                try:
                    reader = reader or LedgerReader(self._ledger_path)
                    if time.monotonic() >= next_round_s or stopping:
                        self._round(reader, sink)
                        next_round_s = time.monotonic() + ROUND_S
                    self._begin_replay(reader, sink)
                    self._send_all(reader, sink)
                    self._end_replay()
                    self._failure.clear()
                except SinkError as error:
                    self._lost(error, sink)
                except LedgerRefused as error:
                    self._lost(SinkError("unread", str(error)), sink)
                except StorageError as error:
                    self._give_up(error)
                    break
            if stopping:
                break
            pause_s = max(next_round_s, self._failure.until_s) - time.monotonic()
            if self._failure.in_row:
                self._pause(pause_s)
            else:
                self._woken.wait(max(0.0, pause_s))
        sink.close()
        if reader is not None:
            reader.close()

    def _give_up(self, error: StorageError) -> None:
        """The ledger is damaged: the whole process ends, and the next one salvages it."""
        if isinstance(error, LedgerDamaged):
            recovery.ask_for_check(self._ledger_path)
        self.ended_by = error

    def _pause(self, pause_s: float) -> None:
        """Wait out a failure; only stop() cuts it short."""
        end_s = time.monotonic() + pause_s
        while not self._stopping and (left_s := end_s - time.monotonic()) > 0:
            self._woken.wait(left_s)
            if not self._stopping:
                self._woken.clear()
        self._woken.set()

    def _lost(self, error: SinkError, sink: Sink) -> None:
        """The whole sink fails: nothing is known about it until it has been asked again."""
        sink.close()
        with self._lock:
            self._failure.note(error, time.monotonic())
            self._reconcile_s = 0.0
            for cursor in self._cursors.values():
                cursor.known = False

    def _round(self, reader: LedgerReader, sink: Sink) -> None:
        """Publish states, tell which cameras are gone, and look whether the sink stands where it should."""
        with self._lock:
            states, self._states = self._states, {}
        try:
            sink.publish(states)
        except SinkError:
            with self._lock:
                self._states = {**states, **self._states}
            raise
        self._reconcile(reader, sink)
        known = [name for name, cursor in self._cursors.items() if cursor.known]
        for name, at in sink.positions(known).items() if known else ():
            if at != self._cursors[name].at:
                self._cursors[name].known = False
                self._reconcile_s = 0.0  # an older copy, whose states are as old

    def _reconcile(self, reader: LedgerReader, sink: Sink) -> None:
        """Say of cameras that are not configured that they were removed; of those of which the ledger keeps
        nothing any more, say nothing any more.
        """
        with self._lock:
            configured = self._configured
            if configured is None or time.monotonic() < self._reconcile_s:
                return
            self._reconcile_s = time.monotonic() + RECONCILE_S
        try:
            published, emptied = sink.cameras(), reader.emptied()
            sink.forget(sorted((published & emptied) - configured))
            removed = (published | reader.cameras().keys()) - emptied - configured
            now = rfc3339(time.time_ns())
            sink.retire(
                {
                    name: {"name": name, "enabled": "false", "state": "removed", "updated": now}
                    for name in sorted(removed)
                }
            )
        except SinkError as error:
            if error.kind != "auth":  # states are worth less than events: who may not see them may send
                raise
            log.warning("cameras that were removed may stay live in sink %s: %s", self._name, error)

    def _begin_replay(self, reader: LedgerReader, sink: Sink) -> None:
        """Each camera once, also where the sink fails in between."""
        replay = self._replays.current
        if replay is None:
            return
        for camera, last_seq in reader.cameras().items():
            if camera in replay.begun or (replay.cameras and camera not in replay.cameras):
                continue
            if replay.rebuild:
                sink.forget([camera])
                self._reconcile_s = 0.0  # of a camera that was removed the state is written anew
            cursor = self._cursors.setdefault(camera, Cursor(self._name))
            with self._lock:
                cursor.known, cursor.replay_after = False, reader.last_before(camera, replay.since_ns)
            replay.until[camera] = last_seq
            replay.begun.add(camera)

    def _end_replay(self) -> None:
        replay = self._replays.current
        if replay is not None and all(self._has(camera, seq) for camera, seq in replay.until.items()):
            self._replays.finish(replay)

    def _has(self, camera: str, seq: int) -> bool:
        cursor = self._cursors[camera]
        return cursor.known and cursor.replay_after is None and cursor.delivered >= seq

    def _send_all(self, reader: LedgerReader, sink: Sink) -> None:
        """Send what the ledger has and the sink has not, in turns of one batch a camera.

        Who is far behind comes back to it after a round, so that states are not told hours late.
        """
        behind, round_end_s = True, time.monotonic() + ROUND_S
        while behind and time.monotonic() < self._stop_by_s:
            if time.monotonic() >= round_end_s and not self._stopping:
                self._woken.set()
                return
            behind = False
            for camera, last_seq in reader.cameras().items():
                cursor = self._cursors.setdefault(camera, Cursor(self._name))
                if cursor.known and cursor.replay_after is None and cursor.delivered >= last_seq:
                    continue
                if time.monotonic() < cursor.failure.until_s:
                    continue
                behind |= self._send_one(reader, sink, camera, last_seq, cursor)
        if (woken_at_s := self._woken_at_s) is not None:
            self._woken_at_s = None
            self._visible_ms.append((time.perf_counter() - woken_at_s) * 1000)

    def _send_one(self, reader: LedgerReader, sink: Sink, camera: str, last_seq: int, cursor: Cursor) -> bool:
        """Send one batch of one camera; return whether there may be more."""
        try:
            if not cursor.known:
                self._find_cursor(reader, sink, camera, last_seq, cursor)
            events = reader.after(camera, cursor.read_after, BATCH)
            if not events:  # the rest are tracks whose time is over
                with self._lock:
                    cursor.delivered, cursor.replay_after = last_seq, None
                return False
            if isinstance(sink, Gathers) and not self._stopping and not sink.due(camera, events):
                return False
            began_s = time.perf_counter()
            at = sink.write(camera, cursor.at, events)
        except Behind:
            cursor.known = False
            return True
        except SinkError as error:
            if error.kind not in ONE_CAMERA:
                raise
            with self._lock:
                cursor.failure.note(error, time.monotonic())
                cursor.known = False
            return False
        if cursor.replay_after is not None and cursor.at is not None and events[-1].id <= cursor.at == at:
            self._repeat(cursor, events)
            return True
        taken = _up_to(at, events)
        if not taken:  # it has more than was ever sent: ask who it belongs to
            cursor.known = False
            return True
        with self._lock:
            self._write_ms.append((time.perf_counter() - began_s) * 1000)
            self._written += len(taken)
            cursor.at = cursor.read_after = at
            cursor.delivered = at.seq
            cursor.replay_after = None
            cursor.failure.clear()
        return len(taken) < len(events) or len(events) == BATCH

    def _repeat(self, cursor: Cursor, events: Sequence[StoredEvent]) -> None:
        """The sink has all of these: none was written twice."""
        self._replays.repeated(len(events))
        cursor.read_after = events[-1].id
        if cursor.read_after == cursor.at:
            cursor.replay_after = None

    def _find_cursor(
        self, reader: LedgerReader, sink: Sink, camera: str, last_seq: int, cursor: Cursor
    ) -> None:
        """Ask the sink where it stands with `camera` and put its totals right for that position."""
        at = sink.positions([camera])[camera]
        end = EventId(reader.lineage(), last_seq)
        if at is not None and at > end:
            raise SinkError(
                "ahead",
                f"camera {camera}: sink {self._name} holds {at}, this ledger ends at {end}: another ledger "
                "was put in its place; if it is the right one: streamer ledger new-incarnation",
            )
        first = reader.after(camera, at, 1)
        read_after = at
        if first and sink.max_events is not None and last_seq - first[0].id.seq >= sink.max_events:
            # More than the sink may hold: begin where it will end up being trimmed to.
            read_after = reader.before(camera, EventId(0, last_seq - sink.max_events + 1))
        totals_place = read_after
        if cursor.replay_after is not None:
            read_after = self._replay_from(reader, camera, read_after, at, cursor.replay_after)
            totals_place = at if at is not None else read_after
        sink.replace_totals(camera, reader.totals_at(camera, totals_place), totals_place)
        with self._lock:
            self._resyncs += 1
            cursor.known, cursor.at, cursor.read_after = True, at, read_after
            cursor.delivered = first[0].id.seq - 1 if first else last_seq

    def _replay_from(
        self,
        reader: LedgerReader,
        camera: str,
        read_after: EventId | None,
        at: EventId | None,
        replay_after: int,
    ) -> EventId | None:
        """Where to read on. An empty sink begins with what was asked for, as far as it may hold that; in one
        that is not, what was asked for comes again, and nothing after its place is passed over."""
        asked = reader.before(camera, EventId(0, replay_after + 1))
        if at is not None:
            return min(at, asked or EventId(0, 0))
        return max(read_after or EventId(0, 0), asked or EventId(0, 0))


def _up_to(at: EventId, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
    """What the sink took: all of `events`, or those up to `at`; none where `at` is no place of theirs."""
    return events[: next((n for n, event in enumerate(events, 1) if event.id == at), 0)]


def _median(values_ms: Iterable[float]) -> float | None:
    ordered = sorted(values_ms)
    return round(ordered[len(ordered) // 2], 3) if ordered else None
