"""What a preset adds to the rules of a camera that chose it: only where the camera leaves it open."""

from __future__ import annotations

from typing import Any

from pipelines.analytics.occupancy import OccupancySpec
from pipelines.analytics.speed import SpeedSpec
from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec, ZoneSpec
from pipelines.spec import PipelineSpec

ENTRANCE = "entrance"  # the occupancy that a preset makes
INWARD, OUTWARD = "in", "out"


def with_defaults(rules: CameraRules, spec: PipelineSpec) -> CameraRules:
    """`rules` as the pipeline `spec` completes them. What the camera itself says always wins."""
    update: dict[str, Any] = {}
    if not rules.classes and spec.classes:
        update["classes"] = spec.classes
    if spec.defaults.anchor != "auto":
        update["lines"] = tuple(_anchored(line, spec) for line in rules.lines)
        update["zones"] = tuple(_anchored(zone, spec) for zone in rules.zones)
    doors = [x for x in rules.lines if {x.left_to_right, x.right_to_left} == {INWARD, OUTWARD}]
    if spec.defaults.occupancy and doors and not rules.of("occupancies"):
        names = tuple(line.name for line in doors)
        rev = max(line.rev for line in doors)
        update["occupancies"] = (OccupancySpec(name=ENTRANCE, lines=names, rev=rev),)
    if spec.defaults.speed and rules.calibration is not None and not rules.of("speeds"):
        update["speeds"] = tuple(SpeedSpec(name=x.name, line=x.name, rev=x.rev) for x in rules.lines)
    return rules.model_copy(update=update)


def _anchored(item: LineSpec | ZoneSpec, spec: PipelineSpec) -> LineSpec | ZoneSpec:
    if item.anchor != "auto":
        return item
    return item.model_copy(update={"anchor": spec.defaults.anchor})
