"""What a site asks of journeys: which cameras, how long looks are kept, who can follow whom."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from pipelines.rules import Name, Strict

MAX_WITHIN_S = 600.0  # minutes and no more: docs/privacy.md promises it
MIN_WITHIN_S = (
    20.0  # who comes is decided upon some 16 s later: with less all who left would be forgotten by then
)


class BetweenSpec(Strict):
    """Two cameras between which one can go, either way, and how long that takes in seconds."""

    cameras: tuple[Name, Name]
    min_s: float = Field(default=0.0, ge=0, le=MAX_WITHIN_S)
    max_s: float = Field(default=MAX_WITHIN_S, gt=0, le=MAX_WITHIN_S)

    @model_validator(mode="after")
    def _makes_sense(self) -> BetweenSpec:
        if self.cameras[0] == self.cameras[1]:
            raise ValueError(f"cameras: {self.cameras[0]} is named twice: name two cameras")
        if self.min_s >= self.max_s:
            raise ValueError("min_s is not below max_s: nobody could take such a time")
        return self


class JourneySpec(Strict):
    """No cameras: off. `between` empty: each camera can follow each other one."""

    cameras: tuple[Name, ...] = Field(default=(), max_length=32)
    within_s: float = Field(default=120.0, ge=MIN_WITHIN_S, le=MAX_WITHIN_S)
    between: tuple[BetweenSpec, ...] = ()
    min_probability: float = Field(default=0.9, ge=0.5, lt=1)

    @field_validator("cameras")
    @classmethod
    def _are_several(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        if len(cameras) == 1:
            raise ValueError("a journey has two ends: name two cameras or more, or none")
        if twice := next((name for name in cameras if cameras.count(name) > 1), ""):
            raise ValueError(f"{twice} is named twice")
        return cameras

    @model_validator(mode="after")
    def _between_known(self) -> JourneySpec:
        named = {camera for pair in self.between for camera in pair.cameras}
        if strange := sorted(named - set(self.cameras)):
            raise ValueError(f"between: {strange[0]} is none of journeys.cameras: add it there")
        return self

    def span(self, left: str, came: str) -> tuple[float, float] | None:
        """The seconds that it can take from one camera to another; None: they cannot follow each other."""
        if not self.between:
            return 0.0, self.within_s
        for pair in self.between:
            if set(pair.cameras) == {left, came}:
                return pair.min_s, min(pair.max_s, self.within_s)
        return None
