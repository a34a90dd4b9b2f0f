"""The books of a site over kills and cuts: what was counted twice, what was lost, whether time adds up.

Real: each box's agent (its memory, its turns), its ledger, its file of terms, its coverage and its Redis
sink, the terms in a real Redis, and the reading of the site's counts (`counts --site`).

Simulated: the clock, which goes as fast as the machine can; the cluster, whose table is made as Ray's behaves
(a node that is silent for 2.5 s is dead, its cameras go to the box with the fewest; back after 5 s); and the
video: who crosses when is drawn beforehand, and a box counts a crossing if it had the camera open from half a
second before it to half a second after it. A camera is open 0.6 to 1.5 s after its daemon is told of it. How
long Ray and a daemon really take: the benches `site` and `recovery`.

A kill is of a whole box (half of them: its power, for 20 to 40 s), of an agent (2 s) or of a daemon (3 s). A
cut is of a box from the cluster, every second one also from Redis, for 1 to 40 s. One at a time, a minute
apart. Clocks differ by up to `skew_ms` from the true time. Every PART of faults a new site begins, with a
`seed` of its own; with `folder` each part's books are kept there, and a run that was ended goes on with the
next one.
"""

from __future__ import annotations

import itertools
import json
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.events import LINE_CROSSED
from streamer.ledger import LedgerReader
from streamer.sinks.redis_connection import connect
from streamer.site.configuration import SiteCamera
from streamer.site.merge import MOVED_BOX, Merged, Owners
from streamer.site.site_counts import camera_counts
from streamer.site.site_redis import SiteRedis
from streamer.site.terms import terms_of
from tests.bench.registry import Unavailable
from tests.bench.site_simulation import BEGIN_S, NS_PER_S, SITE, TICK_S, Cluster, SimulatedBox, World
from tests.redis_servers import Node

NAME = "site_books"
DESCRIPTION = "a site's counts over kills and cuts, against the truth (-o kills=100 -o cuts=20 -o skew_ms=50)"

PART = 12  # faults
IN_MEMORY = Path("/dev/shm")  # what is measured is no disk's speed
FIRST_S, APART_S, LAST_S = 30.0, 60.0, 60.0
DELIVER_EVERY = 4  # turns
MINUTE_NS = 60 * NS_PER_S
NEAR_S = 1.0  # what is lost so near a move is lost by it: who crossed was not known yet, or not decided
ALL_S = 0.02  # of a camera's whole time, by rounding in its buckets


def run(
    kills: int = 100,
    cuts: int = 20,
    boxes: int = 4,
    cameras: int = 12,
    skew_ms: float = 50,
    seed: int = 1,
    folder: str = "",
) -> dict[str, Any]:
    """Books of all parts together."""
    logging.getLogger("streamer.site.agent").setLevel(logging.ERROR)  # it says of each fault what is wrong
    faults = _faults(kills, cuts, random.Random(seed))
    parts = [faults[at : at + PART] for at in range(0, len(faults), PART)]
    site: dict[str, Any] = {"boxes": boxes, "cameras": cameras, "skew_ms": skew_ms}
    found = []
    for number, part in enumerate(parts):
        path = Path(folder) / f"part-{number}.json" if folder else None
        found.append(_kept(path, {**site, "seed": seed + number, "faults": part}))
    return {"kills": kills, "cuts": cuts, **site, **_sum(found)}


def _kept(path: Path | None, shape: dict[str, Any]) -> dict[str, Any]:
    """A part's books: those that an earlier run has kept, where it was the same part."""
    if path is not None and path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        if kept["shape"] == shape:
            return kept
    kept = {"shape": shape, **_part(**shape)}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept))
    return kept


