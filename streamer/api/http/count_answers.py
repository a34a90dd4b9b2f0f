"""What the routes of counts, events and paths answer: see answers.py."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from pipelines.rules import LineSpec, ZoneSpec
from streamer.api.http.answers import Answer, maybe


class Sure(Answer):
    count: int | None = Field(description="null: unknown, since nothing of the time was seen")
    low: int = maybe()
    high: int = maybe()
    counted: int = maybe()
    corrected: int = maybe()


class Seen(Answer):
    seen_s: float
    blind_s: float
    blind: dict[str, float] = Field(description="reason: seconds")
    moved_s: float
    seen_share: float | None


class Row(Sure):
    """The columns that were asked for, and by time what was seen of it."""

    camera: str = maybe()
    name: str = maybe()
    direction: str = maybe()
    class_: str = maybe("class")
    rev: int | str = maybe()
    minute: str = maybe()
    hour: str = maybe()
    day: str = maybe()
    week: str = maybe()
    seen_s: float = maybe()
    blind_s: float = maybe()
    blind: dict[str, float] = maybe()
    moved_s: float = maybe()
    seen_share: float | None = maybe()


class Period(Answer):
    label: str
    start_s: int


class Counts(Answer):
    since_s: int
    counts: list[Row]
    total: Sure
    coverage: dict[str, dict[str, float]]
    cameras: dict[str, Seen]
    as_of: dict[str, int]
    periods: list[Period]
    recorded: dict[str, tuple[int, int]]


class Event(Answer):
    """A CloudEvent; `streamer schema TYPE` has the schema of its data."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str = maybe()
    datacontenttype: str
    dataschema: str
    data: dict[str, Any]


class Events(Answer):
    events: list[Event]
    next: str | None = Field(description="what to give as `after` for the next page; null: this is the last")


class Why(Answer):
    """Beside these what there is to tell of an event of its type."""

    model_config = ConfigDict(extra="allow")
    id: str
    stream_id: str
    type: str
    camera: str
    time: str
    subject: str
    frames: dict[str, Any]
    rule: dict[str, Any]
    margins: dict[str, Any]


class Path(Answer):
    track_id: int
    epoch: int
    class_: str = Field(alias="class")
    start: str
    seconds: float
    points: list[tuple[float, float, float]] = Field(description="[x, y, seconds since start]")


class Paths(Answer):
    camera: str
    since: str
    until: str
    paths: list[Path]
    more: bool
    unreadable: int
    kept_since: str | None
    tracks_days: float


class RecountRow(Sure):
    hour: str = maybe()
    direction: str
    class_: str = Field(alias="class")


class Missing(Answer):
    reason: str
    seconds: float
    text: str


class Recounted(Answer):
    camera: str
    line: LineSpec = maybe()
    zone: ZoneSpec = maybe()
    since: str
    until: str
    tracks: int
    tracks_without_path: int
    counts: list[RecountRow]
    total: Sure
    missing: list[Missing]
    complete: bool
    asked_since: str
    hours: list[RecountRow] = maybe()


class Occupancy(Answer):
    name: str
    count: int | None
    time: str | None


class Occupancies(Answer):
    occupancies: list[Occupancy]


class OccupancySet(Answer):
    seq: int
    count: int


class ProposedLine(Answer):
    line: LineSpec
    clean: int
    unclear: int
    counted: dict[str, int]


class Proposals(Answer):
    camera: str
    since: str
    until: str
    tracks: int
    moving: int
    covered: int
    lines: list[ProposedLine]
