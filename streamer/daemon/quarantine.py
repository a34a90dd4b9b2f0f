"""Which cameras get a capture process of their own: those whose process keeps dying.

A damaged stream can kill the process that decodes it, with all cameras in it. Who is at fault cannot be
seen from outside, so all of them are separated; the one at fault then takes only itself along. A camera that
has lived alone for its term without a death goes back to the others; what dies again stays longer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

DEATHS = 2  # of one capture worker within WINDOW_S
WINDOW_S = 600.0
TERM_S = 3600.0
LONGEST_TERM_S = 24 * 3600.0


@dataclass(slots=True)
class _Record:
    """A camera's term, and how long it has lived without a death since it was separated or let go."""

    term_s: float
    lived_s: float = 0.0
    alone: bool = True

    def extend(self) -> None:
        self.term_s = min(2 * self.term_s, LONGEST_TERM_S)
        self.lived_s, self.alone = 0.0, True


class Quarantine:
    """`cameras` are those that stand alone. Times are monotonic seconds, given by the caller."""

    def __init__(self) -> None:
        self._deaths_s: dict[str, list[float]] = {}
        self._records: dict[str, _Record] = {}
        self._now_s: float | None = None

    @property
    def cameras(self) -> frozenset[str]:
        return frozenset(name for name, record in self._records.items() if record.alone)

    def died(self, worker: str, cameras: tuple[str, ...], now_s: float) -> bool:
        """Note that a capture worker died by itself; True when its cameras are separated for that."""
        lately = [s for s in self._deaths_s.get(worker, []) if now_s - s < WINDOW_S] + [now_s]
        self._deaths_s[worker] = lately
        separate = len(lately) >= DEATHS and len(cameras) >= 2
        for name in cameras:
            known = self._records.get(name)
            if known is None and separate:
                self._records[name] = _Record(TERM_S)
            elif known is not None and (separate or known.alone):
                known.extend()
        return separate

    def release(self, captured: Collection[str], now_s: float) -> frozenset[str]:
        """The cameras that may go back to the others now; to be called about once a second.

        Time counts for the `captured`, whose process runs. One that has lived as long again among the others
        begins with the first term should it ever come back.
        """
        passed_s = now_s - self._now_s if self._now_s is not None else 0.0
        self._now_s = now_s
        free: set[str] = set()
        for name, record in list(self._records.items()):
            record.lived_s += passed_s if name in captured else 0.0
            if record.lived_s < record.term_s:
                continue
            if record.alone:
                record.lived_s, record.alone = 0.0, False
                free.add(name)
            else:
                del self._records[name]
        return frozenset(free)

    def forget(self, camera: str) -> None:
        """The camera is gone."""
        self._records.pop(camera, None)

    def left_s(self, camera: str) -> float | None:
        """How long the camera is still to stand alone; None: it does not."""
        record = self._records.get(camera)
        return max(0.0, record.term_s - record.lived_s) if record is not None and record.alone else None