def _part(**shape: Any) -> dict[str, Any]:
    binary = shutil.which("redis-server")
    if binary is None:
        raise Unavailable("redis-server is not here: apt install redis-server")
    with tempfile.TemporaryDirectory(prefix="st-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as name:
        redis = Node(binary, Path(name), "--save", "")
        try:
            return books(redis.url(), Path(name), **shape)
        finally:
            redis.kill()


def books(
    url: str, folder: Path, *, boxes: int, cameras: int, skew_ms: float, seed: int, faults: list[str]
) -> dict[str, Any]:
    """Of a site that has its terms in the Redis at `url`, and lives through these faults."""
    site = _Site(url, folder, boxes, cameras, len(faults), skew_ms / 1e3, random.Random(seed))
    site.live_through(faults)
    return _books(site)


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    summed = {name: sum(part[name] for part in parts) for name in parts[0] if name != "shape"}
    most = {name: max(part[name] for part in parts) for name in parts[0] if name.startswith("most_")}
    return {**summed, **most, "is_whole": all(part["is_whole"] for part in parts)}


def render(result: dict[str, Any]) -> str:
    return (
        "{kills} kills and {cuts} cuts, {boxes} boxes with {cameras} cameras, clocks within {skew_ms:g} ms: "
        "{moves} moves, {crossings} crossings\n"
        "counted twice: {twice} (goal 0); refused at moments of another box's: {refused}\n"
        "committed by the owner of the moment, and not in the site's counts: {lost_after_commit} (goal 0)\n"
        "lost at {moves_living} moves from a box that lived: {lost_living}, at most {most_living} a move "
        "(goal 1), more than one at {many_living}\n"
        "lost at {moves_dead} moves from a box that was dead: {lost_dead}, at most {most_dead} a move "
        "(goal 1), more than one at {many_dead}; a crossing comes every 10 s\n"
        "of these while no box had the camera open: {lost_blind} in {blind_s:.0f} s, "
        "{blind_move_s:.1f} s a move\n"
        "lost beside moves (at a daemon's restart, or at the site's begin): {lost_beside}\n"
        "coverage sums to {coverage:.2%} (goal 100 %), without gap or overlap: {is_whole}; "
        "seen {seen:.2%}, blind by a move {moved_s:.0f} s of {length_s:.0f}"
    ).format(
        **result,
        coverage=result["spent_s"] / result["length_s"],
        seen=result["seen_s"] / result["length_s"],
        blind_move_s=result["blind_s"] / max(1, result["moves_dead"]),
    )


def _faults(kills: int, cuts: int, chance: random.Random) -> list[str]:
    kinds = ("box", "agent", "box", "daemon")
    found = [kinds[n % len(kinds)] for n in range(kills)]
    found += ["cut" if n % 2 else "cut from redis too" for n in range(cuts)]
    chance.shuffle(found)
    return found


class _Site:
    def __init__(
        self,
        url: str,
        folder: Path,
        boxes: int,
        cameras: int,
        faults: int,
        skew_s: float,
        chance: random.Random,
    ) -> None:
        self.random, self.url = chance, url
        self.until_s = FIRST_S + faults * APART_S + LAST_S
        names = [f"c{number}" for number in range(cameras)]
        truth = {name: list(_crossings(chance, self.until_s)) for name in names}
        self.world = World(url, folder, truth, chance)
        SiteRedis(url, SITE).publish([SiteCamera(name=n, url="synthetic:street", cost=0.1) for n in names])
        self.cluster = Cluster(self.world, names)
        ahead = [chance.uniform(-skew_s, skew_s) for _ in range(boxes)]
        self.boxes = [SimulatedBox(self.world, self.cluster, f"b{n}", ahead[n]) for n in range(boxes)]
        self._due: list[tuple[float, Callable[[], None]]] = []

    def live_through(self, faults: list[str]) -> None:
        for number, fault in enumerate(faults):
            self._due.append((FIRST_S + number * APART_S, lambda fault=fault: self._strike(fault)))  # type: ignore[misc]
        turn = 0
        while self.world.now_s < self.until_s:
            self._turn(turn)
            turn += 1
        for box in self.boxes:
            for camera in list(box.daemon.cameras):
                box.daemon.remove(camera)
            box.daemon.deliver()
            box.daemon.kill(power=True)

    def _turn(self, turn: int) -> None:
        self.world.now_s += TICK_S
        for at_s, act in [due for due in self._due if due[0] <= self.world.now_s]:
            self._due.remove((at_s, act))
            act()
        self.cluster.look({box.name: box.answers() for box in self.boxes})
        for box in self.boxes:
            box.turn()
            if turn % DELIVER_EVERY == 0:
                box.daemon.deliver()

    def _strike(self, fault: str) -> None:
        having = [box for box in self.boxes if box.daemon.cameras and not box.is_off]
        box, begin_s = self.random.choice(having or self.boxes), self.world.now_s

        def then(after_s: float, act: Callable[[], None]) -> None:
            self._due.append((begin_s + after_s, act))

        if fault == "box":
            box.lose_power()
            then(self.random.uniform(20, 40), box.get_power)
        elif fault == "agent":
            box.agent = None
            then(2, box.start_agent)
        elif fault == "daemon":
            box.daemon.kill(power=False)
            then(3, box.daemon.start)
        else:
            box.cut(redis_too=fault != "cut")
            then(self.random.uniform(1, 40), box.join)


def _crossings(chance: random.Random, until_s: float) -> Iterator[float]:
    at_s = chance.expovariate(0.1)
    while at_s < until_s:
        yield at_s
        at_s += chance.expovariate(0.1)


# ---- the books


def _books(site: _Site) -> dict[str, Any]:
    client = connect(site.url)
    begin_ns = (BEGIN_S - 60) * NS_PER_S
    books = [_Book(site, client, camera, begin_ns) for camera in site.world.truth]
    client.close()
    return {
        "crossings": sum(len(book.truth) for book in books),
        "moves": sum(len(book.moves) for book in books),
        "twice": sum(book.twice for book in books),
        "refused": sum(book.found.refused for book in books),
        "lost_after_commit": sum(book.lost_after_commit for book in books),
        **_lost("living", [move for book in books for move in book.moves if move.lived]),
        **_lost("dead", [move for book in books for move in book.moves if not move.lived]),
        "lost_blind": sum(move.blind for book in books for move in book.moves),
        "blind_s": sum(move.seen_s - move.unseen_s for book in books for move in book.moves),
        "lost_beside": sum(book.lost_beside for book in books),
        "is_whole": all(book.is_whole() for book in books),
        **_times([book.found for book in books]),
    }


@dataclass
class _Move:
    """From the last moment at which the box before had the camera open (`unseen_s`) to the first at which
    the next one had (`seen_s`); the same where the box before `lived`. `lost` crossings, `blind` of them
    between."""

    unseen_s: float
    seen_s: float
    lived: bool
    lost: int = 0
    blind: int = 0


def _lost(kind: str, moves: list[_Move]) -> dict[str, int]:
    lost = [move.lost for move in moves]
    of = {
        "moves": len(moves),
        "lost": sum(lost),
        "most": max(lost, default=0),
        "many": sum(n > 1 for n in lost),
    }
    return {f"{name}_{kind}": n for name, n in of.items()}


class _Book:
    """One camera's. `lost_beside` moves are crossings that are in no count, and at no move."""

    def __init__(self, site: _Site, client: Any, camera: str, begin_ns: int) -> None:
        self._site, self._camera = site, camera
        self.truth = site.world.truth[camera]
        self.found: Merged = camera_counts(client, SITE, camera, begin_ns, MINUTE_NS)
        self._owners = Owners(terms_of(client, SITE, camera))
        self._watched = sorted(part[1:] for part in site.world.watched if part[0] == camera)
        begins = [s.from_ns / NS_PER_S - BEGIN_S for s in self._owners.stretches[1:]]
        self.moves = [self._move(begin_s) for begin_s in begins]
        counted = Counter(int(count.name[1:]) for count in self.found.counts for _ in range(count.n))
        self.twice = sum(n - 1 for n in counted.values())
        self.lost_after_commit = len(self._committed() - counted.keys())
        self.lost_beside = 0
        for number, at_s in enumerate(self.truth):
            if number not in counted:
                self._put_down(at_s)

    def _move(self, begin_s: float) -> _Move:
        """`begin_s`: from when on its moments are the next box's."""
        if any(a < begin_s - NEAR_S and begin_s <= b for a, b in self._watched):
            return _Move(begin_s, begin_s, lived=True)
        before = [b for _, b in self._watched if b < begin_s]
        after = [a for a, _ in self._watched if a >= begin_s - NEAR_S]
        return _Move(max(before, default=begin_s), min(after, default=begin_s), lived=False)

    def _put_down(self, at_s: float) -> None:
        """A lost crossing, for the move that it was lost at."""
        for move in self.moves:
            if move.unseen_s - NEAR_S <= at_s <= move.seen_s + NEAR_S:
                move.lost += 1
                move.blind += move.unseen_s <= at_s < move.seen_s
                return
        self.lost_beside += 1

    def _committed(self) -> set[int]:
        """What is in the ledger of a box that owned its moment."""
        found = set()
        for box in self._site.boxes:
            reader, at = LedgerReader(box.daemon.ledger_path), None
            while events := reader.after(self._camera, at, 1000):
                at = events[-1].id
                data = [json.loads(event.body)["data"] for event in events if event.type == LINE_CROSSED]
                owned = [d for d in data if self._owners.owned(d["term"], d["crossed_captured_ns"])]
                found |= {int(each["line"][1:]) for each in owned}
            reader.close()
        return found

    def is_whole(self) -> bool:
        """Its buckets follow each other, and each is spent in full."""
        buckets = self.found.buckets
        follow = all(a.end_ns == b.start_ns for a, b in itertools.pairwise(buckets))
        length_s = (buckets[-1].end_ns - buckets[0].start_ns) / NS_PER_S
        return follow and abs(sum(sum(b.seconds.values()) for b in buckets) - length_s) <= ALL_S


def _times(found: list[Merged]) -> dict[str, float]:
    buckets = [bucket for each in found for bucket in each.buckets]
    return {
        "length_s": sum(each.buckets[-1].end_ns - each.buckets[0].start_ns for each in found) / NS_PER_S,
        "spent_s": sum(sum(bucket.seconds.values()) for bucket in buckets),
        "seen_s": sum(bucket.seconds.get("seen_s", 0.0) for bucket in buckets),
        "moved_s": sum(bucket.blind.get(MOVED_BOX, 0.0) for bucket in buckets),
    }
