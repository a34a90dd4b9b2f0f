"""Counts as Parquet, read back by pyarrow: what a column's type is, and that no unknown became a zero."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipelines.count.confidence import Tally
from streamer.api.counts import parquet
from streamer.api.counts.query import Counted, CountQuery
from streamer.api.http import counts
from streamer.api.http.problems import HttpRefusal
from streamer.config.schema import LEDGER_FILE
from streamer.config.store import ConfigStore
from streamer.ledger import Ledger
from streamer.ledger.queries import Count, Coverage
from tests.streamer.cli.conftest import Run

BERLIN = ZoneInfo("Europe/Berlin")
NS_PER_S = 1_000_000_000
BEGIN_S = int(datetime(2026, 10, 25, 1, tzinfo=BERLIN).timestamp())  # the clocks go back at 3 o'clock
HOUR_S = 3600


def read(rows: parquet.ParquetRows) -> Any:
    """The table of a file that is written and read again."""
    pytest.importorskip("pyarrow", reason="needs pyarrow: the extra parquet")
    from pyarrow import parquet as library

    file = io.BytesIO()
    parquet.write(rows, file)
    file.seek(0)
    return library.read_table(file)


def bucket(hour: int, seen_s: float, offline_s: float) -> Coverage:
    start_ns = (BEGIN_S + hour * HOUR_S) * NS_PER_S
    return Coverage(
        camera="gate",
        start_ns=start_ns,
        end_ns=start_ns + HOUR_S * NS_PER_S,
        seconds={"seen_s": seen_s, "offline_s": offline_s},
        blind={"offline": offline_s} if offline_s else {},
        moved_s=0.0,
        looked_at=int(seen_s),
        wanted=int(seen_s),
    )


def count(at_s: int, n: int, corrected: int = 0) -> Count:
    return Count("gate", at_s, "line", "door", "in", 1, "person", n, Tally(), corrected)


def counted(by: list[str]) -> Counted:
    """Two hours with counts, of which both are called 2 o'clock, and one that nobody saw."""
    query = CountQuery(by, BERLIN, BEGIN_S)
    found = [count(BEGIN_S + HOUR_S + 1800, 5), count(BEGIN_S + 2 * HOUR_S + 60, 7, corrected=-1)]
    seen = [bucket(1, 3600.0, 0.0), bucket(2, 3600.0, 0.0), bucket(3, 0.0, 3600.0)]
    return Counted(query, found, seen, {})


def test_times_are_moments_in_the_zone_also_where_an_hour_comes_twice() -> None:
    table = read(parquet.rows_of(counted(["camera", "hour"])))
    assert str(table.schema.field("hour").type) == "timestamp[ms, tz=Europe/Berlin]"
    starts = [int(at.timestamp()) for at in table.column("hour").to_pylist()]
    assert starts == [BEGIN_S + HOUR_S, BEGIN_S + 2 * HOUR_S, BEGIN_S + 3 * HOUR_S]


def test_counts_are_integers_and_what_was_not_seen_is_null() -> None:
    table = read(parquet.rows_of(counted(["camera", "hour"])))
    for name in ("count", "low", "high", "counted", "corrected"):
        assert str(table.schema.field(name).type) == "int64"
    assert table.column("count").to_pylist() == [5, 6, None]
    assert table.column("counted").to_pylist() == [5, 7, None]
    assert table.column("corrected").to_pylist() == [0, -1, None]
    assert [dict(blind) for blind in table.column("blind").to_pylist()] == [{}, {}, {"offline": 3600.0}]
    assert table.column("seen_s").to_pylist() == [3600.0, 3600.0, 0.0]


def test_a_file_has_the_same_columns_whatever_was_counted() -> None:
    whole = read(parquet.rows_of(counted(["camera", "day", "rev"])))
    empty = read(parquet.rows_of(Counted(CountQuery(["camera", "day", "rev"], BERLIN, 0), [], [], {})))
    assert whole.schema.equals(empty.schema)
    assert (whole.num_rows > 0, empty.num_rows) == (True, 0)


def test_a_day_and_a_week_begin_at_midnight_of_the_zone() -> None:
    row = read(parquet.rows_of(counted(["week", "day"]))).to_pylist()[0]
    assert str(row["day"]) == "2026-10-25 00:00:00+02:00"
    assert str(row["week"]) == "2026-10-19 00:00:00+02:00"


def test_the_total_and_the_coverage_of_each_camera_are_in_the_file_s_metadata() -> None:
    found = counted(["camera"])
    metadata = read(parquet.rows_of(found)).schema.metadata
    assert json.loads(metadata[b"streamer.total"]) == found.total.as_dict()
    assert json.loads(metadata[b"streamer.coverage"]) == {"gate": {"seen_s": 7200.0, "offline_s": 3600.0}}


def test_a_process_of_its_own_makes_the_same_file() -> None:
    found = counted(["camera", "hour"])
    table = read(parquet.rows_of(found))
    from pyarrow import parquet as library

    assert library.read_table(io.BytesIO(parquet.write_apart(found))).equals(table)


def test_without_the_extra_it_is_said_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda _name: None)
    done = run("counts", "--parquet", str(tmp_path / "counts.parquet"))
    assert done.exit_code == 3
    assert "pip install 'streamer[parquet]'" in done.output
    assert list(tmp_path.iterdir()) == []


def test_http_says_so_too_before_it_reads_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda _name: None)
    with pytest.raises(HttpRefusal, match=r"streamer\[parquet\]") as refused:
        counts.check_parquet()
    assert refused.value.status == 501


def test_a_command_writes_the_whole_file_or_none(run: Run, store: ConfigStore, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: the extra parquet")
    Ledger(store.load().state_path / LEDGER_FILE, "n", max_bytes=1 << 26, retention_days=9).close()
    from pyarrow import parquet as library

    assert run("counts", "--parquet", str(tmp_path / "a" / "x.parquet")).exit_code == 6
    done = run("counts", "--since", "all", "--parquet", str(tmp_path / "x.parquet"), "--json")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "x.parquet"), "rows": 0}
    assert library.read_table(tmp_path / "x.parquet").num_rows == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


@pytest.mark.parametrize("other", [("--json",), ("--parquet", "counts.parquet")])
def test_two_forms_at_once_are_refused(run: Run, other: tuple[str, ...]) -> None:
    result = run("counts", "--csv", *other)
    assert result.exit_code == 2
    assert "choose one" in result.stderr
