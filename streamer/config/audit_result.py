"""What an audit found of a camera's counts, as the camera's file keeps it (`streamer audit --apply`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from pipelines.rules import Name, Strict

MAX_COUNT = 10**9
MAX_ANSWERS = 10**6
MAX_RATIO = 20.0  # of a true count to its count, or the other way round: beyond it is a slip or a broken line
Count = Annotated[float, Field(ge=0, le=MAX_COUNT)]


class AuditResult(Strict):
    """Over all lines, `counted` crossings; in truth `true_count`, and with 90 % between `low` and `high`.

    It holds for the `model` (its display name, and `sha256` where it has a file) and the `pipeline` that
    counted; `at` is when the audit ended.
    """

    counted: int = Field(ge=1, le=MAX_COUNT)
    true_count: Count
    low: Count
    high: Count
    answers: int = Field(ge=1, le=MAX_ANSWERS)
    at: AwareDatetime
    model: str = Field(min_length=1, max_length=255)
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    pipeline: Name = "default"

    @model_validator(mode="after")
    def _is_an_interval(self) -> AuditResult:
        if not self.low <= self.true_count <= self.high:
            raise ValueError(
                f"low {self.low:g}, true_count {self.true_count:g} and high {self.high:g} are not in this "
                "order: give them as `streamer audit` printed them"
            )
        if self.high > MAX_RATIO * self.counted or MAX_RATIO * self.true_count < self.counted:
            raise ValueError(
                f"true_count {self.true_count:g}, up to {self.high:g}, is more than {MAX_RATIO:g} times off "
                f"counted {self.counted}: of such a count nothing can be told: mend the line, and audit again"
            )
        return self
