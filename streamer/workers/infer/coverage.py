"""Closed time buckets: what was counted in each, and how much of that time the camera was seen.

A bucket is aligned to UTC. It closes a little after its end, since a crossing may be decided up to a
second after it happened. Every nanosecond of it is put down as seen, gated, dropped, offline or unknown, and
what was not seen, or not believed, has its reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from pipelines.count.confidence import DIGITS, Judgement, Tally
from pipelines.events import LINE_CROSSED, ZONE_ENTERED, ZONE_EXITED
from pipelines.scene.health import BLIND_STATES
from pipelines.values import Event
from streamer.ipc.counters import Balance
from streamer.workers.infer.quantiles import Quantiles, rounded

SEEN_GAP_NS = 1_000_000_000  # two looks at most this far apart see what happens between them
CLOSE_DELAY_NS = 2_000_000_000
# A worker that was away for so many buckets has paused, and each is told; more is a clock that was set.
MAX_PAUSE_BUCKETS = 4
KINDS = ("seen", "gated", "dropped", "offline", "unknown")
WATCHED = ("seen", "gated")
REASONS = {"offline": "offline", "dropped": "overloaded", "unknown": "unknown"}  # of time that was not seen
SPENT = (*KINDS, *BLIND_STATES)  # each nanosecond is one of these
MOVED = "moved"  # of what was seen, the time in which lines were not where they were drawn


@dataclass(slots=True)
class _Bucket:
    start_ns: int
    spent_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*SPENT, MOVED), 0))
    lines: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    zones: dict[str, dict[str, int]] = field(default_factory=dict)
    confidence: dict[str, dict[str, Tally]] = field(default_factory=dict)  # line -> direction
    flags: list[str] = field(default_factory=list)
    ages_ms: Quantiles = field(default_factory=Quantiles)  # of the frames captured in it, ...
    kept: int = 0  # ... but for so many from before the camera woke

    def add_flag(self, text: str) -> None:
        if text not in self.flags:
            self.flags.append(text)

    def spend(self, kind: str, ns: int, health: str) -> None:
        """Put time down; of a camera that showed nothing also what nobody had time to look at is blind."""
        self.spent_ns[_put_down_as(kind, health)] += ns
        if kind in WATCHED and health == MOVED:
            self.spent_ns[MOVED] += ns

    def respend(self, kind: str, ns: int, before: str, now: str) -> None:
        """What was put down as `kind` under the health `before` was of the health `now`."""
        put = _put_down_as(kind, before)
        taken = min(ns, self.spent_ns[put])
        self.spent_ns[put] -= taken
        if kind in WATCHED and before == MOVED:
            self.spent_ns[MOVED] -= min(taken, self.spent_ns[MOVED])
        self.spend(kind, taken, now)

    def as_event(self) -> dict[str, Any]:
        """The members `coverage`, which adds up to the bucket's length, `blind` and `moved_s`."""
        spent = {kind: self.spent_ns[kind] for kind in KINDS}
        blind = {reason: spent[kind] for kind, reason in REASONS.items()}
        blind |= {state: self.spent_ns[state] for state in BLIND_STATES}
        spent["unknown"] += sum(self.spent_ns[state] for state in BLIND_STATES)
        return {
            "coverage": {f"{kind}_s": _seconds(ns) for kind, ns in spent.items()},
            "blind": {reason: _seconds(ns) for reason, ns in blind.items() if ns},
            "moved_s": _seconds(self.spent_ns[MOVED]),
        }


def _put_down_as(kind: str, health: str) -> str:
    return health if kind != "offline" and health in BLIND_STATES else kind


@dataclass(slots=True)
class _Span:
    start_ns: int
    end_ns: int
    kind: str  # one of KINDS


