"""`streamer site agent`: keeps this box's Ray and its daemon's cameras, and at the head the placings."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from streamer.errors import ControlError, RunningError, StreamerError
from streamer.site.agent import Agent
from streamer.site.agent_memory import CONFIGURATION_FILE, FILE_NAME, AgentMemory
from streamer.site.cluster import Box
from streamer.site.cluster_processes import RayProcesses
from streamer.site.daemon_cameras import DaemonCameras
from streamer.site.opened import OpenSite

log = logging.getLogger(__name__)

POLL_S = 0.25
MAX_SILENCE_S = 30.0  # of the daemon; then the box leaves its cameras to others
MISSING_FOR_S = 5.0  # before the head asks for a place: a person's command may be about to
HEAL_EVERY_S = 30.0
WRONG_ROOM_FOR_S = 5.0  # a drain and its end reach Redis and the cluster one after the other


def agent_of(site: OpenSite) -> Agent:
    """Raises SiteError, StorageError."""
    state = site.config.state_path
    return Agent(
        site.settings,
        site.table(),
        DaemonCameras(site.config.control_path),
        site.redis(),
        AgentMemory(state / FILE_NAME),
        state / CONFIGURATION_FILE,
    )


def hand_over(site: OpenSite, limit_s: float) -> list[str]:
    """Let other boxes take the cameras of this one, whose Ray has ended, for up to `limit_s`; returns those
    that none has taken.

    For who keeps other agents of the box away. Raises SiteError, StorageError.
    """
    agent, end_s = agent_of(site), time.monotonic() + limit_s
    while (left := agent.cameras) and time.monotonic() < end_s:
        with suppress(RunningError, ControlError):
            agent.step()
        time.sleep(POLL_S)
    return left


class AgentProcess:
    """`apply` is the command that makes the placings equal to what is published; the head runs it where a
    placing is missing, as after a head that had no store was started anew."""

    def __init__(self, site: OpenSite, apply: Sequence[str]) -> None:
        self._site, self._agent, self._processes = site, agent_of(site), site.processes()
        self._healer = Healer(apply) if site.settings.is_head else None
        self._room = Room()
        self._answered_at_s = time.monotonic()
        self._said = ""

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. Ray goes on: a box whose agent is replaced keeps its cameras."""
        while not stop.is_set():
            self._turn()
            stop.wait(POLL_S)

    def _turn(self) -> None:
        try:
            self._agent.step()
            self._answered_at_s = time.monotonic()
            if self._healer is not None:
                self._healer.look(self._agent.unplaced)
            fault = ""
        except (RunningError, ControlError) as error:
            fault = f"the daemon: {error}"
        self._say(self._kept(self._processes) or fault)

    def _kept(self, processes: RayProcesses) -> str:
        """A box that cannot count leaves the cluster, which places its cameras elsewhere."""
        try:
            if time.monotonic() - self._answered_at_s < MAX_SILENCE_S:
                agent, is_head = self._agent, self._site.settings.is_head
                may_have = self._site.settings.capacity > 0 and not agent.is_drained
                if self._room.is_wrong(agent.box, may_have, time.monotonic()):
                    processes.end_node()
                processes.keep(may_start=is_head or agent.is_reached, drained=agent.is_drained)
                return ""
            processes.stop()
        except StreamerError as error:
            return str(error)
        return f"the daemon has not answered for {MAX_SILENCE_S:g} s: this box leaves its cameras to others"

    def _say(self, fault: str) -> None:
        if fault and fault != self._said:
            log.warning("%s", fault)
        self._said = fault


class Room:
    """Whether a box was started for something else than it is now: with room for cameras though it is
    drained, or without though it is not. One that is being drained ends by itself, once it is empty."""

    def __init__(self) -> None:
        self._wrong_since_s: float | None = None

    def is_wrong(self, box: Box | None, may_have: bool, now_s: float) -> bool:
        """For a while already. Each start is given as long."""
        has = box is not None and box.capacity > 0 and not box.draining
        if box is None or has == may_have:
            self._wrong_since_s = None
        elif self._wrong_since_s is None:
            self._wrong_since_s = now_s
        elif now_s - self._wrong_since_s >= WRONG_ROOM_FOR_S:
            self._wrong_since_s = None
            return True
        return False


class Healer:
    """Runs a command where placings are missing, one at a time and not often."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._missing_since_s: float | None = None
        self._not_before_s = 0.0
        self._running: subprocess.Popen[bytes] | None = None

    def look(self, missing: frozenset[str]) -> None:
        now_s = time.monotonic()
        if self._running is not None and self._running.poll() is None:
            return
        self._running = None
        if not missing:
            self._missing_since_s = None
            return
        self._missing_since_s = self._missing_since_s or now_s
        if now_s - self._missing_since_s >= MISSING_FOR_S and now_s >= self._not_before_s:
            log.warning("%d cameras have no place in the cluster: they are placed again", len(missing))
            self._running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
            self._not_before_s = now_s + HEAL_EVERY_S
