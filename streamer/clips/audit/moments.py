"""What an audit can ask about: each counted crossing, and each bucket of time of a line's direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.count.line import EVIDENCE
from pipelines.rules import LineSpec

PER_NEAR_TRACK = 0.5  # of a counted crossing: how likely beside it a bucket is drawn for who is near the line
FLOOR = 0.25  # likewise for a bucket with nobody: whom the detector never saw is missed there


class Way(NamedTuple):
    """One direction of one line: what is counted apart."""

    line: str
    direction: str

    def __str__(self) -> str:
        return f"{self.line} {self.direction}"


@dataclass(frozen=True, slots=True)
class CountedCrossing:
    """`doubt` orders crossings: 0 is sure. Times are seconds of the recording, or live Unix time."""

    key: str
    way: Way
    time_s: float
    doubt: float
    class_name: str = ""
    track_id: int = 0
    point_xyn: tuple[float, float] | None = None
    box_xyxyn: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time of one way. It is drawn in proportion to `size`."""

    way: Way
    start_s: float
    end_s: float
    counted: tuple[str, ...]  # the keys of its crossings
    size: float

    @property
    def key(self) -> str:
        return f"bucket/{self.way.line}/{self.way.direction}/{self.start_s:.3f}"


def ways_of(lines: Iterable[LineSpec]) -> list[Way]:
    return [Way(line.name, name) for line in lines for name in (line.left_to_right, line.right_to_left)]


def crossing_of(data: Mapping[str, Any], time_s: float) -> CountedCrossing:
    """From the data of a `streamer.line.crossed.v1`."""
    way = Way(str(data["line"]), str(data["direction"]))
    key = f"crossing/{way.line}/{way.direction}/{data.get('epoch', 0)}/{data['track_id']}/{time_s:.3f}"
    point, box = data.get("point_xyn"), data.get("box_xyxyn")
    return CountedCrossing(
        key,
        way,
        time_s,
        doubt_of(data),
        str(data.get("class", "")),
        int(data["track_id"]),
        None if point is None else (float(point[0]), float(point[1])),
        None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
    )


def doubt_of(data: Mapping[str, Any]) -> float:
    """By `confidence` where the event has it; else by how narrowly margin and evidence were enough."""
    if "confidence" in data:
        return 1 - float(data["confidence"])
    margin, evidence = float(data.get("margin", 1)), float(data.get("evidence", 0))
    narrow = 1 / max(margin, 1.0)
    thin = EVIDENCE / max(evidence, EVIDENCE) if evidence > 0 else 0.0
    return 1 - (1 - narrow) * (1 - thin)


def size_of(counted: int, near: int) -> float:
    """How large a bucket is in the draw: by its count, and by who came near the line and was not counted."""
    return counted + PER_NEAR_TRACK * max(0, near - counted) + FLOOR
