"""One turn of a box's agent: its daemon's cameras are made equal to what the cluster's table says.

A camera that is placed here gets its next term in the site's Redis, then the daemon is told of the term, then
of the camera: so its first event has it. Once a frame of it was inferred, the agent says from when on this
box sees it. A camera that is no longer placed here goes on until another box has taken its next term and sees
it, and only then leaves the daemon: where the box before lives, a move has no moment in which nobody counts.

Where the cluster gives no answer for `unowned_after_s`, nobody confirms that the cameras are this box's: they
go on, and the daemon marks what they count. It stops where the cluster answers and the term is still the
highest; where another box has a higher one, the camera leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from streamer.errors import RedisError, SiteError, StreamerError
from streamer.site.agent_memory import AgentMemory, Held
from streamer.site.clocks import Clocks, ClockWatch
from streamer.site.cluster import Box, Cluster, Table
from streamer.site.configuration import Published, keep_copy, kept_copy
from streamer.site.daemon_cameras import Told
from streamer.site.placement import cameras_of
from streamer.site.settings import SiteSettings
from streamer.site.site_redis import Sign
from streamer.site.terms import Term

log = logging.getLogger(__name__)

CONFIGURATION_EVERY_S = 2.0
TERMS_EVERY_S = 5.0  # all held terms are compared with the highest, whatever the table says
SIGN_EVERY_S = 2.0
SETTLE_S = 1.0  # after another box sees the camera: what crossed before that is decided
HAND_OVER_S = 10.0  # then it leaves, seen or not: a camera may give its stream to one box alone

# Of a term that this box has. Taken: another box has the next one, and has the camera still to open.
Standing = Literal["highest", "taken", "left", "unknown"]


class Daemon(Protocol):
    """As DaemonCameras."""

    def status(self) -> tuple[str, dict[str, Told]]: ...

    def tell_term(self, site: str, camera: str, term: int, owned: bool, from_ns: int) -> None: ...

    def put(self, camera: Mapping[str, object]) -> None: ...

    def remove(self, camera: str) -> None: ...


class Shared(Protocol):
    """As SiteRedis."""

    def last_term(self, camera: str) -> Term | None: ...

    def next_term(
        self, camera: str, node: str, name: str, from_ns: int, above: int, opening: bool
    ) -> int: ...

    def say_open(self, camera: str, term: int, seen_ns: int) -> None: ...

    def clock_ns(self) -> int: ...

    def cameras(self) -> dict[str, Published]: ...

    def drained(self) -> frozenset[str]: ...

    def give_sign(self, box: str, sign: Sign) -> None: ...


class _HandOver:
    """Of a camera of which another box has the next term: seconds of the monotonic clock."""

    def __init__(self, noticed_s: float) -> None:
        self._noticed_s = noticed_s
        self._seen_s = float("inf")

    def is_over(self, term: Term, now_s: float) -> bool:
        """`term`: the other box's. One that does not say when it sees the camera has it at once."""
        if term.seen_ns is None:
            return True
        if term.is_open:
            self._seen_s = min(self._seen_s, now_s)
        return now_s - self._seen_s >= SETTLE_S or now_s - self._noticed_s >= HAND_OVER_S


