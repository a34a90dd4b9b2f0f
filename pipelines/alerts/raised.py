"""An alert that is raised: what made it hold, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.alerts.conditions import Evidence, Seen
from pipelines.alerts.rule import AlertSpec
from pipelines.alerts.view import CameraView
from pipelines.events import ALERT
from pipelines.values import Event, Stamp

MAX_EVIDENCE = 20  # tracks, and events, that are told


@dataclass(frozen=True, slots=True)
class Raised:
    """`rule` is the rule as it was. Seconds are the view's."""

    name: str
    kind: str
    severity: str
    rule: dict[str, Any]
    rule_rev: int
    seq: int
    since_ns: int
    since_s: float
    last_s: float  # when it held last
    told_s: float
    count: int
    tracks: list[dict[str, Any]]
    events: list[int]
    repeats: int = 0

    @classmethod
    def of(cls, spec: AlertSpec, rule_rev: int, evidence: Evidence, view: CameraView, seq: int) -> Raised:
        """Raised now, by the event number `seq`."""
        return cls(
            name=spec.name,
            kind=spec.kind,
            severity=spec.severity,
            rule=spec.model_dump(mode="json", exclude={"rev"}, exclude_defaults=True),
            rule_rev=rule_rev,
            seq=seq,
            since_ns=view.wall_ns(evidence.since_s),
            since_s=evidence.since_s,
            last_s=view.now_s,
            told_s=view.now_s,
            count=evidence.count,
            tracks=_tracks(evidence.tracks, view),
            events=list(evidence.events[:MAX_EVIDENCE]),
        )

    @classmethod
    def told(cls, data: Mapping[str, Any], view: CameraView) -> Raised:
        """As an event has told it, which is all that is left of it."""
        held_s = max(0.0, (view.captured_ns - data["since_captured_ns"]) / 1e9)
        names = ("kind", "severity", "rule", "rule_rev", "count", "tracks", "events", "repeats")
        return cls(
            name=data["alert"],
            seq=data["raised_seq"],
            since_ns=data["since_captured_ns"],
            since_s=view.now_s - held_s,
            last_s=view.now_s,
            told_s=view.now_s,
            **{name: data[name] for name in names},
        )

    def still(self, evidence: Evidence, momentary: bool, view: CameraView) -> Raised:
        """It holds on. Moments add up; what lasts is as it is now."""
        if not momentary:
            return replace(
                self,
                last_s=view.now_s,
                count=evidence.count,
                tracks=_tracks(evidence.tracks, view),
                events=list(evidence.events[:MAX_EVIDENCE]) or self.events,
            )
        return replace(
            self,
            last_s=view.now_s,
            count=self.count + evidence.count,
            tracks=[*self.tracks, *_tracks(evidence.tracks, view)][-MAX_EVIDENCE:],
            events=[*self.events, *evidence.events][-MAX_EVIDENCE:],
        )

    def event(self, stamp: Stamp, until_s: float, reason: str = "") -> Event:
        """That it is raised, or with a `reason` that it is cleared; `until_s`: it has held until then."""
        data: dict[str, Any] = {
            "alert": self.name,
            "state": "cleared" if reason else "raised",
            "kind": self.kind,
            "severity": self.severity,
            "rule": self.rule,
            **{key: self.rule[key] for key in ("zone", "line") if key in self.rule},
            "since_captured_ns": self.since_ns,
            "duration_s": round(max(0.0, until_s - self.since_s), 3),
            "count": self.count,
            "tracks": self.tracks,
            "events": self.events,
            "raised_seq": self.seq,
            "repeats": self.repeats,
            "rule_rev": self.rule_rev,
        }
        if reason:
            data["reason"] = reason
        return Event(ALERT, stamp, self.name, data)

    def save(self) -> dict[str, Any]:
        """Plain data of which Raised(**data) is the same."""
        return asdict(self)


def _tracks(tracks: tuple[Seen, ...], view: CameraView) -> list[dict[str, Any]]:
    return [
        {"track_id": t.track_id, "class": t.class_name, "since_captured_ns": view.wall_ns(t.since_s)}
        for t in tracks[:MAX_EVIDENCE]
    ]
