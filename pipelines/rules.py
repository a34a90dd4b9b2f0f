"""What rules are made of: names, points, lines, zones, masks, limits and the calibration, as validated data.

All are frozen, refuse unknown keys, and are JSON-serialisable. Those of an analytic lie beside it
(pipelines/analytics); all of one camera are CameraRules (camera_rules.py).
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
NAME_RULE = "use 1 to 63 of a-z, 0-9 and '-', not starting with '-'"  # the pattern, for people
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PATH_PATTERN = r"^[^\x00-\x1f\x7f]*$"
PATH_RULE = "holds control characters, which no path here does"
PathText = Annotated[str, Field(pattern=PATH_PATTERN)]  # a path, or what may be one


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path (beginning with /)")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Unit, Unit]
Anchor = Literal["auto", "foot", "center", "top"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Metres = Annotated[float, Field(ge=-10_000, le=10_000)]
Distance = Annotated[float, Field(gt=0, le=10_000)]
Four = tuple[Point, Point, Point, Point]
Ground = tuple[tuple[Metres, Metres], tuple[Metres, Metres], tuple[Metres, Metres], tuple[Metres, Metres]]
FLAT = 0.01  # a corner of a quadrilateral whose angle has a smaller sine is no corner
SMALL = 0.02  # sides of the four points must be longer than this share of the picture
TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
YES_OR_NO = ("yes", "no", "on", "off")  # texts, in YAML 1.2
MIN_LENGTH = 0.005  # a line shorter than 0.5 % of the picture is a slip of the hand


class Strict(BaseModel):
    """Frozen; unknown keys are refused, and yes and no where a number is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes(cls, value: Any, info: ValidationInfo) -> Any:
        yes_or_no = isinstance(value, bool) or (isinstance(value, str) and value.lower() in YES_OR_NO)
        if yes_or_no and _is_number(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("should be a number, not yes or no")
        return value


def _is_number(annotation: Any) -> bool:
    """Whether a field of this type, or of this type or None, holds a number."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return any(_is_number(kind) for kind in get_args(annotation))
    return annotation in (int, float)


class Rules(Strict):
    """What is told of a camera by its user."""


class LineSpec(Rules):
    """A directed counting line of two or more points.

    `left_to_right` names what happens when an object goes from the left to the right side as seen walking
    from the first point to the second (ONVIF). `rev` is the config revision that last moved the line: a
    moved line starts a new total. `anchor` "auto" is the foot for people and the centre otherwise.
    """

    name: Name
    points: tuple[Point, ...] = Field(min_length=2, max_length=32)
    left_to_right: Name = "left-to-right"
    right_to_left: Name = "right-to-left"
    classes: tuple[str, ...] = ()
    anchor: Anchor = "auto"
    rev: int = 0

    @field_validator("points")
    @classmethod
    def _long_enough(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        for a, b in itertools.pairwise(points):
            if math.dist(a, b) < MIN_LENGTH:
                raise ValueError(f"the points {a} and {b} are (almost) the same: a line needs a length")
        return points

    @model_validator(mode="after")
    def _two_directions(self) -> LineSpec:
        if self.left_to_right == self.right_to_left:
            raise ValueError(f"both directions are called {self.left_to_right!r}: give them two names")
        return self


class ZoneSpec(Rules):
    """A polygon that objects enter and leave."""

    name: Name
    points: tuple[Point, ...] = Field(min_length=3, max_length=64)
    classes: tuple[str, ...] = ()
    anchor: Anchor = "auto"
    rev: int = 0

    @field_validator("points")
    @classmethod
    def _simple(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        n = len(points)
        area = sum(
            points[i][0] * points[(i + 1) % n][1] - points[(i + 1) % n][0] * points[i][1] for i in range(n)
        )
        if abs(area) / 2 < 1e-5:
            raise ValueError("the polygon has no area")
        for i in range(n):
            for j in range(i + 2, n):
                if (i, j) == (0, n - 1):
                    continue
                if _segments_cross(points[i], points[i + 1], points[j], points[(j + 1) % n]):
                    raise ValueError(f"edges {i + 1} and {j + 1} cross: give the corners in order around it")
        return points


class MaskSpec(Rules):
    """A polygon in which detections (of `classes`, or all) are ignored, judged by the box's centre."""

    name: Name
    points: tuple[Point, ...] = Field(min_length=3, max_length=64)
    classes: tuple[str, ...] = ()


class ClassLimit(Rules):
    """Detections of a class (or group) below these are ignored; sizes are shares of the picture."""

    min_score: Unit | None = None
    min_width: Unit = 0.0
    min_height: Unit = 0.0


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


def _segments_cross(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]
) -> bool:
    def turn(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0


def check_name(text: str, what: str = "name") -> str:
    """Return `text` if it is a legal name; raise ValueError with the rule otherwise."""
    if not re.fullmatch(NAME_PATTERN[1:-1], text):
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise ValueError(f"{what} {shown!r}: {NAME_RULE}")
    return text


def check_direction(what: str, word: str, line: LineSpec) -> None:
    """Raise ValueError unless `word` names one of the line's two directions."""
    directions = (line.left_to_right, line.right_to_left)
    if word not in directions:
        raise ValueError(
            f"{what}: line {line.name!r} has no direction {word!r}; it has {' and '.join(directions)}"
        )
