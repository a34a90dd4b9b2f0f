"""The run itself: a fault in every span, recovery from it measured, and the books at the end."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults.soak.books import Books, balance
from tests.faults.soak.box import Box, Status
from tests.faults.soak.fault import Fault, Struck, replaced, well
from tests.faults.soak.outside_faults import OUTSIDE_FAULTS
from tests.faults.soak.watch import Watch
from tests.faults.soak.worker_faults import WORKER_FAULTS
from tests.patience import patient

FAULTS = (*WORKER_FAULTS, *OUTSIDE_FAULTS)
LOOK_S = 0.1
GIVE_UP = 3.0  # times the recovery that is promised, and then a fault counts as one that never ended
MIN_GIVE_UP_S = 60.0


@dataclass(slots=True)
class Outcome:
    """What a soak found. `recovery_s` by kind of fault, in the order of the strikes."""

    seconds: float = 0.0
    recovery_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    never: list[str] = field(default_factory=list)
    books: list[Books] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    exit_code: int | None = None


class Soak:
    """`kinds` limits the faults to those names, in that order; else every kind is drawn before any again."""

    def __init__(self, box: Box, watch: Watch, seed: int, kinds: Sequence[str] = ()) -> None:
        self._box, self._watch = box, watch
        self._chance = random.Random(seed)
        self._kinds = kinds
        self.outcome = Outcome()
        usable = [fault for fault in FAULTS if box.has_own_disks or not fault.needs_disks]
        self.outcome.left_out = [fault.kind for fault in FAULTS if fault not in usable]
        self._usable = usable
        self._left: list[Fault] = []

    def run(self, seconds: float, every_s: float) -> Outcome:
        """Start the box, strike until `seconds` have passed, then settle and balance.

        `every_s` is from fault to fault; infinite: there is none.
        """
        began_s = time.monotonic()
        self._start()
        if math.isinf(every_s):
            self._rest(began_s + seconds)
        while time.monotonic() - began_s < seconds or (self._kinds and self._left_of_kinds()):
            turn_s = time.monotonic() + every_s
            self._strike(self._next_fault())
            self._rest(min(turn_s, began_s + seconds))
        return self._finish(began_s)

    def _start(self) -> None:
        self._box.start()
        self._until(lambda s: well(s, dict.fromkeys(self._inferred(s, 0), 0)), patient(40), "the start")

    def _finish(self, began_s: float) -> Outcome:
        self._settle()
        self.outcome.seconds = time.monotonic() - began_s
        self.outcome.books = balance(self._box)
        self.outcome.exit_code = self._box.daemon.stop()
        return self.outcome

    # ---- faults

    def _left_of_kinds(self) -> int:
        done = sum(map(len, self.outcome.recovery_s.values())) + len(self.outcome.never)
        return max(0, len(self._kinds) - done)

    def _next_fault(self) -> Fault:
        if not self._left:
            named = {fault.kind: fault for fault in self._usable}
            self._left = [named[kind] for kind in self._kinds] or self._usable.copy()
            if not self._kinds:
                self._chance.shuffle(self._left)
            self._left.reverse()
        return self._left.pop()

    def _strike(self, fault: Fault) -> None:
        self._rest(time.monotonic() + self._chance.uniform(0.2, 1.5))
        struck = fault.strike(self._box, self._chance)
        print(f"{time.strftime('%H:%M:%S')} {fault.kind}", end="", flush=True)
        self._rest(time.monotonic() + fault.hold_s)
        struck.lift()
        since_s = time.monotonic()
        if self._recovered(fault, struck):
            took_s = time.monotonic() - since_s
            self.outcome.recovery_s[fault.kind].append(took_s)
            print(f": well after {took_s:.1f} s", flush=True)
        else:
            self.outcome.never.append(fault.kind)
            print(": NEVER WELL AGAIN", flush=True)

    def _recovered(self, fault: Fault, struck: Struck) -> bool:
        limit_s = patient(max(MIN_GIVE_UP_S, GIVE_UP * fault.recovery_s))
        end_s, since, of_daemon = time.monotonic() + limit_s, None, None
        while time.monotonic() < end_s:
            status = self._watch.sample()
            if status is None:
                time.sleep(LOOK_S)
                continue
            if since is None or status["pid"] != of_daemon:
                since, of_daemon = self._inferred(status, 3), status["pid"]
            if replaced(struck, status) and well(status, since) and struck.also(status):
                return True
            time.sleep(LOOK_S)
        return False

    @staticmethod
    def _inferred(status: Status, more: int) -> dict[str, int]:
        return {c["name"]: c["frames"]["inferred"] + more for c in status["cameras"]}

    # ---- between faults, and the end

    def _rest(self, until_s: float) -> None:
        while time.monotonic() < until_s:
            self._watch.sample()
            time.sleep(min(LOOK_S, max(0.0, until_s - time.monotonic())))

    def _until(self, condition: Callable[[Status], bool], limit_s: float, what: str) -> None:
        end_s = time.monotonic() + limit_s
        while True:
            status = self._watch.sample()
            if status is not None and condition(status):
                return
            assert time.monotonic() < end_s, f"waited for {what}:\n{self._box.daemon.log()}"
            time.sleep(LOOK_S)

    def _settle(self) -> None:
        """No camera runs any more, and what was made has come everywhere."""
        names = [camera["name"] for camera in self._box.daemon.status()["cameras"]]
        for done in self._box.daemon.commands(*(("camera", "disable", name) for name in names)):
            assert done.returncode == 0, done
        self._until(_delivered, patient(60), "everything to be delivered")


def _delivered(status: Status) -> bool:
    ledger, workers = status["ledger"], status["workers"]
    open_events = sum(w["status"].get("unacknowledged", 0) for w in workers)
    quiet = all(c["state"] == "disabled" for c in status["cameras"])
    lag = [sink["undelivered"] for sink in ledger.get("sinks", {}).values()]
    return quiet and len(lag) == 2 and not any(lag) and not open_events
