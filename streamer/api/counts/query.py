"""Counts by time, line, direction and class, summed from the ledger, beside how much of the time was seen."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO
from zoneinfo import ZoneInfo

from pipelines.count.scene_error import AuditedCount
from streamer.api.counts.coverage import Period, Periods
from streamer.api.counts.sure_count import SureCount
from streamer.api.moments import PERIOD_S, PERIODS, LocalTime, row_order, spans_of_offset
from streamer.errors import CapacityError, ConfigError
from streamer.ledger import LedgerReader
from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import NS_PER_S, Count
from streamer.ledger.quarter_sums import Span
from streamer.ledger.quarters import QUARTER_S
from streamer.ledger.queries import MAX_NS

BY = ("camera", "name", "direction", "class", "rev", *PERIODS)
DEFAULT_BY = "camera,name,direction,class"
UNKNOWN = "unknown"
NO_END_S = 1 << 40
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

    def counts(self, reader: LedgerReader) -> Iterator[Count]:
        """What the ledger counted. Raise StorageError."""
        since_s, until_s = self.since_s, self.until_s
        found = (
            reader.counts(since_s=since_s, until_s=until_s, camera=self._only)
            if "minute" in self.columns
            else reader.counts_by(self._spans(reader), since_s, until_s, self._only)
        )
        return (count for count in found if self._holds(count))

    def buckets(self, reader: LedgerReader) -> Iterator[Coverage]:
        """What was seen, of each closed bucket or of periods that rows are by. Raise StorageError."""
        since_ns, until_ns = self.since_s * NS_PER_S, min(self.until_s * NS_PER_S, MAX_NS)
        found = (
            reader.coverage(since_ns=since_ns, until_ns=until_ns, camera=self._only)
            if "minute" in self.columns
            else reader.coverage_by(self._spans(reader), since_ns, until_ns, self._only)
        )
        return (b for b in found if self._of_camera(b.camera))

    def _spans(self, reader: LedgerReader) -> list[Span]:
        """The whole quarters of an hour of the time asked for, by the shortest period among the columns."""
        kept = reader.quarters()
        if kept is None:
            return []
        first, end = max(kept[0], -(-self.since_s // QUARTER_S)), min(kept[1], self.until_s // QUARTER_S)
        period_s = min((PERIOD_S[column] for column in self.columns if column in PERIOD_S), default=0)
        offsets = spans_of_offset(self.zone, first * QUARTER_S, end * QUARTER_S) if period_s else ()
        return [
            Span(begin_s // QUARTER_S, end_s // QUARTER_S, offset_s, period_s)
            for begin_s, end_s, offset_s in offsets
        ] or ([Span(first, end, 0, 0)] if first < end else [])

    @property
    def _only(self) -> str | None:
        return next(iter(self.cameras)) if self.cameras is not None and len(self.cameras) == 1 else None

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
        self,
        query: CountQuery,
        found: Iterable[Count],
        buckets: Iterable[Coverage],
        audits: Audits,
        max_rows: int | None = None,
    ) -> None:
        """Both are gone through once, and only sums are kept. Raise CapacityError for more than
        `max_rows`."""
        self.query, self._max_rows = query, max_rows
        self.total = SureCount(audits=audits)
        self.groups = self._grouped(found, audits)
        self.coverage: dict[str, dict[str, float]] = {}
        self._recorded: dict[str, tuple[int, int]] = {}
        self._cameras = Periods(_by_camera, False)
        self.timed = self._covered(buckets)

    def _grouped(self, found: Iterable[Count], audits: Audits) -> Groups:
        """Sums over all that the columns do not tell apart; the total is of lines: zones have no
        crossings."""
        sums: Groups = defaultdict(lambda: SureCount(audits=audits))
        columns, zone = self.query.columns, self.query.zone
        for count in found:
            key = tuple(_field(count, column, zone) for column in columns)
            sums[key].add(count.camera, count.n, count.tally, count.corrected)
            self._refuse_more(sums)
            if count.kind == "line":
                self.total.add(count.camera, count.n, count.tally, count.corrected)
        return dict(sorted(sums.items(), key=lambda item: row_order(item[0])))

    def _covered(self, buckets: Iterable[Coverage]) -> Timed | None:
        """The periods of rows by time; None for other rows."""
        places = _places_of_time(self.query.columns)
        timed = Periods(_period_key(self.query, places), "minute" not in self.query.columns)
        for bucket in buckets:
            _add_seconds(self.coverage.setdefault(bucket.camera, {}), bucket)
            begun_ns, _ = self._recorded.get(bucket.camera, (bucket.start_ns, 0))
            self._recorded[bucket.camera] = (begun_ns, bucket.end_ns)
            self._cameras.add(bucket)
            if places:
                timed.add(bucket)
                self._refuse_more(timed.found)
        return Timed(places, timed.found) if places else None

    @property
    def recorded_s(self) -> dict[str, tuple[int, int]]:
        """Where the record of each camera begins and ends within the range, in Unix seconds."""
        return {name: (a // NS_PER_S, b // NS_PER_S) for name, (a, b) in self._recorded.items()}

    def _refuse_more(self, rows: Mapping[Key, Any]) -> None:
        if self._max_rows is not None and len(rows) > self._max_rows:
            raise CapacityError(
                f"this is more than {self._max_rows} rows: ask for a shorter time, or for hours or days"
            )

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
        return [row for row, _ in sorted(full, key=lambda item: row_order(item[1]))]

    def document(self) -> dict[str, Any]:
        """Plain JSON: the rows, and for each camera what was seen of the whole time."""
        return {
            "since_s": self.query.since_s,
            "counts": self.rows(),
            "total": self.total.as_dict(),
            "coverage": self.coverage,
            "cameras": {name: of.as_dict() for (name,), of in self._cameras.found.items()},
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


def _places_of_time(columns: list[str]) -> list[int]:
    """Which of a row's columns say which period it is of; none where no column is a time."""
    if not any(column in PERIODS for column in columns):
        return []
    return [i for i, column in enumerate(columns) if column in (*PERIODS, "camera")]


def _period_key(query: CountQuery, places: list[int]) -> Callable[[str, int], Key]:
    columns = [query.columns[i] for i in places]

    def key_of(camera: str, start_s: int) -> Key:
        return tuple(
            camera if column == "camera" else LocalTime.of(start_s, query.zone, column) for column in columns
        )

    return key_of


def _field(count: Count, column: str, zone: ZoneInfo) -> str | int:
    if column in PERIODS:
        return LocalTime.of(count.start_s, zone, column)
    fields: dict[str, str | int] = {
        "camera": count.camera,
        "name": count.name,
        "direction": count.direction,
        "class": count.class_name,
        "rev": count.rule_rev,
    }
    return fields[column]


def _add_seconds(sums: dict[str, float], bucket: Coverage) -> None:
    for kind, seconds in bucket.seconds.items():
        sums[kind] = round(sums.get(kind, 0.0) + seconds, 3)
