"""Case 13, the clocks go forward or back by an hour: what is kept is in UTC and knows nothing of it; what is
printed has 23 or 25 hours that day, each with its own counts.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.config.schema import LEDGER_FILE
from streamer.ipc.counters import Balance
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger
from streamer.workers.infer.coverage import Coverage

HOUR_S, NS_PER_S = 3600, 1_000_000_000
FORWARD = "2026-03-29"  # in Berlin: after 01:59 comes 03:00
BACK = "2026-10-25"  # after 02:59 comes 02:00 once more


def midnight_before(day: str) -> int:
    """23:00 UTC is 00:00 of a winter's day in Berlin; an hour of the day before, where it is summer."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) - 2 * HOUR_S


def crossing(seq: int, at_s: int) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq}
    at_ns = at_s * NS_PER_S
    return EventRecord("gate", seq, "streamer.line.crossed.v1", "door", 1, seq, seq, at_ns, 1.0, 1, data)


def bucket(seq: int, start_s: int) -> EventRecord:
    start_ns, end_ns = start_s * NS_PER_S, (start_s + HOUR_S) * NS_PER_S
    data = {"start_ns": start_ns, "end_ns": end_ns, "coverage": {"seen_s": 3600.0}, "lines": {}}
    return EventRecord("gate", seq, "streamer.counts.v1", "", 1, seq, seq, end_ns, 1.0, 1, data)


def write(folder: Path, day: str) -> None:
    """27 hours around the day: in each one crossing more than in the one before."""
    path = folder / "state" / LEDGER_FILE
    ledger = Ledger(path, "node", max_bytes=64 << 20, retention_days=36500.0)
    seq, records = 0, []
    for number in range(27):
        start_s = midnight_before(day) + number * HOUR_S
        for minute in range(number + 1):
            records.append(crossing(seq := seq + 1, start_s + 60 * minute))
        records.append(bucket(seq := seq + 1, start_s))
    ledger.commit(records)
    ledger.close()


@pytest.fixture(params=[FORWARD, BACK])
def day(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "cfg" / "cameras.d").mkdir(parents=True)
    text = f"state_dir: {tmp_path / 'state'}\nruntime_dir: {tmp_path / 'run'}\ntimezone: Europe/Berlin\n"
    (tmp_path / "cfg" / "streamer.yaml").write_text(text)
    write(tmp_path, request.param)
    chosen: str = request.param
    return chosen


def counts(tmp_path: Path, *words: str) -> str:
    command = ["--config", str(tmp_path / "cfg"), "counts", "--since", "all", *words]
    return CliRunner().invoke(cli, command, catch_exceptions=False).stdout


def rows(tmp_path: Path, by: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(counts(tmp_path, "--by", by, "--json"))["counts"]
    return found


def test_each_hour_of_the_day_is_printed_once_with_its_own_counts(day: str, tmp_path: Path) -> None:
    found = [row for row in rows(tmp_path, "hour") if row["hour"].startswith(day)]
    hours = [row["hour"].removeprefix(f"{day} ") for row in found]
    assert len(set(hours)) == len(hours)
    if day == FORWARD:
        assert hours == ["00:00", "01:00", *(f"{hour:02}:00" for hour in range(3, 24))]
        first = 1  # 22:00 UTC was 23:00 of the day before
    else:
        assert hours[:5] == ["00:00", "01:00", "02:00 +0200", "02:00 +0100", "03:00"]
        assert hours[-1] == "23:00"
        first = 0
    assert [row["count"] for row in found] == list(range(first + 1, first + 1 + len(hours)))
    assert {row["seen_s"] for row in found} == {3600.0}


def test_the_day_has_its_23_or_25_hours(day: str, tmp_path: Path) -> None:
    (found,) = [row for row in rows(tmp_path, "day") if row["day"] == day]
    assert (found["seen_s"], found["blind_s"]) == ((23 if day == FORWARD else 25) * 3600.0, 0.0)


def test_the_table_and_the_csv_are_in_the_order_of_time(day: str, tmp_path: Path) -> None:
    table = [line for line in counts(tmp_path, "--by", "hour").splitlines() if line.startswith("2026")]
    printed = [row["hour"] for row in csv.DictReader(io.StringIO(counts(tmp_path, "--by", "hour", "--csv")))]
    wanted = [row["hour"] for row in rows(tmp_path, "hour")]
    assert printed == wanted
    assert all(line.startswith(hour) for line, hour in zip(table, wanted, strict=True))
    assert len(wanted) == 27
    assert [row["count"] for row in rows(tmp_path, "hour")] == list(range(1, 28))
    assert day in " ".join(wanted)


@pytest.mark.parametrize("night", [FORWARD, BACK])
def test_on_a_box_of_that_timezone_every_bucket_of_the_night_is_whole_and_unmarked(
    night: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as box:
        box.setenv("TZ", "Europe/Berlin")
        time.tzset()
        closed = list(watched(midnight_before(night), 6 * HOUR_S))
    time.tzset()
    starts = [data["start_ns"] // NS_PER_S for data in closed]
    assert starts == list(range(midnight_before(night), midnight_before(night) + 6 * HOUR_S, 600))
    for data in closed:
        assert sum(data["coverage"].values()) == pytest.approx(600)
        assert data["flags"] == []


def watched(start_s: int, seconds: int) -> Iterator[dict[str, Any]]:
    """The buckets of ten minutes of a camera that is looked at every second."""
    nobody = Balance(0, 0, 0, {}, 0)
    coverage = Coverage(600, start_s * NS_PER_S, nobody)
    for at_s in range(start_s, start_s + seconds + 5):
        coverage.frame_inferred(at_s * NS_PER_S, 20.0, 0)
        yield from (data for _, data in coverage.close_due(at_s * NS_PER_S, nobody, False))
