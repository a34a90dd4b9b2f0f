"""What an analytic beyond lines and zones is given, and what it gives back. runner.py runs them.

An analytic is one rule of one camera. It sees the places of every frame, hears what lines and zones decided,
and tells; it keeps something only of tracks that live. Times are seconds of the stream's own time since the
epoch's first frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.values import Labels

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """The N tracks that were there at `time_s`.

    boxes_xyxyn and points_xyn (the foot of a person, else the centre) are (N, 4) and (N, 2); `row_of` gives
    a track's row by its id. `inside` says who is in a zone: zone -> track id -> since when.
    """

    time_s: float
    captured_ns: int  # the box's wall clock at that moment
    ids: list[int]
    class_ids: list[int]
    boxes_xyxyn: Array
    points_xyn: Array
    row_of: Mapping[int, int]
    inside: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a line ("crossed") or a zone ("entered", "exited") decided about a track."""

    kind: str
    name: str
    track_id: int
    class_id: int
    time_s: float
    direction: str = ""
    side: int = 0  # of a crossing: +1 to the right, -1 to the left
    dwell_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """An event to be: plain data, and moments in seconds that become `NAME_media_ns`."""

    type: str
    data: dict[str, Any]
    times_s: dict[str, float] = field(default_factory=dict)


class Analytic(Protocol):
    """One rule at work. `close` ends an epoch: all tracks are over and the time starts anew."""

    def see(self, sight: Sight) -> list[Told]: ...
    def hear(self, heard: Heard) -> list[Told]: ...
    def forget(self, track_ids: list[int]) -> list[Told]: ...
    def close(self, time_s: float) -> list[Told]: ...
    def save(self) -> Any: ...
    def restore(self, saved: Any) -> None: ...


class Chosen:
    """The classes that a rule is about, and their names."""

    def __init__(self, labels: Labels, classes: tuple[str, ...]) -> None:
        pairs = list(zip(labels.names, labels.groups, strict=True))
        self.wanted = [not classes or name in classes or group in classes for name, group in pairs]
        self._pairs = pairs

    def names(self, class_id: int) -> dict[str, str]:
        name, group = self._pairs[class_id]
        return {"class": name, "group": group}

    def counted(self, class_ids: Counter[int]) -> dict[str, Any]:
        """`count`, `by_class` and `by_group`; what there is none of is left out."""
        by_class: Counter[str] = Counter()
        by_group: Counter[str] = Counter()
        for class_id, n in sorted(class_ids.items()):
            if n:
                by_class[self._pairs[class_id][0]] += n
                by_group[self._pairs[class_id][1]] += n
        return {"count": by_class.total(), "by_class": dict(by_class), "by_group": dict(by_group)}


class Period:
    """Successive periods of the stream's time; one in which no frame came is passed over."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.start_s: float | None = None

    def over(self, time_s: float) -> dict[str, float] | None:
        """The period that `time_s` has left behind, as {"start", "end"}; None while it goes on."""
        if self.start_s is None:
            self.start_s = time_s
        if time_s < self.start_s + self.every_s:
            return None
        ended = {"start": self.start_s, "end": self.start_s + self.every_s}
        self.start_s += self.every_s * int((time_s - self.start_s) / self.every_s)
        return ended

    def cut(self, time_s: float) -> dict[str, float] | None:
        """End the open period early; None where nothing was seen in it."""
        if self.start_s is None:
            return None
        start_s, self.start_s = self.start_s, None
        return {"start": start_s, "end": min(max(time_s, start_s), start_s + self.every_s)}


def mean_max(values: list[float]) -> dict[str, float | None]:
    """{"mean", "max"} in seconds to the millisecond; null where there are none."""
    if not values:
        return {"mean": None, "max": None}
    return {"mean": round(sum(values) / len(values), 3), "max": round(max(values), 3)}
