"""The ledger: each event once, totals, budget, retention, full disks, damage, lineages, copies."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.errors import Exit, StorageError
from streamer.events.cloudevents import EventId
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerFull, LedgerReader
from streamer.ledger import recovery as damage
from tests.patience import patient

NODE = "node-1"
NOW_NS = 1_700_000_000_000_000_000
NS_PER_DAY = 86_400_000_000_000


def crossing(seq: int, camera: str = "gate", **data: Any) -> EventRecord:
    what = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq} | data
    return EventRecord(
        camera, seq, "streamer.line.crossed.v1", "door", 1, seq, seq, NOW_NS + seq, 1.0, 1, what
    )


def bucket(seq: int, start_ns: int, end_ns: int, camera: str = "gate") -> EventRecord:
    data = {"start_ns": start_ns, "end_ns": end_ns, "coverage": {"seen_s": 59.0, "offline_s": 1.0}}
    return EventRecord(camera, seq, "streamer.counts.v1", camera, 1, -1, 0, end_ns, 0.0, 1, data)


class Clock:
    def __init__(self, now_ns: int = NOW_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_ledger(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Ledger]]:
    opened: list[Ledger] = []

    def begin(max_bytes: int = 64 << 20, retention_days: float = 30.0, node: str = NODE) -> Ledger:
        path = tmp_path / "ledger.sqlite"
        opened.append(Ledger(path, node, max_bytes=max_bytes, retention_days=retention_days, now_ns=clock))
        opened[-1].replace_sinks(["redis"])
        return opened[-1]

    yield begin
    for ledger in opened:
        ledger.close()


def read(ledger: Ledger, camera: str = "gate") -> list[int]:
    reader = LedgerReader(ledger.path)
    try:
        return [event.id.seq for event in reader.after(camera, None, 1_000_000)]
    finally:
        reader.close()


def test_each_number_is_kept_once_and_a_repeat_counts_nothing(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    first = ledger.commit([crossing(1), crossing(2), crossing(1, "yard")])
    assert (first.stored, first.repeated, first.cameras) == (3, 0, ("gate", "yard"))
    again = ledger.commit([crossing(1), crossing(2), crossing(3)])
    assert (again.stored, again.repeated, again.conflicts) == (1, 2, 0)
    reader = LedgerReader(ledger.path)
    assert read(ledger) == [1, 2, 3]
    assert reader.totals("gate") == {"line/door/in/1/person": 3}
    assert sum(count.n for count in reader.counts(camera="gate")) == 3
    reader.close()


def test_another_event_under_a_taken_number_is_an_alarm(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(1)])
    done = ledger.commit([crossing(1, direction="out")])
    assert (done.stored, done.conflicts) == (0, 1)


def test_numbers_that_were_jumped_over_are_counted(open_ledger: Callable[..., Ledger]) -> None:
    assert open_ledger().commit([crossing(1), crossing(5)]).missing == 3


def test_a_moved_line_starts_a_new_total(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(1), crossing(2, rule_rev=2), crossing(3, rule_rev=2)])
    reader = LedgerReader(ledger.path)
    assert reader.totals("gate") == {"line/door/in/1/person": 1, "line/door/in/2/person": 2}
    reader.close()


def test_totals_can_be_had_as_they_stood_at_any_event(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(1), crossing(2, direction="out"), crossing(3), crossing(4)])
    reader = LedgerReader(ledger.path)
    at = [EventId(ledger.lineage, n) for n in range(5)]
    assert reader.totals_at("gate", None) == {}
    assert reader.totals_at("gate", at[1]) == {"line/door/in/1/person": 1}
    assert reader.totals_at("gate", at[3]) == {"line/door/in/1/person": 2, "line/door/out/1/person": 1}
    assert reader.totals_at("gate", at[4]) == reader.totals("gate")
    reader.close()


def test_a_second_process_finds_all_that_was_committed_before_a_kill(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    script = """
import os, sys
from pathlib import Path
from streamer.ledger import Ledger
from tests.streamer.test_ledger import crossing
ledger = Ledger(Path(sys.argv[1]), "node-1", max_bytes=1 << 26, retention_days=1e4)
for seq in range(1, 1000):
    ledger.commit([crossing(seq)])
    if seq == 137:
        os.kill(os.getpid(), 9)
