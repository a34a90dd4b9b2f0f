"""The rules of the analytics beyond lines and zones, as validated data. What they measure: docs/analytics.md.

They name the lines and zones that they rest on; whether there are such, CameraRules checks.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.spec_base import Name, Point, Rules, Unit

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Metres = Annotated[float, Field(ge=-10_000, le=10_000)]
Distance = Annotated[float, Field(gt=0, le=10_000)]
Four = tuple[Point, Point, Point, Point]
Ground = tuple[tuple[Metres, Metres], tuple[Metres, Metres], tuple[Metres, Metres], tuple[Metres, Metres]]
FLAT = 0.01  # a corner of a quadrilateral whose angle has a smaller sine is no corner
SMALL = 0.02  # sides of the four points must be longer than this share of the picture
TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


class Rule(Rules):
    """A rule with a name. `rev` is the configuration revision that last changed it."""

    name: Name
    classes: tuple[str, ...] = ()
    rev: int = 0


class DwellSpec(Rule):
    """Tell when an object has been in a zone for each of some times."""

    zone: Name
    after_s: tuple[Seconds, ...] = Field(min_length=1, max_length=8)

    @field_validator("after_s")
    @classmethod
    def _rising(cls, after_s: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in itertools.pairwise(after_s)):
            raise ValueError("give the times in rising order, each once")
        return after_s


class OccupancySpec(Rule):
    """How many are inside: crossings `inward` of lines less those the other way; zones entered less left."""

    lines: tuple[Name, ...] = Field(default=(), max_length=32)
    inward: Name = "in"
    zones: tuple[Name, ...] = Field(default=(), max_length=32)
    start: int = Field(default=0, ge=0, le=1_000_000)
    reset_idle_s: Seconds | None = None
    reset_at_utc: str | None = Field(default=None, pattern=TIME_OF_DAY)

    @model_validator(mode="after")
    def _of_something(self) -> OccupancySpec:
        if not self.lines and not self.zones:
            raise ValueError("name the lines (or zones) over which people come in and go out")
        return self


class QueueSpec(Rule):
    """Who stands or moves slowly in a zone. Speeds are in the object's own heights a second."""

    zone: Name
    slow_heights_s: float = Field(default=0.3, gt=0, le=10)
    join_s: Seconds = 2.0
    leave_s: Seconds = 2.0
    settle_s: float = Field(default=2.0, ge=0, le=3600)


class FlowSpec(Rule):
    """Who goes from which zone to which."""

    zones: tuple[Name, ...] = Field(min_length=2, max_length=32)
    every_s: Seconds = 900.0
    within_s: Seconds = 300.0

    @field_validator("zones")
    @classmethod
    def _different(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(zones)) < len(zones):
            raise ValueError("a zone is named twice")
        return zones


class CalibrationSpec(Rules):
    """Four points on the ground, in order around, and where they are in metres or how far apart.

    `distances_m` are the sides first-second, second-third, third-fourth, fourth-first, and the diagonal
    first-third: what a tape measure gives.
    """

    points: Four
    metres: Ground | None = None
    distances_m: tuple[Distance, Distance, Distance, Distance, Distance] | None = None

    @field_validator("points")
    @classmethod
    def _apart(cls, points: Four) -> Four:
        if min(math.dist(points[i], points[(i + 1) % 4]) for i in range(4)) < SMALL:
            raise ValueError(f"two neighbouring points are less than {SMALL} of the picture apart")
        _check_convex(points, "points")
        return points

    @model_validator(mode="after")
    def _one_measure(self) -> CalibrationSpec:
        if (self.metres is None) == (self.distances_m is None):
            raise ValueError("give either metres (four x,y) or distances_m (four sides and a diagonal)")
        _check_convex(self.ground, "metres" if self.metres is not None else "distances_m")
        return self

    @property
    def ground(self) -> tuple[tuple[float, float], ...]:
        """The four points in metres on the ground. Raises ValueError for distances that do not fit."""
        if self.metres is not None:
            return self.metres
        assert self.distances_m is not None
        ab, bc, cd, da, ac = self.distances_m
        return ((0.0, 0.0), _third(ac, ab, bc, -1.0), (ac, 0.0), _third(ac, da, cd, 1.0))


def _third(base: float, near: float, far: float, side: float) -> tuple[float, float]:
    """The corner `near` from (0, 0) and `far` from (base, 0), on a side of that base."""
    x = (base * base + near * near - far * far) / (2 * base)
    height = near * near - x * x
    if height <= 0:
        raise ValueError(
            f"distances_m: {near:g}, {far:g} and the diagonal {base:g} m form no triangle: measure them again"
        )
    return x, side * math.sqrt(height)


def _check_convex(points: tuple[tuple[float, float], ...], what: str) -> None:
    """Raise ValueError unless the four points are the corners, in order, of a convex quadrilateral."""
    signs = set()
    for i in range(4):
        (ax, ay), (bx, by), (cx, cy) = points[i], points[(i + 1) % 4], points[(i + 2) % 4]
        turn = (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
        sides = math.dist((ax, ay), (bx, by)) * math.dist((bx, by), (cx, cy))
        if sides == 0 or abs(turn) / sides < FLAT:
            raise ValueError(f"{what}: three of the four points lie (almost) on one straight line")
        signs.add(turn > 0)
    if len(signs) > 1:
        raise ValueError(f"{what}: give the four corners in order around a convex quadrilateral")


class SpeedSpec(Rule):
    """Speed over the ground where a line is crossed, or the mean through a zone. Needs `calibration`."""

    line: Name | None = None
    zone: Name | None = None
    unit: Literal["km/h", "m/s"] = "km/h"
    limit: float | None = Field(default=None, gt=0, le=1000)

    @model_validator(mode="after")
    def _one_place(self) -> SpeedSpec:
        if (self.line is None) == (self.zone is None):
            raise ValueError("name a line or a zone (one of them) at which speed is measured")
        return self


class WrongWaySpec(Rule):
    """Who goes against the allowed direction: of a line by its name, of a zone by two points."""

    line: Name | None = None
    allowed: Name | None = None
    zone: Name | None = None
    towards: tuple[Point, Point] | None = None
    min_distance: Unit = 0.05

    @model_validator(mode="after")
    def _line_or_zone(self) -> WrongWaySpec:
        of_line = self.line is not None and self.allowed is not None
        of_zone = self.zone is not None and self.towards is not None
        stray = (self.line or self.allowed) if of_zone else (self.zone or self.towards)
        if of_line == of_zone or stray:
            raise ValueError("give line and allowed (a direction's name), or zone and towards (two points)")
        if self.towards is not None and math.dist(*self.towards) < 0.005:
            raise ValueError("towards: the two points are (almost) the same: an arrow needs a length")
        if of_zone and self.min_distance < 0.01:
            raise ValueError("min_distance: in a zone at least 0.01 of the picture")
        return self


class HeatmapSpec(Rule):
    """Seconds that objects spent in each cell of a grid over the picture."""

    columns: int = Field(default=32, ge=2, le=64)
    rows: int = Field(default=18, ge=2, le=64)
    every_s: Seconds = 900.0
    half_life_s: Seconds | None = None


class UniqueSpec(Rule):
    """How many different tracks were seen in each period, in the picture or a zone."""

    zone: Name | None = None
    every_s: Seconds = 3600.0
    min_seen_s: float = Field(default=1.0, ge=0, le=3600)
