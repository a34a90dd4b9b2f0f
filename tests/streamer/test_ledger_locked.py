"""Another program's lock on the ledger: told as that, waited for, and nothing lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamer.errors import StorageError
from streamer.ledger import (
    Ledger,
    LedgerDamaged,
    LedgerFull,
    LedgerLocked,
    LedgerReader,
    LedgerRefused,
    locks,
)
from streamer.ledger import recovery as damage
from streamer.ledger import schema as database
from streamer.ledger.refusals import refusal
from tests.faults.delivery_rig import Rig
from tests.locking import EVERYTHING, held
from tests.streamer.test_ledger import crossing

BEAT_LIMIT_S = 2.5  # ten in the daemon


def open_ledger(path: Path) -> Ledger:
    return Ledger(path, "n", max_bytes=1 << 26, retention_days=30)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.commit([crossing(1)])
        yield ledger


def test_a_locked_ledger_refuses_soon_says_who_holds_it_and_takes_the_same_events_afterwards(
    ledger: Ledger,
) -> None:
    with held(ledger.path) as pid:
        with pytest.raises(LedgerLocked, match="another program") as caught:
            ledger.commit([crossing(2), crossing(1, "yard")])
        if Path("/proc/locks").exists():
            assert f"pid {pid})" in str(caught.value)
        for write in (ledger.probe, lambda: ledger.mark({"gate": 1}), lambda: ledger.record_config(1, "{}")):
            with pytest.raises(LedgerLocked):
                write()
        assert ledger.resume("gate").last_seq == 1  # reading goes on
    done = ledger.commit([crossing(2), crossing(1, "yard")])
    assert (done.stored, done.repeated, done.missing) == (2, 0, 0)


def test_a_ledger_that_is_locked_when_it_is_opened_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    open_ledger(path).close()
    for how in (("BEGIN EXCLUSIVE",), EVERYTHING):
        with held(path, how), pytest.raises(LedgerLocked, match="locked"):
            open_ledger(path)
    open_ledger(path).close()


def test_who_holds_a_lock_is_read_from_the_kernels_table(tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.touch()
    Path(f"{path}-shm").touch()
    file, shm = path.stat().st_ino, Path(f"{path}-shm").stat().st_ino
    proc = tmp_path / "proc"
    (proc / "77").mkdir(parents=True)
    (proc / "77" / "comm").write_text("sqlite3\n")
    table = proc / "locks"
    reader = f"1: POSIX  ADVISORY  READ 55 08:01:{shm} 123 123\n"
    for lines, said in (
        (reader, "another program"),
        (f"{reader}1: -> POSIX  ADVISORY  WRITE 56 08:01:{shm} 120 120\n", "another program"),
        (f"{reader}2: POSIX  ADVISORY  WRITE 77 08:01:{shm} 120 120\n", "another program (sqlite3, pid 77)"),
        (f"2: POSIX  ADVISORY  WRITE 78 08:01:{file} 1073741826 1073742335\n", "another program (pid 78)"),
        (f"2: OFDLCK ADVISORY  WRITE -1 08:01:{shm} 120 120\n", "another program"),
        (f"2: POSIX  ADVISORY  WRITE 77 08:01:{file + shm} 120 120\nnonsense\n", "another program"),
    ):
        table.write_text(lines)
        assert locks.holder(path, proc) == said
    table.unlink()
    assert locks.holder(path, proc) == "another program"


@pytest.mark.parametrize(
    ("number", "kind", "state"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, LedgerLocked, "locked"),
        (sqlite3.SQLITE_PROTOCOL, LedgerLocked, "locked"),
        (sqlite3.SQLITE_FULL, LedgerFull, "full"),
        (sqlite3.SQLITE_IOERR_WRITE, LedgerFull, "failing"),
        (sqlite3.SQLITE_READONLY, LedgerFull, "failing"),
        (sqlite3.SQLITE_CANTOPEN, LedgerFull, "failing"),
        (sqlite3.SQLITE_NOMEM, LedgerFull, "failing"),
        (sqlite3.SQLITE_CORRUPT, LedgerDamaged, None),
        (sqlite3.SQLITE_NOTADB, LedgerDamaged, None),
        (sqlite3.SQLITE_ERROR, StorageError, None),
    ],
)
def test_every_error_of_sqlite_has_a_meaning(
    tmp_path: Path, number: int, kind: type[StorageError], state: str | None
) -> None:
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = number
    found = refusal(tmp_path / "l", error, "take more")
    assert type(found) is kind
    assert getattr(found, "state", None) == state
    assert "\n" not in str(found)


def test_a_reader_and_a_copy_say_in_one_line_that_the_ledger_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "READ_WAIT_S", 0.1)
    path = tmp_path / "ledger.sqlite"
    open_ledger(path).close()
    with held(path, EVERYTHING):
        with pytest.raises(LedgerLocked, match="cannot be read"):
            LedgerReader(path)
        with pytest.raises(LedgerLocked, match="cannot be read"):
            damage.backup(path, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))
    damage.backup(path, tmp_path / "copy")


def test_a_reader_tells_of_damage_in_our_words(ledger: Ledger) -> None:
    reader = LedgerReader(ledger.path)
    ledger.commit([crossing(n, note="x" * 500) for n in range(2, 500)])
    ledger.close()
    with open(ledger.path, "r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096 * 60)
    with pytest.raises(LedgerDamaged, match="salvaged at the next start"):
        reader.after("gate", None, 1000)
    reader.close()


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001 - it runs one
    rig = Rig(short_dir)
    rig.start_redis()
    yield rig
    rig.close()


def beats_longer_than_its_limit(rig: Rig) -> None:
    """The worker is there when the lock has been held for longer than its heart may pause."""
    end_s = time.monotonic() + 2 * BEAT_LIMIT_S
    rig.until(lambda: time.monotonic() > end_s or rig.delivery_exit() is not None)
    assert rig.delivery_exit() is None


@pytest.mark.integration
def test_a_lock_held_longer_than_the_heartbeats_limit_kills_no_worker_and_loses_no_event(rig: Rig) -> None:
    rig.start_delivery(BEAT_LIMIT_S)
    rig.resume()
    rig.count("gate", 3)
    rig.settle()
    with held(rig.ledger_path) as pid:
        rig.count("gate", 2)
        rig.count("yard", 1)
        rig.until(lambda: rig.status["ledger"]["state"] == "locked")
        assert f"pid {pid}" in rig.status["ledger"]["last_error"]
        beats_longer_than_its_limit(rig)
        assert rig.sequencer.unacknowledged == 2
    rig.settle()
    rig.until(lambda: rig.status["ledger"]["state"] == "ok")
    rig.assert_each_once()


@pytest.mark.integration
def test_a_lock_is_noticed_and_forgotten_where_no_event_comes(rig: Rig) -> None:
    rig.start_delivery(BEAT_LIMIT_S)
    rig.resume()
    rig.until(lambda: rig.status.get("ledger", {}).get("state") == "ok")
    with held(rig.ledger_path):
        rig.tell(rig.assignment(rev=2, config_rev=2))
        rig.until(lambda: rig.status["ledger"]["state"] == "locked")
    rig.until(lambda: rig.status["ledger"]["state"] == "ok")
    with closing(LedgerReader(rig.ledger_path)) as reader:  # what could not be written then is written now
        assert reader.revision(2) is not None


@pytest.mark.integration
@pytest.mark.parametrize("how", [("BEGIN EXCLUSIVE",), EVERYTHING])
def test_a_worker_that_starts_at_a_locked_ledger_waits_for_it(rig: Rig, how: tuple[str, ...]) -> None:
    open_at = Ledger(rig.ledger_path, rig.assignment().node, max_bytes=1 << 26, retention_days=30)
    open_at.close()
    with held(rig.ledger_path, how):
        rig.start_delivery(BEAT_LIMIT_S)
        rig.until(lambda: rig.status.get("ledger", {}).get("state") == "locked")
        beats_longer_than_its_limit(rig)
        assert "locked" in rig.status["ledger"]["last_error"]
        assert rig.status["sinks"]["redis"] == {"kind": "redis", "state": "connecting"}
    rig.resume()
    rig.count("gate", 3)
    rig.settle()
    rig.assert_each_once()


def test_a_refusal_passes_by_itself_and_damage_does_not() -> None:
    assert issubclass(LedgerFull, LedgerRefused)
    assert not issubclass(LedgerDamaged, LedgerRefused)
