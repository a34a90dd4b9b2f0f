"""Counts by time, line, direction and class, summed from the ledger, beside how much of the time was seen."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TextIO
from zoneinfo import ZoneInfo

from pipelines.count.scene_error import AuditedCount
from streamer.api.counts.coverage import Period, periods
from streamer.api.counts.sure_count import SureCount
from streamer.errors import ConfigError
from streamer.ledger import LedgerReader
from streamer.ledger.queries import NS_PER_S, Count, Coverage

BY = ("camera", "name", "direction", "class", "rev", "minute", "hour", "day")
DEFAULT_BY = "camera,name,direction,class"
UNKNOWN = "unknown"
NO_END_S = 1 << 40
_FORMATS = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d"}
_ENDS = ("low", "high")
_CORRECTED = ("counted", "corrected")

Row = dict[str, Any]
Key = tuple[Any, ...]
Groups = dict[Key, SureCount]
Audits = Mapping[str, AuditedCount]


def columns_of(by: str) -> list[str]:
    """The columns that a list with commas names. Raise ConfigError, which names those that there are."""
    columns = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in columns if name not in BY]
    if unknown or not columns:
        raise ConfigError(f"{(unknown or [by])[0][:64]!r}: use some of {', '.join(BY)}")
    return columns


@dataclass(frozen=True)
class CountQuery:
    """What is asked for: from `since_s` to before `until_s` (Unix time), summed by `columns` in `zone`.
    `cameras` and `class_name` None: all."""

    columns: list[str]
    zone: ZoneInfo
    since_s: int
    until_s: int = NO_END_S
    cameras: frozenset[str] | None = None
    class_name: str | None = None

    def read(self, reader: LedgerReader) -> tuple[list[Count], list[Coverage]]:
        """What the ledger has of it. Raise StorageError."""
        only = next(iter(self.cameras)) if self.cameras and len(self.cameras) == 1 else None
        counts = reader.counts(since_s=self.since_s, until_s=self.until_s, camera=only)
        coverage = reader.coverage(since_ns=self.since_s * NS_PER_S, camera=only)
        found = [count for count in counts if self._holds(count)]
        end_ns = self.until_s * NS_PER_S
        return found, [b for b in coverage if self._of_camera(b.camera) and b.start_ns < end_ns]

    def _holds(self, count: Count) -> bool:
        return self._of_camera(count.camera) and self.class_name in (None, count.class_name)

    def _of_camera(self, camera: str) -> bool:
        return self.cameras is None or camera in self.cameras


class Timed(NamedTuple):
    """`places`: the columns of a row's key that say which of `periods` it is of."""

    places: list[int]
    periods: dict[Key, Period]

    def of(self, key: Key) -> Period:
        return self.periods.get(tuple(key[i] for i in self.places), Period())

    def uncounted(self, groups: Groups, width: int) -> dict[Key, Period]:
        """Keys of rows for periods that have no count, and were not seen from end to end."""
        counted = {tuple(key[i] for i in self.places) for key in groups}
        found = {}
        for key, period in self.periods.items():
            if not period.whole and key not in counted:
                places = dict(zip(self.places, key, strict=True))
                found[tuple(places.get(i, "*") for i in range(width))] = period
        return found


