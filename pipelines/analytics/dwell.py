"""Who has been in a zone for longer than the times that were asked about.

The zone itself says how long each visit was, when it is over (zone.py); this tells while it lasts.
"""

from __future__ import annotations

from typing import Any

from pipelines.analytics.base import Chosen, Heard, Sight, Told
from pipelines.spec_analytics import DwellSpec
from pipelines.values import Labels

DWELL_EXCEEDED = "streamer.dwell.exceeded.v1"


class DwellAlarm:
    """Tells once per visit and threshold, of a track that is seen at that moment or later."""

    def __init__(self, spec: DwellSpec, labels: Labels) -> None:
        self.spec = spec
        self._chosen = Chosen(labels, spec.classes)
        self._told: dict[int, tuple[float, int]] = {}  # track id -> its visit's begin, thresholds told

    def see(self, sight: Sight) -> list[Told]:
        found: list[Told] = []
        inside = sight.inside[self.spec.zone]
        for track_id, since_s in inside.items():
            row = sight.row_of.get(track_id)
            if row is None or sight.time_s - since_s < self.spec.after_s[0]:
                continue
            class_id = sight.class_ids[row]
            if self._chosen.wanted[class_id]:
                found.extend(self._exceeded(track_id, class_id, since_s, sight.time_s - since_s))
        for track_id in [k for k in self._told if k not in inside]:
            del self._told[track_id]
        return found

    def _exceeded(self, track_id: int, class_id: int, since_s: float, dwell_s: float) -> list[Told]:
        begun_s, told = self._told.get(track_id, (since_s, 0))
        if begun_s != since_s:  # it has been outside meanwhile
            told = 0
        found = []
        while told < len(self.spec.after_s) and dwell_s >= self.spec.after_s[told]:
            data = {
                "dwell": self.spec.name,
                "zone": self.spec.zone,
                **self._chosen.names(class_id),
                "track_id": track_id,
                "after_s": self.spec.after_s[told],
                "dwell_s": round(dwell_s, 3),
            }
            found.append(Told(DWELL_EXCEEDED, data, {"entered": since_s}))
            told += 1
        self._told[track_id] = (since_s, told)
        return found

    def hear(self, heard: Heard) -> list[Told]:  # noqa: ARG002
        return []

    def forget(self, track_ids: list[int]) -> list[Told]:
        for track_id in track_ids:
            self._told.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[Told]:  # noqa: ARG002
        self._told.clear()
        return []

    def save(self) -> Any:
        return [[k, since, told] for k, (since, told) in self._told.items()]

    def restore(self, saved: Any) -> None:
        self._told = {int(k): (float(since), int(told)) for k, since, told in saved}
