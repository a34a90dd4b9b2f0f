"""How much of a row's time was seen, and why not the rest: beside every count by time, so that no camera that
was blind looks like one at which nobody came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import NS_PER_S
from streamer.ledger.quarters import QUARTER_NS

WATCHED = ("seen_s", "gated_s")
NOT_RECORDED = "not_recorded"  # no daemon ran, or the camera was not in it
MIN_SEEN_S = 0.5  # a period of which less was seen is unknown
WHOLE = 0.995  # share of a period, from which on nothing is said of the rest

Key = tuple[Any, ...]


@dataclass
class Period:
    """What is known of the time of one row, over all its cameras."""

    seen_s: float = 0.0
    blind: dict[str, float] = field(default_factory=dict)  # reason -> seconds
    moved_s: float = 0.0
    looked_at: int = 0
    wanted: int = 0

    def add(self, bucket: Coverage) -> None:
        self.seen_s += sum(bucket.seconds.get(kind, 0.0) for kind in WATCHED)
        for reason, seconds in bucket.blind.items():
            self.add_blind(reason, seconds)
        self.moved_s += bucket.moved_s
        self.looked_at += bucket.looked_at
        self.wanted += bucket.wanted

    def add_blind(self, reason: str, seconds: float) -> None:
        if seconds > 0:
            self.blind[reason] = self.blind.get(reason, 0.0) + seconds

    @property
    def blind_s(self) -> float:
        return sum(self.blind.values())

    @property
    def unknown(self) -> bool:
        """Whether nothing can be said of this time."""
        return self.seen_s < MIN_SEEN_S and self.blind_s > 0

    @property
    def whole(self) -> bool:
        """Whether it was seen from end to end."""
        return self.blind_s < (1 - WHOLE) * (self.seen_s + self.blind_s) or not self.blind_s

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON. `seen_share`: of the frames that came and were wanted, how many were looked at."""
        return {
            "seen_s": round(self.seen_s, 3),
            "blind_s": round(self.blind_s, 3),
            "blind": {reason: round(s, 3) for reason, s in sorted(self.blind.items())},
            "moved_s": round(self.moved_s, 3),
            "seen_share": round(self.looked_at / self.wanted, 4) if self.wanted else None,
        }

    def __str__(self) -> str:
        """ "100 %", or "83 % (frozen 10 %, offline 7 %)"."""
        total_s = self.seen_s + self.blind_s
        if not total_s:
            return "-"
        why = sorted(self.blind.items(), key=lambda item: -item[1])
        parts = [f"{reason} {s / total_s:.0%}" for reason, s in why if s >= (1 - WHOLE) * total_s]
        if self.moved_s >= (1 - WHOLE) * total_s:
            parts.append(f"moved {self.moved_s / total_s:.0%}")
        seen = f"{self.seen_s / total_s:.0%}"
        return f"{seen} ({', '.join(parts)})" if parts else seen


class Periods:
    """Sums of buckets by key_of(camera, Unix seconds), fed camera by camera in the order of their times.
    `with_gaps`: time between two buckets of a camera counts as blind."""

    def __init__(self, key_of: Callable[[str, int], Key], with_gaps: bool) -> None:
        self._key_of, self._with_gaps = key_of, with_gaps
        self._before: Coverage | None = None
        self.found: dict[Key, Period] = {}

    def add(self, bucket: Coverage) -> None:
        before, self._before = self._before, bucket
        if self._with_gaps and before is not None and before.camera == bucket.camera:
            for at_ns, seconds in _gap(before.end_ns, bucket.start_ns):
                self._at(bucket.camera, at_ns).add_blind(NOT_RECORDED, seconds)
        period = self._at(bucket.camera, bucket.start_ns)
        period.add(bucket)
        if self._with_gaps:
            period.add_blind(NOT_RECORDED, bucket.gap_s)

    def _at(self, camera: str, at_ns: int) -> Period:
        return self.found.setdefault(self._key_of(camera, at_ns // NS_PER_S), Period())


def _gap(at_ns: int, end_of_gap_ns: int) -> Iterator[tuple[int, float]]:
    """The time that is in none of a camera's buckets, in pieces: (when it begins, seconds)."""
    while at_ns < end_of_gap_ns:
        end_ns = min(end_of_gap_ns, at_ns - at_ns % QUARTER_NS + QUARTER_NS)
        yield at_ns, (end_ns - at_ns) / NS_PER_S
        at_ns = end_ns
