"""What an alert is asked to tell of: one rule, as validated data.

Which keys stand in it says what it is about (`kind`). A key that means nothing for that kind is refused, so
that no rule waits for what it never looks at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipelines.analytics.base import AnalyticSpec
from pipelines.rules import LineSpec, Name, Rules, Seconds, Unit, check_direction

AlertKind = Literal["presence", "count", "crossing", "action", "wrong_way", "speed", "camera"]
Severity = Literal["info", "warning", "critical"]
CameraFault = Literal["blind", "offline"]
Pause = Annotated[float, Field(ge=0, le=86_400)]
MAX_ALERTS = 64  # of a camera

# The keys that say what a rule is about, the first that is given; and which others go with each kind.
_BY_KEY: tuple[tuple[str, AlertKind], ...] = (
    ("camera", "camera"),
    ("action", "action"),
    ("wrong_way", "wrong_way"),
    ("speed", "speed"),
    ("line", "crossing"),
    ("at_least", "count"),
    ("zone", "presence"),
)
_KEYS: Mapping[AlertKind, tuple[str, ...]] = {
    "presence": ("zone", "for_s", "classes"),
    "count": ("zone", "at_least", "for_s", "classes"),
    "crossing": ("line", "direction", "classes"),
    "action": ("action", "min_confidence", "zone", "classes"),
    "wrong_way": ("wrong_way", "classes"),
    "speed": ("speed", "over", "classes"),
    "camera": ("camera", "for_s"),
}
_OF_SOME = tuple(dict.fromkeys(key for keys in _KEYS.values() for key in keys))
NEEDED = "say what raises it: a zone, a line, an action, wrong_way, speed, or camera"


class When(Rules):
    """Only outside, or only inside, an entry of `opening_hours` of streamer.yaml."""

    outside: Name | None = None
    inside: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> When:
        if (self.outside is None) == (self.inside is None):
            raise ValueError("give outside or inside, one of them, with a name of opening_hours")
        return self

    @property
    def hours(self) -> str:
        """The name of the hours."""
        return self.outside or self.inside or ""


class AlertSpec(AnalyticSpec):
    """One alert. `for_s`: how long it must hold; a break shorter than `debounce_s` is none.

    It is cleared when it has not held for `clear_after_s`, and while raised is told again every
    `repeat_after_s` (None: once). `clip`: a clip is kept of when it is raised, where the site keeps clips.
    """

    zone: Name | None = None
    at_least: int | None = Field(default=None, ge=1, le=100_000)
    for_s: Pause | None = None
    line: Name | None = None
    direction: Name | None = None
    action: str | None = Field(default=None, min_length=1, max_length=64)
    min_confidence: Unit | None = None
    wrong_way: Name | None = None
    speed: Name | None = None
    over: float | None = Field(default=None, gt=0, le=1000)
    camera: CameraFault | None = None
    when: When | None = None
    severity: Severity = "warning"
    debounce_s: Pause = 1.0
    clear_after_s: Pause = 10.0
    repeat_after_s: Seconds | None = None
    clip: bool = False

    @model_validator(mode="after")
    def _of_one_kind(self) -> AlertSpec:
        given = [key for key in _OF_SOME if getattr(self, key) not in (None, ())]
        if not any(key in given for key, _ in _BY_KEY):
            raise ValueError(NEEDED)
        if stray := next((key for key in given if key not in _KEYS[self.kind]), ""):
            raise ValueError(f"{stray} does not go with {self._key}: beside it there may be {self._others()}")
        if self.kind == "count" and self.zone is None:
            raise ValueError("at_least counts who is in a zone: name the zone")
        return self

    @property
    def kind(self) -> AlertKind:
        """What it is about, by its keys."""
        return next(kind for key, kind in _BY_KEY if getattr(self, key) is not None)

    @property
    def _key(self) -> str:
        return next(key for key, _ in _BY_KEY if getattr(self, key) is not None)

    def _others(self) -> str:
        return ", ".join(key for key in _KEYS[self.kind] if key != self._key)

    def check_lines(self, lines: Mapping[str, LineSpec]) -> None:
        if self.line is not None and self.direction is not None:
            check_direction(f"alert {self.name!r}: direction", self.direction, lines[self.line])

    def check_rules(self, wrong_ways: Mapping[str, Any], speeds: Mapping[str, Any]) -> None:
        """Raise ValueError where it rests on a rule that the camera lacks, or on a speed without a limit."""
        for key, name, known in (("wrong_way", self.wrong_way, wrong_ways), ("speed", self.speed, speeds)):
            if name is not None and name not in known:
                raise ValueError(
                    f"alert {self.name!r}: {key}: there is no such rule {name!r} in {key}s; "
                    f"known: {', '.join(known) or 'none'}"
                )
        if self.speed is not None and self.over is None and speeds[self.speed].limit is None:
            raise ValueError(f"alert {self.name!r}: give over, since speed {self.speed!r} has no limit")
