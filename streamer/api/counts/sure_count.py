"""A count with how sure it is, where each of its crossings has a confidence: `312 ± 9`, or `312 (310–489)`
where what was missed is likely more than what was counted too much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.count.confidence import Judgement, Tally, shipped
from pipelines.count.scene_error import AuditedCount


@dataclass
class SureCount:
    """A count, with what is known of it camera by camera: hours of one camera err alike. `audits` are what
    was found of cameras in which a person looked."""

    count: int = 0
    corrected: int = 0  # by people, beside what was counted
    scenes: dict[str, Tally] = field(default_factory=dict)
    audits: Mapping[str, AuditedCount] = field(default_factory=dict)

    def add(self, camera: str, count: int, tally: Tally, corrected: int = 0) -> None:
        self.count += count
        self.corrected += corrected
        self.scenes[camera] = self.scenes.get(camera, Tally()) + tally

    @property
    def interval(self) -> tuple[int, int] | None:
        """The least and the greatest true count, nine times in ten. None where a part of the count has no
        confidence: of zones, and of what an older version counted."""
        known = sum(tally.crossings for tally in self.scenes.values())
        if not self.count or known != self.count:
            return None
        audits = [self.audits.get(camera) for camera in self.scenes]
        low, high = shipped()[1].interval(self.scenes.values(), audits)
        # What was counted may be the true count, also where it is likely that more was missed.
        return min(low, self.count) + self.corrected, max(high, self.count) + self.corrected

    @property
    def total(self) -> int:
        """What was counted, with what people corrected."""
        return self.count + self.corrected

    def __str__(self) -> str:
        """With a sign where both ends are as far, else with both: nobody is told less than what is likely."""
        mark = f", corrected by {self.corrected:+d}" if self.corrected else ""
        if self.interval is None:
            return f"{self.total}{mark}"
        low, high = self.interval
        if abs((high - self.total) - (self.total - low)) <= 1:
            return f"{self.total} ± {max(self.total - low, high - self.total)}{mark}"
        return f"{self.total} ({low}–{high}){mark}"

    def as_dict(self) -> dict[str, Any]:
        """`count`, `low` and `high` where they are known, `counted` and `corrected` where people did that."""
        ends = {} if self.interval is None else dict(zip(("low", "high"), self.interval, strict=True))
        parts = {"counted": self.count, "corrected": self.corrected} if self.corrected else {}
        return {"count": self.total, **ends, **parts}


def sure_count(
    judgements: Iterable[Judgement | None], view_moved: bool = False, audited: AuditedCount | None = None
) -> SureCount:
    """Of crossings of one scene, and what an audit found of it. None is one without a confidence."""
    each = list(judgements)
    known = [judgement for judgement in each if judgement is not None]
    if len(known) < len(each):
        return SureCount(len(each))
    tally = Tally.of(known, view_moved)
    audits = {} if audited is None else {"": audited}
    return SureCount(tally.crossings, scenes={"": tally}, audits=audits)