class Coverage:
    """One camera's open buckets. Times are wall-clock nanoseconds of the box, given by the caller."""

    def __init__(self, bucket_s: int, now_ns: int, balance: Balance) -> None:
        self._size_ns = bucket_s * 1_000_000_000
        # from the end of the oldest open bucket, which may be over already and wait for what comes late
        self._max_pause_ns = (MAX_PAUSE_BUCKETS + 1) * self._size_ns + CLOSE_DELAY_NS
        self._at_ns = now_ns  # everything before is accounted for
        self._open: dict[int, _Bucket] = {}
        self._closed_until_ns = self._start_of(now_ns)
        self._live = False
        self._spans: deque[_Span] = deque()  # of the open buckets, each within one
        self._health = ""  # of pipelines.scene.health; "": nobody says
        self._busy_before = balance.dropped.get("busy", 0)
        self._balance = balance
        self._bucket(now_ns).spent_ns["unknown"] += now_ns - self._start_of(now_ns)

    def begin_after(self, closed_ns: int) -> None:
        """Begin at `closed_ns`, within a bucket: a predecessor closed it there, or the camera is new."""
        start_ns = self._start_of(closed_ns)
        bucket = self._open.get(start_ns)
        if bucket is not None and bucket.start_ns < closed_ns:
            bucket.spent_ns["unknown"] = max(0, bucket.spent_ns["unknown"] - (closed_ns - bucket.start_ns))
            bucket.start_ns = closed_ns

    # ---- what happens

    def frame_inferred(self, captured_ns: int, age_ms: float | None, dropped_busy: int) -> None:
        """A frame was inferred; `age_ms` None: one from before the camera woke, counted as `kept`."""
        gap_ns = captured_ns - self._at_ns
        near = self._live and gap_ns <= SEEN_GAP_NS
        self._advance(captured_ns, "seen" if near else self._blind(dropped_busy))
        self._live = True
        self._busy_before = dropped_busy
        bucket = self._bucket(max(captured_ns, self._closed_until_ns))
        if age_ms is None:
            bucket.kept += 1
        else:
            bucket.ages_ms.add(age_ms)

    def frames_gated(self, captured_ns: int) -> None:
        """The camera rests: nothing has moved in front of it up to `captured_ns`."""
        if captured_ns <= self._at_ns:
            return
        near = self._live and captured_ns - self._at_ns <= SEEN_GAP_NS
        self._advance(captured_ns, "gated" if near else self._blind(None))
        self._live = True

    def source_lost(self, at_ns: int) -> None:
        """The source is no longer live."""
        near = self._live and at_ns - self._at_ns <= SEEN_GAP_NS
        self._advance(at_ns, "seen" if near else self._blind(None))
        self._live = False

    def health_changed(self, health: str, since_ns: int) -> None:
        """The camera's health is another one since `since_ns`: what is put down from then on was of it.

        A bucket that is closed by then stays as it was, which the oldest open one says: `blind_before`.
        """
        before, self._health = self._health, health
        if before == health:
            return
        for span in self._spans:
            start_ns = max(span.start_ns, since_ns)
            bucket = self._open.get(self._start_of(span.start_ns))
            if bucket is not None and start_ns < span.end_ns:
                bucket.respend(span.kind, span.end_ns - start_ns, before, health)
        oldest = self._open.get(self._closed_until_ns)
        open_ns = self._closed_until_ns if oldest is None else oldest.start_ns
        if health in (*BLIND_STATES, MOVED) and since_ns < open_ns <= self._at_ns:
            self._bucket(open_ns).add_flag("blind_before")

    def add_event(self, event: Event) -> None:
        when_ns = event.data.get("crossed_captured_ns", event.stamp.captured_ns)
        self._count(event.type, event.subject, event.data, int(when_ns))

    def restore_event(self, type_: str, subject: str, data: dict[str, Any], captured_ns: int) -> None:
        """Take over what a predecessor counted in a bucket that is still open."""
        self._count(type_, subject, data, int(data.get("crossed_captured_ns", captured_ns)))

    def add_flag(self, text: str, now_ns: int) -> None:
        """A flag that the bucket of `now_ns` carries: restarted, clock jumped, events lost …"""
        self._bucket(max(now_ns, self._closed_until_ns)).add_flag(text)

    def clock_jumped(self, now_ns: int) -> None:
        """The wall clock was set, to `now_ns`: the bucket before and the one after it say so."""
        self.add_flag("clock_jumped", self._at_ns)
        self.add_flag("clock_jumped", now_ns)

    # ---- what comes out

    def close_due(
        self, now_ns: int, balance: Balance, stopping: bool = False
    ) -> list[tuple[int, dict[str, Any]]]:
        """The buckets that are over (all of them when stopping), oldest first: (end_ns, event data)."""
        closed: list[tuple[int, dict[str, Any]]] = []
        if now_ns < self._closed_until_ns - self._size_ns:  # the clock was set back: start anew
            closed = self._close_as_they_are(balance)
            self._restart_clock(now_ns)
        while True:
            end_ns = self._closed_until_ns + self._size_ns
            if now_ns < end_ns + CLOSE_DELAY_NS and not (stopping and self._closed_until_ns <= now_ns):
                return closed
            until_ns = min(end_ns, now_ns) if stopping else end_ns
            if self._at_ns < until_ns:
                near = self._live and until_ns - self._at_ns <= SEEN_GAP_NS
                self._advance(until_ns, "seen" if near else self._blind(balance.dropped.get("busy", 0)))
            closed.append((until_ns, self._describe(self._closed_until_ns, until_ns, balance)))
            self._open.pop(self._closed_until_ns, None)
            self._closed_until_ns = end_ns
            if now_ns - end_ns > self._max_pause_ns:  # a jump ahead: say so once, not a thousand times
                closed += self._close_as_they_are(balance)
                self._restart_clock(now_ns)

    def cut(self, now_ns: int, balance: Balance) -> list[tuple[int, dict[str, Any]]]:
        """Close all that is open, as close_due() does, and go on with a bucket that begins now. What is
        decided later of the time before is counted in that one."""
        closed = self.close_due(now_ns, balance, stopping=True)
        self._closed_until_ns = self._start_of(now_ns)
        self._spans.clear()  # they are of what is closed
        self._open = {self._closed_until_ns: _Bucket(now_ns)}
        return closed

    def save(self) -> dict[str, Any]:
        return {
            "at_ns": self._at_ns,
            "closed_until_ns": self._closed_until_ns,
            "spent": [[at, b.spent_ns, b.flags, b.ages_ms.save()] for at, b in self._open.items()],
            "begun": [[at, b.start_ns] for at, b in self._open.items()],
        }

    def restore(self, saved: dict[str, Any], now_ns: int) -> None:
        """Take over the times a predecessor had put down; what was counted comes from the ledger, after this.

        Nothing is taken over from one that closed its last bucket before its end: see `begin_after`. Raises
        KeyError, TypeError, ValueError or AttributeError where `saved` is not from save(), changing nothing.
        """
        at_ns, closed_until_ns = int(saved["at_ns"]), int(saved["closed_until_ns"])
        if not 0 <= now_ns - at_ns < MAX_PAUSE_BUCKETS * self._size_ns or closed_until_ns > now_ns:
            return
        buckets: dict[int, _Bucket] = {}
        begun = dict(saved.get("begun", ()))  # of those that were cut, within the bucket
        for start_ns, spent, flags, ages in saved["spent"]:
            bucket = buckets[int(start_ns)] = _Bucket(int(begun.get(start_ns, start_ns)))
            bucket.spent_ns.update({k: int(v) for k, v in spent.items() if k in bucket.spent_ns})
            bucket.flags.extend(str(flag) for flag in flags)
            bucket.ages_ms.add_saved(ages)
        self._open, self._at_ns, self._closed_until_ns = buckets, at_ns, closed_until_ns

    # ---- inside

    def _count(self, type_: str, subject: str, data: Any, when_ns: int) -> None:
        bucket = self._bucket(max(when_ns, self._closed_until_ns))
        if type_ == LINE_CROSSED:
            classes = bucket.lines.setdefault(subject, {}).setdefault(str(data["direction"]), {})
            classes[str(data["class"])] = classes.get(str(data["class"]), 0) + 1
            if "stands_for" in data:  # not in events of older versions
                judgement = Judgement(float(data["confidence"]), float(data["stands_for"]))
                tally = Tally.of([judgement], bool(data.get("view_moved")))
                directions = bucket.confidence.setdefault(subject, {})
                direction = str(data["direction"])
                directions[direction] = directions.get(direction, Tally()) + tally
        elif type_ in (ZONE_ENTERED, ZONE_EXITED):
            zone = bucket.zones.setdefault(subject, {"entered": 0, "exited": 0})
            zone["entered" if type_ == ZONE_ENTERED else "exited"] += 1

    def _blind(self, dropped_busy: int | None) -> str:
        if not self._live:
            return "offline"
        return "dropped" if dropped_busy is not None and dropped_busy > self._busy_before else "unknown"

    def _advance(self, to_ns: int, kind: str) -> None:
        """Put the time from where we stand to `to_ns` down as `kind`, bucket by bucket."""
        if to_ns - self._at_ns > self._size_ns * 8:  # a clock that jumped, not a pause
            self._at_ns = to_ns
        while self._at_ns < to_ns:
            end_ns = min(to_ns, self._start_of(self._at_ns) + self._size_ns)
            if self._at_ns >= self._closed_until_ns:
                self._bucket(self._at_ns).spend(kind, end_ns - self._at_ns, self._health)
                self._remember(self._at_ns, end_ns, kind)
            self._at_ns = end_ns

    def _remember(self, start_ns: int, end_ns: int, kind: str) -> None:
        while self._spans and self._spans[0].end_ns <= self._closed_until_ns:
            self._spans.popleft()
        last = self._spans[-1] if self._spans else None
        same_bucket = last is not None and self._start_of(last.start_ns) == self._start_of(start_ns)
        if last is not None and same_bucket and last.kind == kind and last.end_ns == start_ns:
            last.end_ns = end_ns
        else:
            self._spans.append(_Span(start_ns, end_ns, kind))

    def _close_as_they_are(self, balance: Balance) -> list[tuple[int, dict[str, Any]]]:
        """The open buckets as far as they came: what was counted in them is told before the clock goes on."""
        closed = []
        for start_ns, bucket in sorted(self._open.items()):
            end_ns = min(start_ns + self._size_ns, self._at_ns)
            if end_ns > bucket.start_ns:
                bucket.add_flag("clock_jumped")
                closed.append((end_ns, self._describe(start_ns, end_ns, balance)))
        return closed

    def _restart_clock(self, now_ns: int) -> None:
        start_ns = self._start_of(now_ns)
        self._open = {at_ns: bucket for at_ns, bucket in self._open.items() if at_ns == start_ns}  # its flags
        self._at_ns = now_ns
        self._closed_until_ns = start_ns
        bucket = self._bucket(now_ns)
        bucket.spent_ns["unknown"] += now_ns - self._closed_until_ns
        bucket.add_flag("clock_jumped")

    def _describe(self, start_ns: int, end_ns: int, balance: Balance) -> dict[str, Any]:
        bucket = self._open.get(start_ns) or _Bucket(start_ns)
        before, self._balance = self._balance, balance
        dropped = {k: v - before.dropped.get(k, 0) for k, v in balance.dropped.items()}
        if bucket.spent_ns[MOVED]:
            bucket.add_flag(MOVED)
        return {
            "start_ns": bucket.start_ns,
            "end_ns": end_ns,
            "bucket_s": self._size_ns // 1_000_000_000,
            "lines": bucket.lines,
            "confidence": {line: _tallies(of_line) for line, of_line in bucket.confidence.items()},
            "zones": bucket.zones,
            **bucket.as_event(),
            "seen_share": _seen_share(balance, before),
            "frames": {
                "decoded": balance.decoded - before.decoded,
                "inferred": balance.inferred - before.inferred,
                "gated": balance.gated - before.gated,
                "dropped": {k: v for k, v in dropped.items() if v},
                **({"kept": bucket.kept} if bucket.kept else {}),
            },
            "age_ms": {
                "p50": rounded(bucket.ages_ms.at(0.50)),
                "p99": rounded(bucket.ages_ms.at(0.99)),
                "max": rounded(bucket.ages_ms.largest),
            },
            "flags": bucket.flags,
            "marks": bucket.flags,  # as consumers of older versions know it
        }

    def _bucket(self, at_ns: int) -> _Bucket:
        start_ns = self._start_of(at_ns)
        return self._open.setdefault(start_ns, _Bucket(start_ns))

    def _start_of(self, at_ns: int) -> int:
        return at_ns - at_ns % self._size_ns


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 3)


def _seen_share(now: Balance, before: Balance) -> float | None:
    """Of the frames that came and were wanted, how many were looked at; None where none came."""
    wanted = now.decoded - before.decoded
    wanted -= now.dropped.get("not_due", 0) - before.dropped.get("not_due", 0)
    seen = now.inferred + now.gated - before.inferred - before.gated
    return round(min(1.0, max(0.0, seen / wanted)), 4) if wanted > 0 else None


def _tallies(by_direction: dict[str, Tally]) -> dict[str, dict[str, int | float]]:
    """In as many digits as a judgement has."""
    return {
        direction: {
            "crossings": tally.crossings,
            "right": round(tally.right, DIGITS),
            "stands_for": round(tally.stands_for, DIGITS),
            "moving": tally.moving,
        }
        for direction, tally in by_direction.items()
    }


def percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of a sorted list, rounded to 0.01; None when it is empty."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