"""
    path = tmp_path / "ledger.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", script, str(path)], env=environment).returncode == -9
    ledger = Ledger(path, NODE, max_bytes=1 << 26, retention_days=1e4)
    assert ledger.last_seq("gate") == 137
    assert read(ledger) == list(range(1, 138))
    assert ledger.damage == ""
    ledger.close()


def test_a_camera_resumes_with_the_events_of_its_open_bucket(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    assert ledger.resume("gate").last_seq == 0
    end_ns = NOW_NS + 60
    ledger.commit([crossing(1), bucket(2, NOW_NS, end_ns), crossing(3, lane="a"), crossing(4)])
    resume = ledger.resume("gate")
    assert (resume.last_seq, resume.bucket_start_ns) == (4, end_ns)
    assert [event.seq for event in resume.bucket_events] == [3, 4]
    assert resume.bucket_events[0] == crossing(3, lane="a")


def test_coverage_of_closed_buckets_is_kept(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.commit([bucket(1, NOW_NS, NOW_NS + 60)])
    reader = LedgerReader(ledger.path)
    (found,) = reader.coverage()
    assert (found.camera, found.seconds) == ("gate", {"seen_s": 59.0, "offline_s": 1.0})
    reader.close()


def test_the_file_is_for_its_user_alone(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(1)])
    files = list(ledger.path.parent.glob("ledger.sqlite*"))
    assert len(files) >= 2
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}


def test_another_nodes_ledger_is_refused(open_ledger: Callable[..., Ledger]) -> None:
    open_ledger().close()
    with pytest.raises(StorageError, match="belongs to node node-1"):
        open_ledger(node="node-2")


def test_a_ledger_of_a_later_version_is_refused(open_ledger: Callable[..., Ledger], tmp_path: Path) -> None:
    open_ledger().close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StorageError, match="schema version 99") as caught:
        open_ledger()
    assert caught.value.exit_code == Exit.STORAGE


# ---- budget and retention


def fill(ledger: Ledger, until: int, deliver: bool) -> int:
    """Commit batches of 20 as long as the ledger takes them, at most `until` events; return how many."""
    seq = ledger.last_seq("gate")
    try:
        while seq < until:
            ledger.commit([crossing(seq + n + 1, note="x" * 500) for n in range(20)])
            seq += 20
            if deliver:
                ledger.mark({"redis": {"gate": seq}})
    except LedgerFull:
        pass
    return seq


def test_delivered_events_make_room_oldest_first_and_the_budget_holds(
    open_ledger: Callable[..., Ledger],
) -> None:
    budget = 2 << 20
    ledger = open_ledger(max_bytes=budget)
    assert fill(ledger, 8000, deliver=True) == 8000
    kept = read(ledger)
    assert kept == list(range(kept[0], 8001))
    assert 500 < len(kept) < 5000
    status = ledger.status()
    assert status["bytes"] <= budget
    assert status["pruned"] == kept[0] - 1
    reader = LedgerReader(ledger.path)
    assert reader.totals("gate") == {"line/door/in/1/person": 8000}  # totals outlive events
    assert sum(count.n for count in reader.counts()) == 8000
    reader.close()


def test_a_full_ledger_takes_nothing_loses_nothing_and_goes_on_once_redis_has_caught_up(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger(max_bytes=2 << 20)
    taken = fill(ledger, 100_000, deliver=False)
    assert 1000 < taken < 10_000
    with pytest.raises(LedgerFull, match="cannot take more") as caught:
        ledger.commit(big(taken + 1, 300))
    assert caught.value.exit_code == Exit.STORAGE
    assert read(ledger) == list(range(1, ledger.last_seq("gate") + 1))
    last = ledger.last_seq("gate")
    ledger.mark({"redis": {"gate": last}})  # Redis is back and has all
    assert fill(ledger, last + 2000, deliver=True) >= last + 2000
    reader = LedgerReader(ledger.path)
    assert reader.totals("gate")["line/door/in/1/person"] == ledger.last_seq("gate")
    reader.close()


def big(first: int, count: int) -> list[EventRecord]:
    return [crossing(first + n, note="x" * 4000) for n in range(count)]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from streamer.ledger import Ledger, LedgerFull
from tests.streamer.test_ledger import big
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger(Path(sys.argv[1]), "node-1", max_bytes=1 << 26, retention_days=1e4)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
refused = 0
while not refused:
    try:
        ledger.commit(big(ledger.last_seq("gate") + 1, 10))
    except LedgerFull:
        refused = ledger.last_seq("gate")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.commit(big(refused + 1, 10))
ledger.close()
print(refused)
"""


