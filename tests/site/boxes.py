"""A site without Ray, daemons and Redis, for what decides: tables by hand, and an agent on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.errors import RedisError, SiteError
from streamer.site.agent import Agent
from streamer.site.agent_memory import AgentMemory
from streamer.site.clocks import Clocks
from streamer.site.cluster import Box, NotReached, Placing, Table
from streamer.site.configuration import Published
from streamer.site.daemon_cameras import Told
from streamer.site.settings import SiteSettings
from streamer.site.site_redis import Sign
from streamer.site.terms import Term


def box(name: str, capacity: float = 2.0, free: float | None = None, **more: Any) -> Box:
    given = {"alive": True, "draining": False, **more}
    return Box(
        f"id-{name}", name, "127.0.0.1", capacity=capacity, free=capacity if free is None else free, **given
    )


def placed(
    camera: str, where: str, cost: float = 0.5, number: int = 1, on: Mapping[str, str] | None = None
) -> Placing:
    return Placing(camera, f"{camera}-{number}", "placed", f"id-{where}", cost, on or {})


def waiting(camera: str, cost: float = 0.5, on: Mapping[str, str] | None = None) -> Placing:
    return Placing(camera, f"{camera}-1", "waiting", "", cost, on or {})


def table(boxes: list[Box], *placings: Placing) -> Table:
    return Table(tuple(boxes), placings)


class HandCluster:
    """Says what `now` is; None: it is not reached."""

    def __init__(self, now: Table | None) -> None:
        self.now = now

    def table(self) -> Table:
        if self.now is None:
            raise NotReached("the head is not reached")
        return self.now

    def drain(self, box_id: str) -> None:
        raise SiteError(f"{box_id}: an agent drains nothing")


@dataclass
class HandRedis:
    """Terms and configuration of a site, shared by its agents. `away`: it raises."""

    configured: dict[str, Published] = field(default_factory=dict)
    terms: dict[str, list[Term]] = field(default_factory=dict)
    signs: dict[str, Sign] = field(default_factory=dict)
    drained_boxes: set[str] = field(default_factory=set)
    away: bool = False
    clock: Callable[[], int] | None = None  # Unix ns; None: as each box's own

    def clock_ns(self) -> int:
        self._check()
        if self.clock is None:
            raise RedisError("it says nothing of its clock")
        return self.clock()

    def configure(self, *cameras: str, revision: int = 1) -> None:
        for name in cameras:
            self.configured[name] = Published(revision, {"name": name, "url": "synthetic:street"}, 0.5, {})

    def _check(self) -> None:
        if self.away:
            raise RedisError("Redis is not reached")

    def last_term(self, camera: str) -> Term | None:
        self._check()
        return self.terms[camera][-1] if self.terms.get(camera) else None

    def next_term(self, camera: str, node: str, name: str, from_ns: int, above: int, opening: bool) -> int:
        last = self.last_term(camera)
        term = max(last.term if last else 0, above) + 1
        taken = Term(term, node, name, from_ns, 0 if opening else None)
        self.terms.setdefault(camera, []).append(taken)
        return term

    def say_open(self, camera: str, term: int, seen_ns: int) -> None:
        self._check()
        found = self.terms.get(camera, [])
        self.terms[camera] = [t._replace(seen_ns=seen_ns) if t.term == term else t for t in found]

    def cameras(self) -> dict[str, Published]:
        self._check()
        return dict(self.configured)

    def drained(self) -> frozenset[str]:
        self._check()
        return frozenset(self.drained_boxes)

    def give_sign(self, box: str, sign: Sign) -> None:
        self._check()
        self.signs[box] = sign


@dataclass
class HandDaemon:
    """Keeps what it was told, in the order in which it was. `sees`: frames of its cameras come."""

    node: str
    sees: bool = True
    cameras: dict[str, Told] = field(default_factory=dict)
    terms: dict[str, Told] = field(default_factory=dict)
    said: list[tuple[Any, ...]] = field(default_factory=list)

    def status(self) -> tuple[str, dict[str, Told]]:
        return self.node, {name: told._replace(sees=self.sees) for name, told in self.cameras.items()}

    def tell_term(self, site: str, camera: str, term: int, owned: bool, from_ns: int) -> None:
        assert site == "shop"
        assert from_ns > 0
        self.said.append(("term", camera, term, owned))
        self.terms[camera] = Told(term, owned)
        if camera in self.cameras:
            self.cameras[camera] = Told(term, owned)

    def put(self, camera: Mapping[str, object]) -> None:
        name = str(camera["name"])
        self.said.append(("put", name))
        self.cameras[name] = self.terms.get(name, Told(None, None))

    def remove(self, camera: str) -> None:
        self.said.append(("remove", camera))
        del self.cameras[camera], self.terms[camera]


@dataclass
class HandClock:
    now_s: float = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        return int(self.now_s * 1e9)


class HandBox:
    """One box's agent with all that it acts on; step() lets a second pass first."""

    def __init__(self, name: str, folder: Path, redis: HandRedis, cluster: HandCluster) -> None:
        self.redis, self.cluster, self.clock = redis, cluster, HandClock()
        self.daemon = HandDaemon(f"node-of-{name}")
        self.settings = SiteSettings(
            site="shop",
            node=name,
            address="127.0.0.1",
            head="127.0.0.1:6380",
            capacity=2.0,
            unowned_after_s=5.0,
        )
        self._folder = folder
        self.start()

    def start(self) -> None:
        """The agent, anew, with what it has kept."""
        self.memory = AgentMemory(self._folder / f"{self.settings.node}.json")
        copy = self._folder / f"{self.settings.node}-cameras.json"
        clocks = Clocks(self.clock.monotonic, self.clock.wall_ns)
        self.agent = Agent(self.settings, self.cluster, self.daemon, self.redis, self.memory, copy, clocks)

    def step(self, times: int = 1, each_s: float = 1.0) -> None:
        for _ in range(times):
            self.clock.now_s += each_s
            self.agent.step()

    @property
    def cameras(self) -> dict[str, Told]:
        return self.daemon.cameras
