"""What a pipeline is made of and the rules that one camera gives it, as validated data.

`PipelineSpec` names the parts (a preset in `presets/*.yaml`, loaded by `preset()`); `CameraRules` holds one
camera's lines, zones, masks and class limits. Both are frozen and JSON-serialisable.
"""

from __future__ import annotations

import itertools
import math
import re
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import Field, field_validator, model_validator

from pipelines.spec_analytics import (
    CalibrationSpec,
    DwellSpec,
    FlowSpec,
    HeatmapSpec,
    OccupancySpec,
    QueueSpec,
    SpeedSpec,
    UniqueSpec,
    WrongWaySpec,
)
from pipelines.spec_base import NAME_PATTERN as NAME_PATTERN
from pipelines.spec_base import NAME_RULE as NAME_RULE
from pipelines.spec_base import PATH_PATTERN as PATH_PATTERN
from pipelines.spec_base import PATH_RULE as PATH_RULE
from pipelines.spec_base import Anchor as Anchor
from pipelines.spec_base import Name as Name
from pipelines.spec_base import PathText as PathText
from pipelines.spec_base import Point as Point
from pipelines.spec_base import Rules as Rules
from pipelines.spec_base import Unit as Unit

MIN_LENGTH = 0.005  # a line shorter than 0.5 % of the picture is a slip of the hand
MOST_PAUSE_S = 3600.0


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


# The fields of CameraRules with analytics beyond lines and zones, and the word for one of each.
ANALYTICS = {
    "dwells": "dwell",
    "occupancies": "occupancy",
    "queues": "queue",
    "flows": "flow",
    "speeds": "speed",
    "wrong_ways": "wrong way",
    "heatmaps": "heatmap",
    "uniques": "unique",
}
REVISED = {"lines": "line", "zones": "zone", **ANALYTICS}  # the fields whose items have a `rev`


