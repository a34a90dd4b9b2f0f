"""How soon Ray places a site's cameras, what a new box moves, and how long a camera is without one that died.

A cluster of simulated boxes on this machine (ray.cluster_utils): real raylets, no daemons. Each box has an
agent as it runs on one, with a daemon that only takes notes, and the site's terms in a real Redis. A move is
from the kill of a box's node until the next box's agent has taken the camera's term and told its daemon of
the camera; how long a daemon then takes to open it is another matter (bench recovery). The memory is that of
one process with everything an agent loads, which has read the table of all cameras.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamer.site.agent import Agent
from streamer.site.agent_memory import AgentMemory
from streamer.site.cluster import CAPACITY, Table, in_resource
from streamer.site.cluster_environment import HEALTH
from streamer.site.cluster_table import GcsTable
from streamer.site.configuration import SiteCamera
from streamer.site.placing import apply
from streamer.site.settings import NODE_LABEL, SiteSettings
from streamer.site.site_redis import SiteRedis
from tests.bench.registry import Unavailable
from tests.site.boxes import HandDaemon

NAME = "site"
DESCRIPTION = "placing cameras on boxes, moves, an agent's memory (-o boxes=10 -o cameras=200 -o kills=20)"

COST = 0.1
OBJECT_STORE = 80_000_000
POLL_S = 0.25  # as the agent's own
LIMIT_S = 120.0

MEMORY = """
import sys
from pathlib import Path
from streamer.site import agent_process
from streamer.site.cluster_table import GcsTable
from streamer.site.site_redis import SiteRedis
head, redis, folder = sys.argv[1:]
table, shared = GcsTable(head), SiteRedis(redis, "shop")
for _ in range(40):
    table.table(), shared.cameras(), shared.last_term("c0")
lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("Pss:")))
"""


def run(boxes: int = 10, cameras: int = 200, kills: int = 20) -> dict[str, Any]:
    """Boxes have room for all cameras even with one missing. A killed box's successor takes its place."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise Unavailable("Ray is not installed: pip install 'streamer[cluster]'") from error
    from tests.site.site_rig import OwnRedis

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as name:
        redis = OwnRedis(Path(name))
        try:
            return _measured(_Site(Path(name), f"redis://127.0.0.1:{redis.port}/0", boxes, cameras), kills)
        finally:
            redis.end()


def _measured(site: _Site, kills: int) -> dict[str, Any]:
    with site.running():
        placed_s = site.place_all()
        site.settle()
        unmoved = site.where()
        site.add_box()
        site.settle()
        after_add = site.where()
        moves, others = site.kill_boxes(kills)
        return {
            "boxes": site.boxes,
            "cameras": site.cameras,
            "placed_s": placed_s,
            "moved_by_a_new_box": sum(unmoved[camera] != after_add[camera] for camera in unmoved),
            "kills": kills,
            "moves": len(moves),
            "move_p50_s": statistics.median(moves),
            "move_p95_s": sorted(moves)[min(len(moves) - 1, int(0.95 * len(moves)))],
            "others_moved": others,
            "agent_pss_mb": site.agent_memory_mb(),
        }


def render(result: dict[str, Any]) -> str:
    return (
        "{cameras} cameras placed on {boxes} boxes in {placed_s:.2f} s (goal 5)\n"
        "a new box moved {moved_by_a_new_box} cameras (goal 0)\n"
        "{kills} kills, {moves} cameras taken over: p50 {move_p50_s:.2f} s, p95 {move_p95_s:.2f} s (goal 3); "
        "{others_moved} others moved (goal 0)\n"
        "an agent takes {agent_pss_mb:.0f} MB (PSS; goal 60)"
    ).format(**result)


