"""All rules of one camera: lines, zones, masks, limits, alerts, and a field for each kind of ANALYTICS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model, model_validator

from pipelines.alerts.rule import MAX_ALERTS, AlertSpec
from pipelines.analytics import ANALYTICS
from pipelines.analytics.base import AnalyticSpec
from pipelines.region.spec import Region, around, overlap
from pipelines.rules import CalibrationSpec, ClassLimit, LineSpec, MaskSpec, Rules, ZoneSpec

# The fields whose items have a `rev`, and the word for one of each.
REVISED = {
    "lines": "line",
    "zones": "zone",
    **{kind.field: kind.name for kind in ANALYTICS},
    "alerts": "alert",
}


class _CameraRules(Rules):
    """All that one camera asks of its pipeline; changing it resets no track."""

    classes: tuple[str, ...] = ()  # classes or groups wanted; empty: all that the model's groups name
    limits: dict[str, ClassLimit] = Field(default_factory=dict)
    lines: tuple[LineSpec, ...] = ()
    zones: tuple[ZoneSpec, ...] = ()
    masks: tuple[MaskSpec, ...] = ()
    region: Region = "off"  # of the picture, that is inferred: off: all of it; auto: about lines and zones
    region_zoom: bool = False  # whether it is enlarged to the detector's usual input, at its usual cost
    calibration: CalibrationSpec | None = None
    alerts: tuple[AlertSpec, ...] = Field(default=(), max_length=MAX_ALERTS)

    @model_validator(mode="after")
    def _unique(self) -> _CameraRules:
        for kind, items in self.named():
            names = [item.name for item in items]
            twice = {n for n in names if names.count(n) > 1}
            if twice:
                raise ValueError(f"{kind} {sorted(twice)[0]!r} is defined twice")
        return self

    @model_validator(mode="after")
    def _region_holds_what_is_drawn(self) -> _CameraRules:
        if isinstance(self.region, str):
            return self
        for what, items in (("line", self.lines), ("zone", self.zones)):
            for item in items:
                if not overlap(around(item.points), self.region):
                    raise ValueError(f"{what} {item.name!r} lies outside of the region: nobody is seen there")
        return self

    @model_validator(mode="after")
    def _rest_on_something(self) -> _CameraRules:
        lines, zones = {x.name: x for x in self.lines}, {x.name: x for x in self.zones}
        for kind in ANALYTICS:
            for item in self.of(kind.field):
                what = f"{kind.name} {item.name!r}"
                for name in line_names(item):
                    _check_known(what, "line", name, lines)
                for name in zone_names(item):
                    _check_known(what, "zone", name, zones)
                item.check_lines(lines)
                if kind.calibrated and self.calibration is None:
                    raise ValueError(f"{what} needs a calibration: four points with distances")
        return self

    @model_validator(mode="after")
    def _alerts_rest_on_something(self) -> _CameraRules:
        lines, zones = {x.name: x for x in self.lines}, {x.name: x for x in self.zones}
        rules = [{x.name: x for x in self.of(field)} for field in ("wrong_ways", "speeds")]
        for alert in self.alerts:
            for kind, names, known in (
                ("line", line_names(alert), lines),
                ("zone", zone_names(alert), zones),
            ):
                for name in names:
                    _check_known(f"alert {alert.name!r}", kind, name, known)
            alert.check_lines(lines)
            alert.check_rules(*rules)
        return self

    def of(self, field: str) -> tuple[Any, ...]:
        """The rules in a field of an analytic."""
        rules: tuple[Any, ...] = getattr(self, field)
        return rules

    def named(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """All rules that have a name, by the word for one of them; lines, zones and masks first."""
        return (("line", self.lines), ("zone", self.zones), ("mask", self.masks), *self.of_tracks())

    def of_tracks(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """The rules of the analytics and the alerts, by the word for one of them."""
        return (*((kind.name, self.of(kind.field)) for kind in ANALYTICS), ("alert", self.alerts))


if TYPE_CHECKING:
    CameraRules = _CameraRules
else:
    CameraRules = create_model(
        "CameraRules",
        __base__=_CameraRules,
        __doc__=_CameraRules.__doc__,
        __module__=__name__,
        **{
            kind.field: (tuple[kind.spec, ...], Field(default=(), max_length=kind.max_rules))
            for kind in ANALYTICS
        },
    )


def renamed_rule(rules: CameraRules, kind: str, old: str, new: str) -> CameraRules:
    """The same rules in the same order, one line or zone (`kind`) under another name, also where others rest
    on it. Raises pydantic.ValidationError for a name that is none."""
    data = rules.model_dump(mode="json")
    for item in data[f"{kind}s"]:
        item["name"] = new if item["name"] == old else item["name"]
    for field in (*(analytic.field for analytic in ANALYTICS), "alerts"):
        for item in data[field]:
            if item.get(kind) == old:
                item[kind] = new
            if isinstance(several := item.get(f"{kind}s"), list):
                item[f"{kind}s"] = [new if name == old else name for name in several]
    return CameraRules.model_validate(data)


def in_timezone(rules: CameraRules, timezone: str) -> CameraRules:
    """The same rules, times of day in them that name no timezone being those of `timezone` (an IANA name)."""
    timed = tuple(
        rule.model_copy(update={"timezone": timezone}) if rule.reset_at and not rule.timezone else rule
        for rule in rules.of("occupancies")
    )
    return rules.model_copy(update={"occupancies": timed})


def line_names(spec: AnalyticSpec) -> tuple[str, ...]:
    """The lines that a rule rests on."""
    return _names(spec, "lines", "line")


def zone_names(spec: AnalyticSpec) -> tuple[str, ...]:
    """The zones that a rule rests on."""
    return _names(spec, "zones", "zone")


def _names(spec: AnalyticSpec, several: str, one: str) -> tuple[str, ...]:
    return tuple(name for name in (*getattr(spec, several, ()), getattr(spec, one, None)) if name)


def _check_known(what: str, kind: str, word: str, known: dict[str, Any]) -> None:
    if word not in known:
        raise ValueError(f"{what}: there is no {kind} {word!r}; known: {', '.join(known) or 'none'}")
