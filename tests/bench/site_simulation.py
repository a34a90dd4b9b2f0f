"""A site in simulated time, for the books of `site_books`: what of it is real is said there.

Times in seconds are the simulation's true ones; a box's wall clock is off by its own constant.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pipelines.events import LINE_CROSSED
from streamer.daemon.camera_terms import CameraTerms, TermArguments
from streamer.errors import ControlError, RedisError, RunningError, SiteError
from streamer.events.cloudevents import COUNTS, EventId
from streamer.ipc.camera_term import CameraTerm, is_of, stamp_of
from streamer.ipc.counters import Balance
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader
from streamer.sinks.base import Behind, SinkError
from streamer.sinks.redis import RedisSettings, RedisSink
from streamer.site.agent import Agent
from streamer.site.agent_memory import AgentMemory
from streamer.site.clocks import Clocks
from streamer.site.cluster import Box, NotReached, Placing, Table
from streamer.site.daemon_cameras import Told
from streamer.site.settings import SiteSettings
from streamer.site.site_redis import SiteRedis
from streamer.workers.infer.coverage import Coverage

SITE = "shop"
BEGIN_S = 1_800_000_000
NS_PER_S = 1_000_000_000
TICK_S = 0.25  # as an agent's turn
BUCKET_S = 10
DEAD_AFTER_S = 2.5  # as cluster_environment.HEALTH
NODE_START_S = 5.0  # of Ray, until a box that is back has its place in the table
OPEN_S = (0.6, 1.5)  # until a camera's first frame
TRACK_S = 0.5  # so long somebody must have been in sight to be counted
DECIDE_S = 0.5  # after the crossing
NOTHING = Balance(0, 0, 0, {}, 0)


@dataclass
class World:
    """`truth`: by camera the true times of its crossings, in order. Crossing n is its line `xN`."""

    redis_url: str
    folder: Path
    truth: Mapping[str, list[float]]
    random: random.Random
    now_s: float = 0.0
    watched: list[tuple[str, float, float]] = field(default_factory=list)  # camera, from, until


class Cluster:
    """What Ray would say: the dead are noticed late, their cameras go to the box that has the fewest."""

    def __init__(self, world: World, cameras: list[str]) -> None:
        self._world, self._unplaced = world, list(cameras)
        self.at: dict[str, str] = {}  # camera -> node
        self._nodes: dict[str, str] = {}  # box -> its node of now, in the order in which they came
        self._answered_s: dict[str, float] = {}
        self._starts = 0

    def look(self, answering: Mapping[str, bool]) -> None:
        """`answering`: by box whether its node answers the head now."""
        now_s = self._world.now_s
        for box, answers in answering.items():
            if answers and box not in self._nodes:
                self._starts += 1
                self._nodes[box] = f"{box}-{self._starts}"
            if answers:
                self._answered_s[box] = now_s
            elif box in self._nodes and now_s - self._answered_s[box] > DEAD_AFTER_S:
                node = self._nodes.pop(box)
                lost = [camera for camera, at in self.at.items() if at == node]
                self._unplaced += lost
                for camera in lost:
                    del self.at[camera]
        for camera in self._unplaced if self._nodes else ():
            taken = list(self.at.values())
            self.at[camera] = min(self._nodes.values(), key=taken.count)
        self._unplaced = [camera for camera in self._unplaced if camera not in self.at]

    def is_known(self, box: str) -> bool:
        return box in self._nodes

    def table(self) -> Table:
        boxes = tuple(Box(node, box, "", True, False, 10.0, 1.0) for box, node in self._nodes.items())
        placed = tuple(Placing(c, f"pg-{c}", "placed", node, 0.1, {}) for c, node in self.at.items())
        waiting = tuple(Placing(c, f"pg-{c}", "waiting", "", 0.1, {}) for c in self._unplaced)
        return Table(boxes, placed + waiting)


class _View:
    """A camera that a daemon has open, or is opening."""

    def __init__(self, world: World, camera: str, term: CameraTerm | None, now_ns: int) -> None:
        self.live_from_s = world.now_s + world.random.uniform(*OPEN_S)
        self.term = term
        self.coverage = Coverage(BUCKET_S, now_ns, NOTHING)
        self.saved: dict[str, Any] | None = None  # as in its checkpoint
        self._next = next((n for n, at in enumerate(world.truth[camera]) if at > world.now_s), None)
        self._truth = world.truth[camera]

    def decided(self, now_s: float) -> list[int]:
        """The crossings that it has seen and decided since the last time."""
        found = []
        while self._next is not None and self._truth[self._next] + DECIDE_S <= now_s:
            if self._truth[self._next] - TRACK_S >= self.live_from_s:
                found.append(self._next)
            self._next = self._next + 1 if self._next + 1 < len(self._truth) else None
        return found


class Daemon:
    """A daemon's part in a site, with a real ledger, term file, coverage and sink, without video."""

    def __init__(self, world: World, name: str, ahead_s: float) -> None:
        self._world, self.name, self.ahead_s = world, name, ahead_s
        self._folder = world.folder / name
        self._folder.mkdir()
        self.cameras: list[str] = []  # as in its cameras.d
        self.alive, self.is_cut = False, False
        self._views: dict[str, _View] = {}
        self._checkpoints: dict[str, dict[str, Any]] = {}
        self.start()

    def wall_ns(self, at_s: float | None = None) -> int:
        """By its own clock."""
        return int((BEGIN_S + self.ahead_s + (self._world.now_s if at_s is None else at_s)) * NS_PER_S)

    def true_ns(self) -> int:
        return int((BEGIN_S + self._world.now_s) * NS_PER_S)

    @property
    def ledger_path(self) -> Path:
        return self._folder / "ledger.db"

    # ---- what happens to it

    def start(self) -> None:
        self.alive = True
        limits: dict[str, Any] = {"max_bytes": 1 << 30, "retention_days": 365, "now_ns": self.wall_ns}
        self._ledger = Ledger(self.ledger_path, f"node-{self.name}", **limits)
        self._reader = LedgerReader(self.ledger_path)
        self._terms = CameraTerms(self._folder)
        settings = RedisSettings.model_construct(kind="redis", name="redis", stream_max_len=1_000_000)
        self._sink = RedisSink(settings, f"node-{self.name}", self._world.redis_url)
        self._sink.know_terms(self._terms.held())
        self._cursors: dict[str, EventId | None] = {}
        for camera in self.cameras:
            self._open(camera)

    def kill(self, power: bool) -> None:
        """`power`: what lies in shared memory goes too."""
        for camera, view in self._views.items():
            self._close_view(camera, view)
            if view.saved is not None:
                self._checkpoints[camera] = view.saved
        if power:
            self._checkpoints.clear()
        self._views.clear()
        self.alive = False
        self._ledger.close()
        self._reader.close()

    def tick(self) -> None:
        now_ns, records = self.wall_ns(), []
        for camera, view in self._views.items():
            if self._world.now_s < view.live_from_s:
                continue
            view.coverage.frame_inferred(now_ns, 0.0, 0)
            crossed = [self._crossing(camera, view, number) for number in view.decided(self._world.now_s)]
            records += crossed + self._closed(camera, view, view.coverage.close_due(now_ns, NOTHING))
            if crossed:
                view.saved = view.coverage.save()
        self._commit(records)

    def deliver(self) -> None:
        """What the sink lacks, unless the box is cut off."""
        for camera in self._ledger_cameras() if self.alive and not self.is_cut else ():
            with suppress(SinkError):
                self._deliver(camera)

    # ---- as its agent sees it

    def status(self) -> tuple[str, dict[str, Told]]:
        if not self.alive:
            raise RunningError("no daemon answers")
        return f"node-{self.name}", {camera: self._told(camera) for camera in self.cameras}

    def _told(self, camera: str) -> Told:
        term, sees = self._terms.of(camera), self._views[camera].live_from_s <= self._world.now_s
        return Told(term.term, term.owned, sees) if term else Told(None, None, sees)

    def tell_term(self, site: str, camera: str, term: int, owned: bool, from_ns: int) -> None:
        taken = self._terms.take(
            TermArguments(site=site, camera=camera, term=term, owned=owned, from_ns=from_ns)
        )
        self._sink.know_terms(self._terms.held())
        if camera in self._views:
            self._take_term(camera, self._views[camera], taken)

    def put(self, camera: Mapping[str, object]) -> None:
        name = str(camera["name"])
        if name not in self.cameras:
            self.cameras.append(name)
            self._open(name)

    def remove(self, camera: str) -> None:
        if camera not in self.cameras:
            raise ControlError(f"no camera {camera}")
        self.cameras.remove(camera)
        view = self._views.pop(camera)
        self._commit(
            self._closed(camera, view, view.coverage.close_due(self.wall_ns(), NOTHING, stopping=True))
        )
        self._close_view(camera, view)
        self._checkpoints.pop(camera, None)
        self._terms.forget([camera])

    # ---- inside; the same calls in the same order as streamer.workers.infer.emitter

    def _open(self, camera: str) -> None:
        now_ns, position = self.wall_ns(), self._ledger.resume(camera)
        view = self._views[camera] = _View(self._world, camera, self._terms.of(camera), now_ns)
        if camera in self._checkpoints:
            view.coverage.restore(self._checkpoints.pop(camera), now_ns)
            view.coverage.add_flag("restarted", now_ns)
        view.coverage.begin_after(position.bucket_start_ns)
        for event in position.bucket_events:
            if is_of(view.term, event.data):
                view.coverage.restore_event(event.type, event.subject, event.data, event.captured_ns)

    def _take_term(self, camera: str, view: _View, term: CameraTerm) -> None:
        if term == view.term:
            return
        now_ns = self.wall_ns()
        view.coverage.add_flag("term_changed", now_ns)
        records = self._closed(camera, view, view.coverage.cut(now_ns, NOTHING))
        view.term = term
        view.coverage.add_flag("term_changed", now_ns)
        self._commit(records)

    def _close_view(self, camera: str, view: _View) -> None:
        if self._world.now_s > view.live_from_s:
            self._world.watched.append((camera, view.live_from_s, self._world.now_s))

    def _closed(
        self, camera: str, view: _View, closed: list[tuple[int, dict[str, Any]]]
    ) -> list[EventRecord]:
        return [
            _record(camera, COUNTS, camera, end_ns, {**data, **stamp_of(view.term)})
            for end_ns, data in closed
        ]

    def _crossing(self, camera: str, view: _View, number: int) -> EventRecord:
        crossed_ns = self.wall_ns(self._world.truth[camera][number])
        line = f"x{number}"
        data = {"line": line, "direction": "in", "class": "person", "rule_rev": 1, "track_id": number}
        data |= {"crossed_captured_ns": crossed_ns, **stamp_of(view.term)}
        view.coverage.restore_event(LINE_CROSSED, line, data, crossed_ns)
        return _record(camera, LINE_CROSSED, line, self.wall_ns(), data)

    def _commit(self, records: list[EventRecord]) -> None:
        numbers: dict[str, int] = {}
        numbered = []
        for record in records:
            numbers[record.camera] = numbers.get(record.camera, self._ledger.last_seq(record.camera)) + 1
            numbered.append(msgspec.structs.replace(record, seq=numbers[record.camera]))
        if numbered:
            self._ledger.commit(numbered)

    def _ledger_cameras(self) -> list[str]:
        return [camera for camera in self._world.truth if self._ledger.last_seq(camera)]

    def _deliver(self, camera: str) -> None:
        at = self._cursors.get(camera)
        if at is None:
            at = self._sink.positions([camera])[camera]
        while at is None or at.seq < self._ledger.last_seq(camera):
            events = self._reader.after(camera, at, 200)
            if not events:
                break
            try:
                at = self._sink.write(camera, at, events)
            except Behind as behind:
                at = behind.at
        self._cursors[camera] = at