class _Box:
    def __init__(self, site: _Site, number: int) -> None:
        self.name = f"b{number}"
        self.node = site.cluster.add_node(
            num_cpus=0,
            resources={CAPACITY: in_resource(site.capacity)},
            labels={NODE_LABEL: self.name},
            object_store_memory=OBJECT_STORE,
        )
        self.daemon = HandDaemon(f"node-{number}")
        settings = SiteSettings(site="shop", node=self.name, address="127.0.0.1", head=site.head, capacity=1)
        memory = AgentMemory(site.folder / f"{self.name}.json")
        shared = SiteRedis(site.redis_url, "shop")
        copy = site.folder / f"{self.name}-cameras.json"
        self.agent = Agent(settings, GcsTable(site.head), self.daemon, shared, memory, copy)


class _Site:
    def __init__(self, folder: Path, redis_url: str, boxes: int, cameras: int) -> None:
        self.folder, self.redis_url, self.boxes, self.cameras = folder, redis_url, boxes, cameras
        self.capacity = round(1.5 * COST * cameras / max(1, boxes - 1), 3)
        self._alive: list[_Box] = []
        self._numbers = iter(range(10_000))

    @contextmanager
    def running(self) -> Iterator[None]:
        import ray
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": HEALTH})
        self.head = str(self.cluster.address)
        self.table = GcsTable(self.head)
        try:
            ray.init(address=self.head, namespace="streamer", log_to_driver=False, configure_logging=False)
            for _ in range(self.boxes):
                self.add_box()
            yield
        finally:
            ray.shutdown()
            self.cluster.shutdown()

    def add_box(self) -> None:
        self._alive.append(_Box(self, next(self._numbers)))

    def place_all(self) -> float:
        from streamer.site.cluster_placing import RayPlacer

        names = [f"c{number}" for number in range(self.cameras)]
        redis = SiteRedis(self.redis_url, "shop")
        redis.publish([SiteCamera(name=name, url="synthetic:street", cost=COST) for name in names])
        begun_s = time.monotonic()
        apply(RayPlacer(), self.table, redis.cameras(), {})
        self._until(lambda: _placed(self.table.table()) == self.cameras, "all placed")
        return time.monotonic() - begun_s

    def settle(self) -> None:
        """Every camera is in the daemon of the box where it is placed, and in no other."""
        self._until(self._is_settled, "all taken")

    def _is_settled(self) -> bool:
        for box in self._alive:
            box.agent.step()
        placed = self.where()
        taken = {camera: box.name for box in self._alive for camera in box.daemon.cameras}
        return len(placed) == self.cameras and taken == placed

    def where(self) -> dict[str, str]:
        table = self.table.table()
        names = {box.id: box.name for box in table.boxes}
        return {p.camera: names[p.box] for p in table.placings if p.box}

    def kill_boxes(self, kills: int) -> tuple[list[float], int]:
        """(seconds of each move, how many cameras moved that need not have)."""
        moves: list[float] = []
        others = 0
        for _ in range(kills):
            before = self.where()
            victim = max(self._alive, key=lambda box: list(before.values()).count(box.name))
            self._alive.remove(victim)
            lost = {camera for camera, name in before.items() if name == victim.name}
            moves += self._kill(victim, lost)
            self.settle()
            others += sum(
                before[camera] != name for camera, name in self.where().items() if camera not in lost
            )
            self.add_box()
        return moves, others

    def _kill(self, victim: _Box, lost: set[str]) -> list[float]:
        waiting, moves, begun_s = set(lost), [], time.monotonic()
        victim.node.kill_raylet()
        while waiting:
            for box in self._alive:
                box.agent.step()
            taken = {camera for box in self._alive for camera in box.daemon.cameras} & waiting
            moves += [time.monotonic() - begun_s] * len(taken)
            waiting -= taken
            if time.monotonic() - begun_s > LIMIT_S:
                raise AssertionError(f"{len(waiting)} cameras were not taken in {LIMIT_S:g} s")
            time.sleep(POLL_S)
        return moves

    def agent_memory_mb(self) -> float:
        command = [sys.executable, "-c", MEMORY, self.head, self.redis_url, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout) / 1024

    def _until(self, true: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not true():
            if time.monotonic() > end_s:
                raise AssertionError(f"{what}: did not happen in {LIMIT_S:g} s")
            time.sleep(0.02)


def _placed(table: Table) -> int:
    return sum(placing.state == "placed" for placing in table.placings)