def test_a_failing_write_is_told_and_the_ledger_recovers_by_itself(tmp_path: Path) -> None:
    """The kernel refuses writes past a size, as it does on a full disk, until the limit is lifted."""
    root = Path(__file__).parents[2]
    path = tmp_path / "ledger.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    refused = int(done.stdout)
    assert refused > 10
    ledger = Ledger(path, NODE, max_bytes=1 << 26, retention_days=1e4)
    assert ledger.damage == ""
    assert read(ledger) == list(range(1, refused + 11))
    ledger.close()


def test_events_older_than_the_retention_go_but_only_delivered_ones(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger(retention_days=1.0)
    ledger.commit([crossing(n) for n in range(1, 11)])
    ledger.mark({"redis": {"gate": 6}})
    clock.now_ns += 2 * NS_PER_DAY
    for _ in range(3):
        ledger.tick()
    assert read(ledger) == [7, 8, 9, 10]


# ---- damage, lineages, copies


def test_what_can_be_read_of_a_damaged_ledger_is_saved_under_a_new_lineage(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(n, note="x" * 300) for n in range(1, 2001)])
    before = ledger.lineage
    ledger.close()
    raw = bytearray(ledger.path.read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 4096] = os.urandom(4096)
    ledger.path.write_bytes(raw)
    clock.now_ns += 1_000_000_000
    saved = open_ledger()
    assert "events saved" in saved.damage
    assert saved.lineage > before
    kept = read(saved)
    assert len(kept) > 1500
    assert set(kept) <= set(range(1, 2001))
    saved.commit([crossing(saved.last_seq("gate") + 1)])
    assert damage.fault(saved.path) == ""
    assert list(saved.path.parent.glob("*.damaged-*"))
    assert "damage" in saved.status()


@pytest.mark.parametrize("cut", [0.9, 0.5, 0.2])
def test_a_truncated_ledger_is_not_fatal(open_ledger: Callable[..., Ledger], cut: float) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(n) for n in range(1, 1001)])
    ledger.close()
    os.truncate(ledger.path, int(ledger.path.stat().st_size * cut))
    saved = open_ledger()
    assert saved.damage
    assert len(read(saved)) > 1000 * cut * 0.4  # the first pages are the tables' own
    saved.commit([crossing(saved.last_seq("gate") + 1)])


