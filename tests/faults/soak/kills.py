"""`python -m tests.faults.soak.kills`: kill -9, 100 times each kind of worker and 20 times the supervisor.

All in one daemon's folders: kinds take turns, so that each process has lived for longer than GOOD_LIFE_S
before its next death, which is what makes the daemon start it again at once; a faster pace would measure its
pauses. Capture processes that die twice are separated on the way, as they should be. Clips begin with a
keyframe when they are opened, so that no keyframe gap is in the times. Exit code 1 where events or frames
are lost or counted twice, or where a recovery is late.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import psutil

from streamer.daemon.process_manager import GOOD_LIFE_S
from streamer.ipc.redis_keys import events_key
from tests.faults.soak import report
from tests.faults.soak.box import Box, Status, in_a_box
from tests.faults.soak.run import Outcome, Soak
from tests.faults.soak.watch import Watch
from tests.patience import FACTOR, patient

GOALS_S = {"capture": 2.0, "infer": 5.0, "deliver": 5.0, "api": 5.0, "supervisor": 5.0}
WORKERS = ("capture", "infer", "deliver", "api")
SUPERVISOR = "supervisor"
RESTART_S = 1.0  # RestartSec of streamer.service: so long systemd waits before it starts the daemon again
GIVE_UP_S = 60.0
MARGIN_S = 0.2  # of a life that is long enough
LOOK_AT_RECOVERY_S = 0.01
Progress = dict[str, int]  # what has been done, by who does it; it rises again when all is well


@dataclass(frozen=True, slots=True)
class Victim:
    """A worker that is to be killed, and the epochs of the cameras of which it has a part."""

    role: str
    name: str
    pid: int
    epochs: dict[str, int]


class Kills(Soak):
    """`times` of each kind of worker and `of_supervisor` of the supervisor, spread over the run."""

    def __init__(self, box: Box, watch: Watch, seed: int, port: int) -> None:
        super().__init__(box, watch, seed)
        self._port = port
        self._answers = 0

    def kill(
        self, times: int, of_supervisor: int, show: Callable[[str], None], limit_s: float = math.inf
    ) -> Outcome:
        """Strike, settle and balance; no further round begins after `limit_s`. `show` is told each round."""
        began_s = time.monotonic()
        self._start()
        of_supervisor_done = 0
        for turn in range(1, times + 1):
            if time.monotonic() - began_s > limit_s:
                break
            took_s = {role: self._kill_worker(role) for role in WORKERS}
            if of_supervisor_done * times < turn * of_supervisor:
                took_s[SUPERVISOR] = self._kill_supervisor()
                of_supervisor_done += 1
            show(f"{turn:4} " + "  ".join(f"{role} {s:.2f}" for role, s in took_s.items()))
        return self._finish(began_s)

    # ---- one kill

    def _kill_worker(self, role: str) -> float:
        victim = self._next_victim(role)
        os.kill(victim.pid, signal.SIGKILL)
        return self._recover(role, lambda status: self._progress(victim, status))

    def _next_victim(self, role: str) -> Victim:
        """One that has lived long enough, at a random moment of its life, as it is now."""
        self._rest(time.monotonic() + self._chance.uniform(0.3, 1.0))
        chosen = self._chance.choice(self._victims(role))
        self._rest(time.monotonic() + _still_short_s(chosen.pid))
        return next(victim for victim in self._victims(role) if victim.pid == chosen.pid)

    def _victims(self, role: str) -> list[Victim]:
        status = self._box.daemon.status()
        workers = [w for w in status["workers"] if w["role"] == role and w["state"] == "ready" and w["pid"]]
        found = [Victim(role, w["name"], w["pid"], _epochs_of(role, w["name"], status)) for w in workers]
        return [victim for victim in found if victim.epochs or role not in ("capture", "infer")]

    def _kill_supervisor(self) -> float:
        """And what systemd does then: what is left of the daemon is ended, and it is started again."""
        self._rest(time.monotonic() + self._chance.uniform(0.3, 1.0))
        daemon = self._box.daemon
        workers = [worker["pid"] for worker in daemon.status()["workers"] if worker["pid"]]
        killed_s = time.monotonic()
        daemon.kill()
        for pid in workers:
            daemon.wait_until_gone(pid, 15)
        time.sleep(max(0.0, killed_s + RESTART_S - time.monotonic()))
        daemon.start(wait=False)
        return self._recover(SUPERVISOR, self._progress_of_all, killed_s)

    # ---- recovery

    def _recover(
        self, role: str, progress: Callable[[Status], Progress | None], since_s: float | None = None
    ) -> float:
        """Seconds from the kill until what the dead one did goes on; `progress` is None while it is dead."""
        since_s = time.monotonic() if since_s is None else since_s
        base: Progress | None = None
        while time.monotonic() < since_s + patient(GIVE_UP_S):
            status = self._watch.sample()
            now = progress(status) if status is not None else None
            if now is not None:
                base = now if base is None else base
                if all(n > base[who] for who, n in now.items()):
                    self.outcome.recovery_s[role].append(time.monotonic() - since_s)
                    return self.outcome.recovery_s[role][-1]
            time.sleep(LOOK_AT_RECOVERY_S)
        self.outcome.never.append(role)
        raise AssertionError(f"{role} was never well again:\n{self._box.daemon.log()}")

    def _progress(self, victim: Victim, status: Status) -> Progress | None:
        """None while its successor is not there."""
        pids = {worker["name"]: worker["pid"] for worker in status["workers"]}
        key = "worker" if victim.role == "capture" else "infer_worker"
        rows = {c["name"]: c for c in status["cameras"] if c["name"] in victim.epochs}
        successors = [pids.get(c[key]) for c in rows.values()] or [pids.get(victim.name)]
        if any(pid in (None, victim.pid) for pid in successors):
            return None
        # A frame that the dead one had handed over may still be looked at: it is of an epoch before.
        if victim.role == "capture" and any(c["epoch"] <= victim.epochs[n] for n, c in rows.items()):
            return None
        if victim.role == "api":
            return {"api": self._answered()}
        if victim.role == "deliver":
            return {"deliver": self._delivered(status)}
        return {name: c["frames"]["inferred"] for name, c in rows.items()}

    def _progress_of_all(self, status: Status) -> Progress | None:
        if not all(worker["pid"] for worker in status["workers"]) or len(status["cameras"]) < 4:
            return None
        seen = {c["name"]: c["frames"]["inferred"] for c in status["cameras"]}
        return {**seen, "deliver": self._delivered(status), "api": self._answered()}

    def _delivered(self, status: Status) -> int:
        """Events in the office's Redis, which outlives the daemon."""
        with self._box.office() as client:
            return sum(client.xlen(events_key(status["node"], c["name"])) for c in status["cameras"])

    def _answered(self) -> int:
        """Answers of HTTP so far, after asking once more."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1.0) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self._answers += connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            pass  # nobody listens yet, which is what is being measured
        return self._answers


def _epochs_of(role: str, worker: str, status: Status) -> dict[str, int]:
    key = {"capture": "worker", "infer": "infer_worker"}.get(role)
    return {c["name"]: c["epoch"] for c in status["cameras"] if key and c[key] == worker}


def _still_short_s(pid: int) -> float:
    """How long the process must live on before its death is no early one."""
    return GOOD_LIFE_S + MARGIN_S - (time.time() - psutil.Process(pid).create_time())


def late(outcome: Outcome) -> list[str]:
    """A line for each kind whose p95 is over its goal. The goals are for a quiet machine."""
    return [
        f"recovery of {role}: p95 {np.percentile(took_s, 95):.2f} s, {patient(GOALS_S[role]):g} s at most"
        for role, took_s in outcome.recovery_s.items()
        if np.percentile(took_s, 95) > patient(GOALS_S[role])
    ]


def broken(outcome: Outcome, watch: Watch) -> list[str]:
    """A line for each promise that was not kept, but for those of growth: no process lives long here."""
    return [*report.lost(outcome, watch), *late(outcome)]


def text(outcome: Outcome, watch: Watch, seed: int) -> str:
    """The figures for a person."""
    faults = broken(outcome, watch)
    head = f"kills: {outcome.seconds / 60:.1f} minutes, seed {seed}, {watch.samples} looks"
    limits = f"limits for times are {FACTOR:g} times the goals (STREAMER_TEST_PATIENCE)"
    parts = [head, limits, *report.frames(watch), *report.events(outcome), *_recovery(outcome)]
    return "\n".join([*parts, "", *([f"BROKEN: {f}" for f in faults] or ["0 lost, 0 twice, none late"])])


def _recovery(outcome: Outcome) -> Iterator[str]:
    yield "\nseconds from kill -9 until all goes on:   n    p50    p95    max   goal (p95)"
    for role, took_s in outcome.recovery_s.items():
        p50, p95 = np.percentile(took_s, (50, 95))
        line = f"  {role:34} {len(took_s):6} {p50:6.2f} {p95:6.2f} {max(took_s):6.2f} {GOALS_S[role]:6g}"
        yield f"{line}{f', with {RESTART_S:g} s of systemd' if role == SUPERVISOR else ''}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak.kills", description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="of each kind of worker")
    parser.add_argument("--supervisor", type=int, default=20, help="times at most as many as of a worker")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no round after so long")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the choice among workers")
    return parser.parse_args()


def main() -> int:
    wanted, port = _arguments(), _free_port()

    def judge(box: Box) -> list[str]:
        watch = Watch(box, warm_up_s=20.0)
        show = functools.partial(print, flush=True)
        kills = Kills(box, watch, wanted.seed, port)
        outcome = kills.kill(wanted.times, wanted.supervisor, show, wanted.minutes * 60)
        print("\n" + text(outcome, watch, wanted.seed))
        return broken(outcome, watch)

    return in_a_box(lambda base, binary: Box(base, binary, api={"listen": f"127.0.0.1:{port}"}), judge)


if __name__ == "__main__":
    sys.exit(main())