class _Shared(SiteRedis):
    """The site's Redis by the box's own path to it."""

    def __init__(self, daemon: Daemon, url: str) -> None:
        super().__init__(url, SITE)
        self._daemon = daemon

    def clock_ns(self) -> int:
        if self._daemon.is_cut:
            raise RedisError("Redis is not reached")
        return self._daemon.true_ns()

    @property
    def client(self) -> Any:
        if self._daemon.is_cut:
            raise RedisError("Redis is not reached")
        return super().client


class SimulatedBox:
    """A daemon and the agent beside it. `is_off`: without power. `hears_head`: not while it is cut off."""

    def __init__(self, world: World, cluster: Cluster, name: str, ahead_s: float) -> None:
        self._world, self._cluster, self.name = world, cluster, name
        self.daemon = Daemon(world, name, ahead_s)
        self.hears_head, self.node_from_s = True, 0.0
        self.is_off = False
        self.agent: Agent | None = None
        self.start_agent()

    def start_agent(self) -> None:
        settings = SiteSettings(
            site=SITE, node=self.name, address="127.0.0.1", head="127.0.0.1:1", capacity=10
        )
        folder = self._world.folder
        memory = AgentMemory(folder / f"{self.name}.json")
        shared = _Shared(self.daemon, self._world.redis_url)
        clocks = Clocks(lambda: self._world.now_s, self.daemon.wall_ns)
        copy = folder / f"{self.name}-cameras.json"
        self.agent = Agent(settings, self, self.daemon, shared, memory, copy, clocks)

    def answers(self) -> bool:
        """Whether its node answers the head."""
        return not self.is_off and self.hears_head and self._world.now_s >= self.node_from_s

    def table(self) -> Table:
        if not self.hears_head:
            raise NotReached("the head is not reached")
        return self._cluster.table()

    def drain(self, box_id: str) -> None:
        raise SiteError(f"{box_id}: nothing is drained here")

    def turn(self) -> None:
        if self.is_off:
            return
        if self.daemon.alive:
            self.daemon.tick()
        if self.agent is not None:
            with suppress(RunningError, ControlError):
                self.agent.step()

    def lose_power(self) -> None:
        self.is_off, self.agent = True, None
        self.daemon.kill(power=True)

    def get_power(self) -> None:
        self.is_off, self.node_from_s = False, self._world.now_s + NODE_START_S
        self.daemon.start()
        self.start_agent()

    def cut(self, redis_too: bool) -> None:
        self.hears_head, self.daemon.is_cut = False, redis_too

    def join(self) -> None:
        """A node that was taken for dead must start anew."""
        self.hears_head, self.daemon.is_cut = True, False
        if not self._cluster.is_known(self.name):
            self.node_from_s = self._world.now_s + NODE_START_S


def _record(camera: str, kind: str, subject: str, at_ns: int, data: dict[str, Any]) -> EventRecord:
    return EventRecord(
        camera=camera,
        seq=0,
        type=kind,
        subject=subject,
        epoch=1,
        frame_id=-1,
        media_ns=0,
        captured_ns=at_ns,
        age_ms=0.0,
        config_rev=1,
        data=data,
    )