class Counted:
    """The answer to a query: `groups` by the columns' values, the `total` of all lines, `coverage` a camera
    in seconds by kind, and where rows are by time, `timed`: what was seen of each."""

    def __init__(
        self, query: CountQuery, found: list[Count], buckets: list[Coverage], audits: Audits
    ) -> None:
        self.query = query
        self.groups, self.total = _grouped(found, query, audits), _total(found, audits)
        self.coverage = _coverage(buckets)
        self.timed = _timed(query, buckets)
        self._buckets = buckets

    def rows(self) -> list[Row]:
        """A row by time has what was seen of it; where nothing was seen the count is None, and never 0."""
        columns, timed = self.query.columns, self.timed
        rows = [
            ({**dict(zip(columns, key, strict=True)), **sums.as_dict()}, key)
            for key, sums in self.groups.items()
        ]
        if timed is None:
            return [row for row, _ in rows]
        full = [({**row, **timed.of(key).as_dict()}, key) for row, key in rows]
        for key, period in timed.uncounted(self.groups, len(columns)).items():
            count = None if period.unknown else 0
            full.append(({**dict(zip(columns, key, strict=True)), "count": count, **period.as_dict()}, key))
        return [row for row, _ in sorted(full, key=lambda item: tuple(map(str, item[1])))]

    def document(self) -> dict[str, Any]:
        """Plain JSON: the rows, and for each camera what was seen of the whole time."""
        cameras = periods(self._buckets, _by_camera, False)
        return {
            "since_s": self.query.since_s,
            "counts": self.rows(),
            "total": self.total.as_dict(),
            "coverage": self.coverage,
            "cameras": {name: of.as_dict() for (name,), of in cameras.items()},
        }

    def write_csv(self, file: TextIO) -> None:
        """The rows, with a column for each reason that something was not seen."""
        rows = self.rows()
        more = [name for name in (*_ENDS, *_CORRECTED) if any(name in row for row in rows)]
        reasons = sorted({reason for row in rows for reason in row.get("blind", ())})
        seen = ("seen_s", "blind_s", "moved_s", "seen_share") if any("seen_s" in row for row in rows) else ()
        names = [*self.query.columns, "count", *more, *seen, *(f"{reason}_s" for reason in reasons)]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            blind = {f"{reason}_s": seconds for reason, seconds in row.get("blind", {}).items()}
            writer.writerow({**row, **blind, "count": UNKNOWN if row["count"] is None else row["count"]})


def _by_camera(camera: str, _start_s: int) -> tuple[str]:
    return (camera,)


def _timed(query: CountQuery, buckets: list[Coverage]) -> Timed | None:
    """The periods of rows by time, by what of a row's key says which period it is; None for other rows."""
    columns = query.columns
    places = [i for i, column in enumerate(columns) if column in (*_FORMATS, "camera")]
    if not any(columns[i] in _FORMATS for i in places):
        return None

    def key_of(camera: str, start_s: int) -> tuple[str, ...]:
        at = datetime.fromtimestamp(start_s, query.zone)
        return tuple(camera if columns[i] == "camera" else at.strftime(_FORMATS[columns[i]]) for i in places)

    return Timed(places, periods(buckets, key_of, with_gaps="minute" not in columns))


def _grouped(found: Iterable[Count], query: CountQuery, audits: Audits) -> Groups:
    """Sums over all that the columns do not tell apart, in the columns' order."""
    sums: Groups = defaultdict(lambda: SureCount(audits=audits))
    for count in found:
        key = tuple(_field(count, column, query.zone) for column in query.columns)
        sums[key].add(count.camera, count.n, count.tally, count.corrected)
    return dict(sorted(sums.items(), key=lambda item: tuple(map(str, item[0]))))


def _total(found: Iterable[Count], audits: Audits) -> SureCount:
    """Of all lines: entries and exits of zones are no crossings."""
    total = SureCount(audits=audits)
    for count in found:
        if count.kind == "line":
            total.add(count.camera, count.n, count.tally, count.corrected)
    return total


def _field(count: Count, column: str, zone: ZoneInfo) -> str | int:
    if column in _FORMATS:
        return datetime.fromtimestamp(count.start_s, zone).strftime(_FORMATS[column])
    fields: dict[str, str | int] = {
        "camera": count.camera,
        "name": count.name,
        "direction": count.direction,
        "class": count.class_name,
        "rev": count.rule_rev,
    }
    return fields[column]


def _coverage(buckets: Iterable[Coverage]) -> dict[str, dict[str, float]]:
    """Per camera the seconds of closed buckets by how they were spent."""
    sums: dict[str, dict[str, float]] = {}
    for bucket in buckets:
        camera = sums.setdefault(bucket.camera, {})
        for kind, seconds in bucket.seconds.items():
            camera[kind] = round(camera.get(kind, 0.0) + seconds, 3)
    return sums