class Agent:
    """Call step() several times a second. `copy` is where the configuration is kept for a start without
    Redis. What goes wrong is in `faults`, by camera or "" for the box, and is logged once when it begins."""

    def __init__(
        self,
        settings: SiteSettings,
        cluster: Cluster,
        daemon: Daemon,
        shared: Shared,
        memory: AgentMemory,
        copy: Path,
        clocks: Clocks = Clocks(),  # noqa: B008 - it holds nothing that changes
    ) -> None:
        self._settings, self._cluster, self._daemon, self._shared = settings, cluster, daemon, shared
        self._memory, self._copy, self._clocks = memory, copy, clocks
        self._cameras = kept_copy(copy)
        self._fresh = False  # whether `_cameras` was read from Redis since this start
        self._read_at_s = self._terms_at_s = self._signed_at_s = float("-inf")
        self._clock_watch = ClockWatch(clocks, shared.clock_ns)
        self._confirmed_at_s = clocks.monotonic()
        self._node = ""  # the daemon's
        self._asked_ns = 0  # when it was asked last what it runs
        self._unseen_ns: dict[str, int] = {}  # of cameras that it has to open: when it did not see them yet
        self._hand_overs: dict[str, _HandOver] = {}
        self.unplaced = frozenset[str]()  # cameras of which the cluster knows nothing
        self.is_drained = False  # this box is to have no cameras
        self.box: Box | None = None  # this one, as the cluster has it
        self.is_reached = False  # the cluster, in the last step
        self.faults: dict[str, str] = {}
        self._before: dict[str, str] = {}

    @property
    def cameras(self) -> list[str]:
        """Those that the site has on this box."""
        return self._memory.cameras()

    def step(self) -> None:
        """Raises RunningError and ControlError where the daemon does not answer at all."""
        self._before, self.faults = self.faults, {}
        self._clock_watch.look()
        self._asked_ns = self._clocks.wall_ns()
        self._node, told = self._daemon.status()
        table = self._table()
        self._read_cameras(table)
        self.unplaced = frozenset[str]()
        if table is not None:
            self._take_placed(table, told)
            self.unplaced = self._without_placing(table)
        self._look_after_held(table, told)
        if self._clock_watch.fault:
            self.faults.setdefault("", self._clock_watch.fault)
        self._log_changes()
        self._give_sign()

    # ---- what it reads

    def _table(self) -> Table | None:
        try:
            table = self._cluster.table()
        except SiteError as error:
            self.faults[""], self.is_reached, self.box = str(error), False, None
            return None
        self._confirmed_at_s = self._clocks.monotonic()
        self.is_reached, self.box = True, table.box(self._settings.node)
        return table

    @property
    def _is_confirmed(self) -> bool:
        return self._clocks.monotonic() - self._confirmed_at_s <= self._settings.unowned_after_s

    def _read_cameras(self, table: Table | None) -> None:
        """Now and then; at once where a camera is placed here that is not known yet, and while this box is
        about to be started or to end: its start asks whether it is drained."""
        placed = cameras_of(table, self._settings.node) if table is not None else frozenset()
        may_start = table is not None and (self.box is None or self.box.draining)
        known = placed <= self._cameras.keys() and not may_start
        if known and not self._is_due(self._read_at_s, CONFIGURATION_EVERY_S):
            return
        with self._noted(""):
            found = self._shared.cameras()
            if found != self._cameras:
                keep_copy(self._copy, found)
            self._cameras, self._fresh, self._read_at_s = found, True, self._clocks.monotonic()
            self.is_drained = self._settings.node in self._shared.drained()

    def _is_due(self, since_s: float, every_s: float) -> bool:
        return self._clocks.monotonic() - since_s >= every_s

    def _without_placing(self, table: Table) -> frozenset[str]:
        known = {placing.camera for placing in table.placings}
        return frozenset(self._cameras.keys() - known) if self._fresh else frozenset()

    # ---- cameras that are placed here

    def _take_placed(self, table: Table, told: Mapping[str, Told]) -> None:
        for camera in sorted(cameras_of(table, self._settings.node)):
            placing = table.placing(camera)
            if placing is not None:
                with self._noted(camera):
                    self._take(camera, f"{placing.id}@{placing.box}", told)

    def _take(self, camera: str, placing: str, told: Mapping[str, Told]) -> None:
        held = self._memory.get(camera)
        if held is not None and held.placing == placing:
            return
        if held is None and camera in told:
            raise SiteError(
                f"this box has a camera {camera} of its own, and the site's is to run here: rename it, or "
                f"`streamer camera remove {camera}` here, as after it has left the site and joined again"
            )
        if camera not in self._cameras:
            raise SiteError("it is placed here, and not configured: run `streamer site apply`")
        last = self._shared.last_term(camera)
        if held is not None and (last is None or last.term <= held.term):
            self._memory.change(camera, placing=placing)  # nobody has had it meanwhile
            return
        self._begin_term(camera, placing, held, told)

    def _begin_term(self, camera: str, placing: str, held: Held | None, told: Mapping[str, Told]) -> None:
        from_ns, above = self._clocks.wall_ns(), held.term if held is not None else 0
        opening = self._clock_watch.can_hand_over and not (camera in told and told[camera].sees)
        term = self._shared.next_term(camera, self._node, self._settings.node, from_ns, above, opening)
        revision = held.revision if held is not None else 0
        self._memory.set(camera, Held(term, from_ns, placing, revision=revision, seen=not opening))
        self._hand_overs.pop(camera, None)
        log.info("camera %s is this box's in term %d", camera, term)

    # ---- cameras that are in the daemon

    def _look_after_held(self, table: Table | None, told: Mapping[str, Told]) -> None:
        placed = cameras_of(table, self._settings.node) if table is not None else frozenset()
        look_at_all = self._is_due(self._terms_at_s, TERMS_EVERY_S)
        for camera in self._memory.cameras():
            with self._noted(camera):
                doubtful = camera not in placed or not self._memory[camera].owned
                standing = self._standing(camera, table, told) if doubtful or look_at_all else "highest"
                self._look_after(camera, standing, table is not None, told)
        if look_at_all:
            self._terms_at_s = self._clocks.monotonic()

    def _look_after(self, camera: str, standing: Standing, reached: bool, told: Mapping[str, Told]) -> None:
        if standing == "left":
            self._release(camera, told)
            return
        if camera in told and told[camera].trouble:
            self.faults.setdefault(camera, told[camera].trouble)
        self._mark(camera, confirmed=reached and standing == "highest")
        self._make_equal(camera, told)
        if not self._memory[camera].seen:
            self._look_whether_it_sees(camera, told)

    def _standing(self, camera: str, table: Table | None, told: Mapping[str, Told]) -> Standing:
        """Left: another box sees it, or the site has it no more. While Redis is away that cannot be told."""
        if (
            table is not None
            and self._fresh
            and camera not in self._cameras
            and table.placing(camera) is None
        ):
            return "left"
        try:
            last = self._shared.last_term(camera)
        except RedisError as error:
            self.faults.setdefault("", str(error))
            return "unknown"
        held = self._memory[camera]
        if last is None or last.term < held.term:
            self._say_term_again(camera, held, told)
        if last is None or last.term <= held.term:
            return "highest"
        now_s = self._clocks.monotonic()
        hand_over = self._hand_overs.setdefault(camera, _HandOver(now_s))
        return "left" if not self._clock_watch.can_hand_over or hand_over.is_over(last, now_s) else "taken"

    def _say_term_again(self, camera: str, held: Held, told: Mapping[str, Told]) -> None:
        """The site's Redis has lost this box's term. It takes one above it, or the next box would begin at 1
        and its counts would lie below those of today."""
        self._begin_term(camera, held.placing, held, told)

    def _look_whether_it_sees(self, camera: str, told: Mapping[str, Told]) -> None:
        """The camera is this box's from the last moment on at which no frame of it had come, which is before
        anything that this box has counted."""
        held, now = self._memory[camera], told.get(camera)
        if now is None or now.term != held.term or not now.sees:
            self._unseen_ns[camera] = self._asked_ns
            return
        self._shared.say_open(camera, held.term, max(held.from_ns, self._unseen_ns.get(camera, 0)))
        self._memory.change(camera, seen=True)
        self._unseen_ns.pop(camera, None)

    def _release(self, camera: str, told: Mapping[str, Told]) -> None:
        if camera in told:
            self._daemon.remove(camera)
        self._memory.forget(camera)
        self._hand_overs.pop(camera, None)
        self._unseen_ns.pop(camera, None)
        log.info("camera %s has left this box", camera)

    def _mark(self, camera: str, confirmed: bool) -> None:
        """Unowned when nobody has confirmed it for too long; owned again when the cluster answers and the
        term is still the highest."""
        owned = self._memory[camera].owned
        if owned and not self._is_confirmed:
            self._memory.change(camera, owned=False)
            log.warning("camera %s: nobody confirms that it is this box's: its events are marked", camera)
        elif not owned and confirmed:
            self._memory.change(camera, owned=True)
            log.info("camera %s is confirmed again", camera)

    def _make_equal(self, camera: str, told: Mapping[str, Told]) -> None:
        """The daemon's term and keys of the camera; the term first, so that its first event has it."""
        held, wanted = self._memory[camera], self._cameras.get(camera)
        is_there = camera in told
        if wanted is None:
            return
        if not is_there or told[camera][:2] != (held.term, held.owned):
            self._daemon.tell_term(self._settings.site, camera, held.term, held.owned, held.from_ns)
        if not is_there or held.revision != wanted.revision:
            self._daemon.put(wanted.camera)
            self._memory.change(camera, revision=wanted.revision)

    # ---- what it tells

    @contextmanager
    def _noted(self, whose: str) -> Iterator[None]:
        """One camera's trouble is not the others'."""
        try:
            yield
        except StreamerError as error:
            self.faults.setdefault(whose, str(error))

    def _log_changes(self) -> None:
        for whose, fault in self.faults.items():
            if self._before.get(whose) != fault:
                log.warning("%s%s", f"camera {whose}: " if whose else "", fault)
        for whose in self._before.keys() - self.faults.keys():
            log.info("%s is well again", f"camera {whose}" if whose else "the site")

    def _give_sign(self) -> None:
        if not self._is_due(self._signed_at_s, SIGN_EVERY_S):
            return
        self._signed_at_s = self._clocks.monotonic()
        try:
            self._shared.give_sign(self._settings.node, Sign(self._clocks.wall_ns(), self._node, self.faults))
        except RedisError as error:
            self.faults.setdefault("", str(error))
