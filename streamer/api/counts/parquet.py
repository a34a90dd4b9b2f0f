"""Counts as Parquet, with columns of fixed types: files of several days are read as one table.

The only file that imports pyarrow, which the extra `parquet` installs. It is a large library: what lives for
long has the file made by a process of its own (`python -m streamer.api.counts.parquet`, rows in, file out).
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, BinaryIO

import msgspec

from streamer.api.counts.query import Counted, CountQuery
from streamer.api.moments import PERIODS, LocalTime
from streamer.errors import CapacityError, ConfigError
from streamer.ledger.quarters import QUARTER_S

log = logging.getLogger(__name__)

MISSING = "the extra parquet is not installed: pip install 'streamer[parquet]'"
COMPRESSION = "zstd"
ENDED_BY_S = 60  # for a process of its own; a busy box takes long to begin
_COVERAGE = ("seen_s", "blind_s", "moved_s", "seen_share")


class ParquetRows(msgspec.Struct, frozen=True):
    """What a file is made of. Times in `rows` are Unix milliseconds at which the period of `zone` begins.

    `by` are the columns that the rows are summed by; `timed`: they have coverage; `about`: kept in the
    file's metadata.
    """

    by: list[str]
    zone: str
    timed: bool
    rows: list[dict[str, Any]]
    about: dict[str, str]


def check_installed() -> None:
    """Raise ConfigError where the extra is not."""
    if find_spec("pyarrow") is None:
        raise ConfigError(MISSING)


def rows_of(counted: Counted) -> ParquetRows:
    """The rows of `counted`, and in `about` what JSON has beside them: total, coverage and the range."""
    query, document = counted.query, counted.document()
    found = document.pop("counts")
    about = {f"streamer.{key}": msgspec.json.encode(value).decode() for key, value in document.items()}
    starts = _Starts(query)
    timed = any(column in PERIODS for column in query.columns)
    return ParquetRows(query.columns, query.zone.key, timed, [_row(row, starts) for row in found], about)


def write(rows: ParquetRows, file: BinaryIO) -> None:
    """Write the whole file. Raise ConfigError where the extra is not installed."""
    check_installed()
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(_fields(rows), metadata={"streamer.by": ",".join(rows.by), **rows.about})
    table = pyarrow.Table.from_pylist(rows.rows, schema=schema)
    parquet.write_table(table, file, compression=COMPRESSION)


def write_apart(counted: Counted) -> bytes:
    """The file, made by a process of its own. Raise ConfigError where the extra is not installed, and
    CapacityError where the process did not get the memory or the time."""
    check_installed()
    command = [sys.executable, "-m", __name__]
    asked = msgspec.msgpack.encode(rows_of(counted))
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=ENDED_BY_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        log.error("no Parquet file was made: %s %s", error, getattr(error, "stderr", b"")[-500:])
        raise CapacityError("the Parquet file was not made: ask for a shorter time, or for CSV") from error
    return done.stdout


def _row(row: Mapping[str, Any], starts: _Starts) -> dict[str, Any]:
    """A row with every column: what is unknown is None, and what nobody corrected is corrected by 0."""
    count = row["count"]
    whole = {"low": None, "high": None, "counted": count, "corrected": None if count is None else 0, **row}
    return {key: starts.of(key, value) if key in PERIODS else value for key, value in whole.items()}


class _Starts:
    """When the periods of a query begin: what is printed of one ("2026-10-25 02:00") is no moment."""

    def __init__(self, query: CountQuery) -> None:
        self._zone = query.zone
        self._found: dict[tuple[str, str], int] = {}

    def of(self, period: str, label: LocalTime) -> int:
        """Unix milliseconds."""
        if (period, label) not in self._found:
            self._found[period, label] = self._begin(period, label)
        return self._found[period, label]

    def _begin(self, period: str, label: LocalTime) -> int:
        """`label` was made of some moment in its period: step back to the first that has the same label."""
        step_s = 60 if period == "minute" else QUARTER_S
        at_s = label.at_s - label.at_s % step_s
        while LocalTime.of(at_s - step_s, self._zone, period) == label:
            at_s -= step_s
        return at_s * 1000


def _fields(rows: ParquetRows) -> list[Any]:
    import pyarrow as pa

    time = pa.timestamp("ms", tz=rows.zone)  # Parquet knows no seconds
    kinds = {**dict.fromkeys(PERIODS, time), "rev": pa.int64()}
    fields = [pa.field(name, kinds.get(name, pa.string()), nullable=False) for name in rows.by]
    fields += [pa.field(name, pa.int64()) for name in ("count", "low", "high", "counted", "corrected")]
    if rows.timed:
        fields += [pa.field(name, pa.float64()) for name in _COVERAGE]
        fields.append(pa.field("blind", pa.map_(pa.string(), pa.float64())))  # reason: seconds
    return fields


def main() -> None:
    write(msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ParquetRows), sys.stdout.buffer)


if __name__ == "__main__":
    main()