def test_a_camera_whose_row_is_lost_keeps_its_events_and_its_name(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(n, camera) for camera in ("gate", "yard") for n in range(1, 301)])
    ledger.close()
    db = sqlite3.connect(ledger.path)
    (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name='cameras'").fetchone()
    db.close()
    with open(ledger.path, "r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(os.urandom(4096))
    saved = open_ledger()
    assert "600 events saved" in saved.damage
    assert read(saved, "gate") == read(saved, "yard") == list(range(1, 301))
    reader = LedgerReader(saved.path)
    assert reader.totals("yard") == {"line/door/in/1/person": 300}
    reader.close()


def test_a_salvage_that_was_killed_at_any_step_is_finished_by_the_next_start(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rename is a step; at each in turn the process dies (here: an exception that nobody catches)."""

    class Killed(BaseException):
        pass

    ledger = open_ledger()
    ledger.commit([crossing(n, note="x" * 300) for n in range(1, 1001)])
    ledger.close()
    sound = ledger.path.read_bytes()
    really_rename = os.rename
    for step in range(1, 4):
        for left in tmp_path.iterdir():
            left.unlink()
        ledger.path.write_bytes(sound[: len(sound) // 2])
        turn = 0

        def rename(source: Any, target: Any, at: int = step) -> None:
            nonlocal turn
            turn += 1
            if turn == at:
                raise Killed
            really_rename(source, target)

        monkeypatch.setattr(os, "rename", rename)
        with pytest.raises(Killed):
            open_ledger()
        monkeypatch.setattr(os, "rename", really_rename)
        saved = open_ledger()
        assert len(read(saved)) > 100, f"killed at rename {step}"
        assert list(tmp_path.glob("*.damaged-*"))
        saved.close()


def test_a_file_that_is_no_ledger_is_kept_aside(open_ledger: Callable[..., Ledger], tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is not a database, it is a letter\n" * 200)
    ledger = open_ledger()
    assert "0 events saved" in ledger.damage
    ledger.commit([crossing(1)])
    assert read(ledger) == [1]


def test_places_before_and_after_a_new_lineage_are_found(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    old = ledger.lineage
    ledger.commit([crossing(n) for n in range(1, 6)])
    ledger.mark({"redis": {"gate": 3}})
    clock.now_ns += 5_000_000
    new = ledger.new_lineage("test")
    ledger.commit([crossing(6)])
    reader = LedgerReader(ledger.path)
    ids = [event.id for event in reader.after("gate", None, 10)]
    assert ids == [*(EventId(old, n) for n in (1, 2, 3)), *(EventId(new, n) for n in (4, 5, 6))]
    assert [e.id.seq for e in reader.after("gate", EventId(old, 900), 10)] == [4, 5, 6]
    assert [e.id.seq for e in reader.after("gate", EventId(old, 1), 10)] == [2, 3, 4, 5, 6]
    assert [e.id.seq for e in reader.after("gate", EventId(new, 5), 10)] == [6]
    assert [e.id.seq for e in reader.after("gate", EventId(old - 1, 4), 10)] == [1, 2, 3, 4, 5, 6]
    event = json.loads(reader.after("gate", EventId(new, 3), 1)[0].body)
    assert event["id"] == f"{NODE}/gate/{new}/4"
    reader.close()


def test_a_copy_made_while_the_ledger_is_written_is_whole_and_private(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger()
    ledger.commit([crossing(n) for n in range(1, 101)])
    target = tmp_path / "copy.sqlite"
    assert damage.backup(ledger.path, target) == target.stat().st_size
    assert oct(target.stat().st_mode & 0o777) == "0o600"
    ledger.commit([crossing(101)])
    reader = LedgerReader(target)
    assert len(reader.after("gate", None, 1000)) == 100
    reader.close()
    with pytest.raises(StorageError, match="exists"):
        damage.backup(ledger.path, target)


def test_a_copy_of_nothing_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no ledger"):
        damage.backup(tmp_path / "none.sqlite", tmp_path / "copy.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_revision_is_kept_once(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.record_config(3, '{"a": 1}')
    ledger.record_config(3, '{"a": 2}')
    reader = LedgerReader(ledger.path)
    assert reader.revision(3) == (NOW_NS, {"a": 1})
    reader.close()


def test_what_comes_after_a_place_is_found_without_reading_what_comes_before_it(
    open_ledger: Callable[..., Ledger],
) -> None:
    """Counted in steps of SQLite's virtual machine: a week of outage must not slow down with its length."""
    ledger = open_ledger()
    ledger.commit([crossing(seq) for seq in range(1, 8001)])
    reader = LedgerReader(ledger.path)

    def steps(seq: int) -> int:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        reader._db.set_progress_handler(step, 50)
        assert len(reader.after("gate", EventId(reader.lineage(), seq), 50)) == 50
        reader.totals_at("gate", EventId(reader.lineage(), seq))
        reader._db.set_progress_handler(None, 0)
        return taken

    assert steps(7900) <= 3 * steps(5)
    reader.close()


def test_a_worker_that_resumes_is_told_which_alerts_are_raised(open_ledger: Callable[..., Ledger]) -> None:
    def alert(seq: int, name: str, state: str, camera: str = "gate") -> EventRecord:
        data = {"alert": name, "state": state, "raised_seq": seq}
        record = crossing(seq, camera)
        return msgspec.structs.replace(record, type="streamer.alert.v1", subject=name, data=data)

    ledger = open_ledger()
    ledger.commit([alert(1, "night", "raised"), alert(2, "crowd", "raised"), crossing(3)])
    ledger.commit(
        [alert(4, "crowd", "cleared"), alert(5, "door", "raised"), alert(1, "far", "raised", "yard")]
    )
    assert sorted(data["alert"] for data in ledger.resume("gate").alerts) == ["door", "night"]
    assert [data["alert"] for data in ledger.resume("yard").alerts] == ["far"]
    asked = "SELECT body FROM events WHERE camera=1 AND type='streamer.alert.v1' ORDER BY seq DESC"
    with closing(sqlite3.connect(ledger.path)) as db:
        assert "USING INDEX alerts" in str(db.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall())