class CameraRules(Rules):
    """All that one camera asks of its pipeline; changing it resets no track."""

    classes: tuple[str, ...] = ()  # classes or groups wanted; empty: all that the model's groups name
    limits: dict[str, ClassLimit] = Field(default_factory=dict)
    lines: tuple[LineSpec, ...] = ()
    zones: tuple[ZoneSpec, ...] = ()
    masks: tuple[MaskSpec, ...] = ()
    dwells: tuple[DwellSpec, ...] = Field(default=(), max_length=32)
    occupancies: tuple[OccupancySpec, ...] = Field(default=(), max_length=32)
    queues: tuple[QueueSpec, ...] = Field(default=(), max_length=32)
    flows: tuple[FlowSpec, ...] = Field(default=(), max_length=32)
    calibration: CalibrationSpec | None = None
    speeds: tuple[SpeedSpec, ...] = Field(default=(), max_length=32)
    wrong_ways: tuple[WrongWaySpec, ...] = Field(default=(), max_length=32)
    heatmaps: tuple[HeatmapSpec, ...] = Field(default=(), max_length=8)
    uniques: tuple[UniqueSpec, ...] = Field(default=(), max_length=32)

    @model_validator(mode="after")
    def _unique(self) -> CameraRules:
        for kind, items in self.named():
            names = [item.name for item in items]
            twice = {n for n in names if names.count(n) > 1}
            if twice:
                raise ValueError(f"{kind} {sorted(twice)[0]!r} is defined twice")
        return self

    @model_validator(mode="after")
    def _rest_on_something(self) -> CameraRules:
        lines, zones = {x.name: x for x in self.lines}, {x.name: x for x in self.zones}
        for kind, items in self.named()[3:]:
            for item in items:
                what = f"{kind} {item.name!r}"
                for word in (*getattr(item, "lines", ()), getattr(item, "line", None)):
                    _check_known(what, "line", word, lines)
                for word in (*getattr(item, "zones", ()), getattr(item, "zone", None)):
                    _check_known(what, "zone", word, zones)
        for occupancy in self.occupancies:
            for name in occupancy.lines:
                _check_direction(f"occupancy {occupancy.name!r}: inward", occupancy.inward, lines[name])
        for rule in self.wrong_ways:
            if rule.line is not None:
                _check_direction(f"wrong way {rule.name!r}: allowed", str(rule.allowed), lines[rule.line])
        if self.speeds and self.calibration is None:
            raise ValueError(f"speed {self.speeds[0].name!r} needs a calibration: four points with distances")
        return self

    def named(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """All rules that have a name, by the word for one of them; lines, zones and masks first."""
        return (
            ("line", self.lines),
            ("zone", self.zones),
            ("mask", self.masks),
            *((word, getattr(self, kind)) for kind, word in ANALYTICS.items()),
        )


def _check_known(what: str, kind: str, word: str | None, known: dict[str, Any]) -> None:
    if word is not None and word not in known:
        raise ValueError(f"{what}: there is no {kind} {word!r}; known: {', '.join(known) or 'none'}")


def _check_direction(what: str, word: str, line: LineSpec) -> None:
    known = (line.left_to_right, line.right_to_left)
    if word not in known:
        raise ValueError(
            f"{what}: line {line.name!r} has no direction {word!r}; it has {' and '.join(known)}"
        )


class RuleDefaults(Rules):
    """What a preset adds to a camera's rules where they leave it open (defaults.py).

    `anchor` replaces "auto" of lines and zones. `occupancy`: lines with directions called `in` and `out`
    give one, unless the rules have any. `speed`: a calibrated camera's lines measure it, unless the rules
    say where.
    """

    anchor: Anchor = "auto"
    occupancy: bool = False
    speed: bool = False


class ActionsSpec(Rules):
    """What tracked people do, by a model of actions: the name of one that comes with the package, or the
    path of an exported .onnx with its sidecar.

    `labels`: those that become events; empty: all that the model does not call silent. `min_duration_s` None:
    the model's own. `pause_s`: what begins again within it is still the same, and not told again. `groups` of
    tracks that are looked at; empty: the model's own.
    """

    model: str = "motion"
    labels: tuple[str, ...] = ()
    min_duration_s: float | None = Field(default=None, ge=0, le=60)
    pause_s: float = Field(default=10.0, ge=0, le=MOST_PAUSE_S)
    groups: tuple[str, ...] = ()


class SceneSpec(Rules):
    """What a camera's whole picture shows: the path of a classifier of pictures (an exported .onnx with its
    sidecar), and how often it looks."""

    model: PathText = Field(min_length=1, max_length=4096)
    interval_s: float = Field(default=5.0, ge=0.2, le=3600)


class PipelineSpec(Rules):
    """Which parts a pipeline is made of. `detector` is an engine of the registry or "auto".

    `classes` are those that a camera without any of its own is asked for.
    """

    name: Name
    description: str = ""
    detector: str = "auto"
    model: str | None = None  # a name in the model store, or motion; None: the default
    score: Unit | None = None  # None: the model's own default
    classes: tuple[str, ...] = ()
    defaults: RuleDefaults = RuleDefaults()
    actions: ActionsSpec | None = None


def with_actions(spec: PipelineSpec, model: str | None, pause_s: float | None = None) -> PipelineSpec:
    """The spec with this model of actions, and this pause, in place of its own; None: as it is."""
    if model is None and spec.actions is None:
        return spec
    given = {"model": model, "pause_s": pause_s}
    actions = (spec.actions or ActionsSpec()).model_copy(
        update={key: value for key, value in given.items() if value is not None}
    )
    return spec.model_copy(update={"actions": actions})


@cache
def preset(name: str) -> PipelineSpec:
    """The spec in presets/NAME.yaml of this package. Raises ValueError with the names that exist."""
    if name not in preset_names():
        raise ValueError(f"unknown pipeline {name!r}: known are {', '.join(preset_names())}")
    text = (resources.files("pipelines") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    return PipelineSpec.model_validate({"name": name, **yaml.safe_load(text)})


@cache
def preset_names() -> tuple[str, ...]:
    files = (resources.files("pipelines") / "presets").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


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
