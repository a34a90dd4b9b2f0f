"""The seconds of a camera for /metrics: summed once over the past, and then with what is new."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamer.api.http.coverage_sums import CoverageSums
from streamer.ledger import Ledger, LedgerReader, quarters

S = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite"
    Ledger(made, "b7a4d7cf-6f0b-4dbb-9a3a-4d4c0a1f7c11", max_bytes=1 << 30, retention_days=400).close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db, db:
        db.execute("INSERT INTO cameras (id, name, last_seq) VALUES (1, 'a', 0), (2, 'b', 0)")
    return tmp_path / "ledger.sqlite"


def add(path: Path, camera: int, start_s: int, seen_s: float) -> None:
    text = json.dumps({"seen_s": seen_s, "offline_s": 60 - seen_s, "moved_s": 1.0})
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO coverage VALUES (?, ?, ?, ?)", (camera, start_s * S, (start_s + 60) * S, text)
        )
        quarters.close(db, camera, start_s * S)


def read(sums: CoverageSums, path: Path) -> dict[str, dict[str, float]]:
    with closing(LedgerReader(path)) as reader:
        return sums.read(reader, ["a", "b"])


def kinds(seen: float, offline: float) -> dict[str, float]:
    return dict.fromkeys(("gated", "dropped", "unknown"), 0.0) | {"seen": seen, "offline": offline}


def test_what_is_added_later_is_in_it_once(path: Path) -> None:
    sums = CoverageSums()
    add(path, 1, 0, 50.0)
    assert read(sums, path)["a"] == kinds(50.0, 10.0)
    add(path, 1, 60, 60.0)
    add(path, 2, 0, 1.0)
    assert read(sums, path) == read(sums, path)
    assert read(sums, path) == {"a": kinds(110.0, 10.0), "b": kinds(1.0, 59.0)}
    add(path, 1, 7200, 30.0)  # two hours later, after a gap
    add(path, 1, 7260, 60.0)
    assert read(sums, path)["a"] == kinds(200.0, 40.0)
    assert read(CoverageSums(), path) == read(sums, path), "also for a process that begins"
